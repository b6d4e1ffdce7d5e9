package events

import (
	"encoding/json"
	"time"
)

// The conditions under which an event ends.
const (
	Success           = "Success"
	RetriesExhausted  = "RetriesExhausted"
	EventAgeExceeded  = "EventAgeExceeded"
	FunctionNotFound  = "FunctionNotFound"  // it was deleted
	InvocationRefused = "InvocationRefused" // the runtime can't take such an event
)

// Result is how an asynchronous event ended.
type Result struct {
	At        time.Time
	RequestID string
	Function  string
	Version   int // that answered last; 0: none did
	Condition string
	Attempts  int // calls made
	Payload   []byte
	Answer    []byte // of the last call
	Failed    bool   // the last call ended in an error
}

// Destination is the record that a destination gets of an event's end, in the form of AWS Lambda's, version 1.0.
func Destination(r Result) []byte {
	doc := destination{Version: "1.0", Timestamp: r.At.UTC().Format("2006-01-02T15:04:05.000Z"),
		RequestContext: requestContext{RequestID: r.RequestID, FunctionARN: FunctionARN(r.Function), Condition: r.Condition, Count: r.Attempts},
		RequestPayload: anyJSON(r.Payload)}
	if r.Version > 0 {
		doc.ResponseContext = &responseContext{StatusCode: 200, ExecutedVersion: version(r.Version)}
		if r.Failed {
			doc.ResponseContext.FunctionError = "Unhandled"
		}
		doc.ResponsePayload = anyJSON(r.Answer)
	}
	return encode(doc)
}

type destination struct {
	Version         string           `json:"version"`
	Timestamp       string           `json:"timestamp"`
	RequestContext  requestContext   `json:"requestContext"`
	RequestPayload  json.RawMessage  `json:"requestPayload"`
	ResponseContext *responseContext `json:"responseContext,omitempty"`
	ResponsePayload json.RawMessage  `json:"responsePayload,omitempty"`
}

type requestContext struct {
	RequestID   string `json:"requestId"`
	FunctionARN string `json:"functionArn"`
	Condition   string `json:"condition"`
	Count       int    `json:"approximateInvokeCount"`
}

type responseContext struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError,omitempty"`
}
