package functions

import (
	"encoding/json"
	"fmt"
	"time"

	"nuage/api"
)

// Document is the payload of a call that failed, as on AWS Lambda.
type Document struct {
	ErrorMessage string   `json:"errorMessage"`
	ErrorType    string   `json:"errorType"`
	StackTrace   []string `json:"stackTrace,omitempty"`
}

// JSON returns the document as JSON.
func (d Document) JSON() []byte {
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // strings only: nothing here can fail to encode
	}
	return b
}

// TimedOut is the document of a call that was stopped when its time was over.
func TimedOut(requestID string, limit time.Duration) []byte {
	return platform(requestID, "Sandbox.Timedout", fmt.Sprintf("Task timed out after %.2f seconds", limit.Seconds()))
}

// TooLarge is the document of a call whose answer is over api.MaxPayloadBytes.
func TooLarge(requestID string) []byte {
	return platform(requestID, "Function.ResponseSizeTooLarge",
		fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", api.MaxPayloadBytes))
}

// Exited is the document of a call whose program ended without an answer; how says why, as "exit status 3".
func Exited(requestID, how string) []byte {
	return platform(requestID, "Runtime.ExitError", "Runtime exited with error: "+how)
}

// platform is a document that the platform writes, not the code.
func platform(requestID, kind, text string) []byte {
	return Document{ErrorType: kind, ErrorMessage: fmt.Sprintf("RequestId: %s Error: %s", requestID, text)}.JSON()
}
