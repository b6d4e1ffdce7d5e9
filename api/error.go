package api

import (
	"errors"
	"fmt"
)

// Code classifies every error the cloud answers with. A Code is itself an error, so
// errors.Is(err, api.NotFound) holds on both sides of the wire.
type Code string

// The codes, and what a caller can do about each.
const (
	Invalid         Code = "invalid"         // the request is wrong; change it
	Unauthenticated Code = "unauthenticated" // no token, or one that is unknown or revoked
	Forbidden       Code = "forbidden"       // the token may not do this
	NotFound        Code = "not_found"       // no such thing
	Conflict        Code = "conflict"        // taken, in use, or changed meanwhile
	Exhausted       Code = "exhausted"       // a limit or quota is reached; try later or raise it
	Unsupported     Code = "unsupported"     // this engine or version cannot do it
	Unavailable     Code = "unavailable"     // something the cloud needs does not answer; try again
	Internal        Code = "internal"        // a defect of the cloud; details are in its log
)

// Error returns the code's word.
func (c Code) Error() string { return string(c) }

// Error is an error with a code for programs, a message for people and a hidden cause for the log.
type Error struct {
	Code    Code
	Message string
	Cause   error
}

// Errorf makes an Error. The message starts "cannot ...", quotes the thing and says what to do next.
// An operand of %w becomes the hidden cause as well as part of the message.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Cause: errors.Unwrap(err)}
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Is reports whether target is the error's code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// CodeOf returns the code of err: Internal for an error that carries none, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	var c Code
	if errors.As(err, &c) {
		return c
	}
	return Internal
}
