package api

import "encoding/json"

// Problem is the document every failed request of the HTTP API answers with: RFC 9457 with the member code.
type Problem struct {
	Title     string          `json:"title" doc:"the status in words"`
	Status    int             `json:"status" doc:"HTTP status"`
	Detail    string          `json:"detail" doc:"what could not be done and what to do next"`
	Code      Code            `json:"code" enum:"invalid,unauthenticated,forbidden,not_found,conflict,exhausted,unsupported,unavailable,internal" doc:"for programs"`
	RequestID string          `json:"requestId,omitempty" doc:"the answer's X-Request-Id, to find in the cloud's log"`
	Errors    []ProblemDetail `json:"errors,omitempty" doc:"each wrong field of a request"`
}

// ProblemDetail is one wrong field of a request.
type ProblemDetail struct {
	Location string `json:"location" doc:"as body.spec.port, query.limit"`
	Message  string `json:"message"`
}

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// The headers of the HTTP API that no standard names.
const (
	HeaderRequestID      = "X-Request-Id"          // on every answer; on a call of a function in Nuage-Request-Id too
	HeaderIdempotencyKey = "Idempotency-Key"       // see WithIdempotencyKey
	HeaderInvocationType = "Nuage-Invocation-Type" // sync, async or dry-run
	HeaderInvocationID   = "Nuage-Request-Id"      // id of a call's receipt
	HeaderBilledMs       = "Nuage-Billed-Ms"       // whole milliseconds
	HeaderInitMs         = "Nuage-Init-Ms"         // decimal; on cold calls only
	HeaderFunctionError  = "Nuage-Function-Error"  // Handled or Unhandled; absent where the function did not fail
	HeaderReceipt        = "Nuage-Receipt"         // the Receipt as JSON on one line
	HeaderLog            = "Nuage-Log"             // the last 4 KB of the log in base64, where asked for
	HeaderLogType        = "Nuage-Log-Type"        // of a request: tail asks for Nuage-Log
	MaxWaitSeconds       = 120                     // the longest ?wait=
)

// Change is the data of an event of a watch: of added and changed the object as it is, of removed as it was last.
type Change struct {
	Noun   string          `json:"noun" doc:"plural as in paths"`
	Name   string          `json:"name"`
	Object json.RawMessage `json:"object"`
}

// An exec is a WebSocket. The client's first message is a text: the Command as JSON. All others are binary and begin
// with a byte that names their channel.
const (
	ExecStdin    byte = 0 // client: bytes
	ExecStdout   byte = 1 // server: bytes; an empty message shows that the connection lives
	ExecStderr   byte = 2 // server: bytes
	ExecExit     byte = 3 // server, the last message: an ExecResult as JSON
	ExecResize   byte = 4 // client: a WindowSize as JSON
	ExecStdinEOF byte = 5 // client: nothing more comes on stdin
)

// ExecResult is how an exec ended: with a status, or not at all because of a problem.
type ExecResult struct {
	Status  int      `json:"status"`
	Problem *Problem `json:"problem,omitempty"`
}

// Identity is who a token speaks for, as GET /v1/identity answers it.
type Identity struct {
	Kind    ActorKind `json:"kind" enum:"customer,platform"`
	Name    string    `json:"name"`
	Project string    `json:"project,omitempty" doc:"the only project the token may act on; absent: all"`
	Token   string    `json:"token,omitempty" doc:"name of the token in use"`
}
