// Package events holds the forms of what calls functions, and the rules that need no store: the event of a batch of a queue
// and what a function answers to it, the record that a destination gets, filter policies and schedules. It is pure: no I/O.
package events

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// The region and account that names of resources carry, as the sandbox tells functions.
const (
	region  = "local"
	account = "000000000000"
)

// FunctionARN is a function as events and records name it.
func FunctionARN(name string) string {
	return "arn:aws:lambda:" + region + ":" + account + ":function:" + name
}

// QueueARN is a queue as events name it.
func QueueARN(name string) string { return "arn:aws:sqs:" + region + ":" + account + ":" + name }

// anyJSON is payload as it is where it is JSON, else as a JSON string: text as it is, other bytes in base64. nil: null.
func anyJSON(payload []byte) json.RawMessage {
	switch {
	case len(payload) == 0:
		return json.RawMessage("null")
	case json.Valid(payload):
		return payload
	case utf8.Valid(payload):
		return encode(string(payload))
	}
	return encode(base64.StdEncoding.EncodeToString(payload))
}

// encode writes plain data as JSON.
func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data: nothing here can fail to encode
	}
	return b
}

// millis is a time as AWS writes it in attributes of messages.
func millis(t time.Time) int64 { return t.UnixMilli() }

// version is a version as records name it.
func version(n int) string { return strconv.Itoa(n) }
