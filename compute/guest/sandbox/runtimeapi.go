package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxAnswer is the largest body the Runtime API takes: 6 MiB and 100 bytes.
const maxAnswer = 6<<20 + 100

// event is one call, as the Runtime API gives it to the runtime.
type event struct {
	id          string
	arn         string
	contentType string
	payload     []byte
	deadline    time.Time
}

// result is what the runtime said about a call, or about its initialization.
type result struct {
	body        []byte
	contentType string
	failed      bool // body is an error document
}

// observer learns what the runtime does. Its methods are called while the runtime waits, one at a time.
type observer interface {
	initialized()      // first /next
	initFailed(result) // /init/error
	answered()         // an answer; the runtime has not asked for the next event yet
	ended(result)      // /next after an answer
}

// state is where the runtime is. The names are those of AWS's emulator, which are in its messages.
type state string

const (
	started           state = "RuntimeStarted"
	initError         state = "RuntimeInitError"
	ready             state = "RuntimeReady"
	running           state = "RuntimeRunning"
	invocationReply   state = "RuntimeInvocationResponse"
	invocationFailure state = "RuntimeInvocationErrorResponse"
	responseSent      state = "RuntimeResponseSent"
)

// runtimeAPI is the AWS Lambda Runtime API 2018-06-01 for one runtime process.
type runtimeAPI struct {
	observer observer

	mu      sync.Mutex
	state   state
	current event
	answer  result
	waiter  chan event // a parked /next, or nil
}

func newRuntimeAPI(o observer) *runtimeAPI { return &runtimeAPI{observer: o, state: started} }

// handler serves the API.
func (a *runtimeAPI) handler() http.Handler {
	const base = "/2018-06-01/runtime"
	m := http.NewServeMux()
	m.HandleFunc("GET /2018-06-01/ping", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "pong") })
	m.HandleFunc("GET "+base+"/invocation/next", a.next)
	m.HandleFunc("POST "+base+"/invocation/{id}/response", a.response)
	m.HandleFunc("POST "+base+"/invocation/{id}/error", a.invocationError)
	m.HandleFunc("POST "+base+"/init/error", a.initError)
	return m
}

// invoke hands an event to the runtime, now or when it asks. False: the runtime is not ready for one.
func (a *runtimeAPI) invoke(e event) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state != ready {
		return false
	}
	a.state, a.current = running, e
	if a.waiter != nil {
		a.waiter <- e
		a.waiter = nil
	}
	return true
}

// settled returns the answer the runtime has given to the current event without asking for the next; ok is false where
// there is none.
func (a *runtimeAPI) settled() (result, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.answer, a.state == responseSent
}

func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	waiter, e, refused := a.arrive()
	if refused != nil {
		refused(w)
		return
	}
	if waiter != nil {
		select {
		case e = <-waiter:
		case <-r.Context().Done():
			a.leave(waiter)
			return
		}
	}
	h := w.Header()
	setHeader(h, "Lambda-Runtime-Aws-Request-Id", e.id)
	setHeader(h, "Lambda-Runtime-Invoked-Function-Arn", e.arn)
	setHeader(h, "Lambda-Runtime-Deadline-Ms", strconv.FormatInt(e.deadline.UnixMilli(), 10))
	setHeader(h, "Content-Type", e.contentType)
	h.Set("Content-Length", strconv.Itoa(len(e.payload)))
	_, _ = w.Write(e.payload) // a runtime that has gone is seen by its end
}

func setHeader(h http.Header, name, value string) {
	if name == "Content-Type" && value == "" {
		value = "application/json"
	}
	if value != "" {
		h.Set(name, value)
	}
}

// arrive is a runtime that asks for an event: it waits on the channel, or gets the event it already runs once more.
func (a *runtimeAPI) arrive() (chan event, event, func(http.ResponseWriter)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.state == running:
		return nil, a.current, nil
	case a.state == started:
		a.state = ready
		a.observer.initialized()
	case a.state == responseSent:
		answer := a.answer
		a.state, a.current, a.answer = ready, event{}, result{}
		a.observer.ended(answer)
	case a.state != ready || a.waiter != nil:
		return nil, event{}, invalidTransition(a.state, ready)
	}
	a.waiter = make(chan event, 1)
	return a.waiter, event{}, nil
}

// leave is a runtime that has hung up. An event it was given meanwhile stays the current one: asking again gets it.
func (a *runtimeAPI) leave(waiter chan event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiter == waiter {
		a.waiter = nil
	}
}

func (a *runtimeAPI) response(w http.ResponseWriter, r *http.Request) {
	if !a.known(r.PathValue("id")) {
		respondInvalidID(w)
		return
	}
	mode := r.Header.Get("Lambda-Runtime-Function-Response-Mode")
	if mode != "" && mode != "streaming" {
		a.settle(w, r, invocationFailure, failure("Runtime.InvalidResponseModeHeader", "Invalid function response mode"), func() {
			respondError(w, http.StatusBadRequest, "InvalidFunctionResponseMode", "Invalid function response mode")
		})
		return
	}
	body, err := readBody(r)
	switch {
	case errors.Is(err, errTooLarge):
		a.settle(w, r, invocationFailure, failure("Function.ResponseSizeTooLarge", tooLarge), func() {
			respondError(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", tooLarge)
		})
	case err != nil:
		a.settle(w, r, invocationFailure, failure("Runtime.TruncatedResponse", "HTTP request detected as truncated"), func() {
			respondError(w, http.StatusBadRequest, "TruncatedHTTPRequest", "HTTP request detected as truncated")
		})
	default:
		a.settle(w, r, invocationReply, reply(r, body), func() { respondAccepted(w) })
	}
}

// tooLarge is the emulator's sentence.
var tooLarge = fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", maxAnswer)

// reply is the answer in a request; a stream may have failed half way, which its trailers say.
func reply(r *http.Request, body []byte) result {
	kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type")
	if kind == "" {
		return result{body: body, contentType: r.Header.Get("Content-Type")}
	}
	document, err := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
	if err != nil {
		document = nil
	}
	return failureBody(kind, document)
}

func (a *runtimeAPI) invocationError(w http.ResponseWriter, r *http.Request) {
	if !a.known(r.PathValue("id")) {
		respondInvalidID(w)
		return
	}
	body, err := readBody(r)
	if err != nil {
		body = nil
	}
	a.settle(w, r, invocationFailure, failureBody(r.Header.Get("Lambda-Runtime-Function-Error-Type"), body), func() { respondAccepted(w) })
}

func (a *runtimeAPI) initError(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		body = nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state != started {
		invalidTransition(a.state, initError)(w)
		return
	}
	a.state = initError
	respondAccepted(w)
	a.observer.initFailed(failureBody(r.Header.Get("Lambda-Runtime-Function-Error-Type"), body))
}

// settle takes the answer to the current event, once, and responds.
func (a *runtimeAPI) settle(w http.ResponseWriter, r *http.Request, to state, answer result, respond func()) {
	a.mu.Lock()
	from := a.state
	ok := from == running && a.current.id == r.PathValue("id")
	if ok {
		a.state, a.answer = responseSent, answer
		a.observer.answered()
	}
	a.mu.Unlock()
	if !ok {
		invalidTransition(from, to)(w)
		return
	}
	respond()
}

// known reports whether id is of the event that runs and has no answer yet.
func (a *runtimeAPI) known(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state == running && id != "" && id == a.current.id
}

var errTooLarge = errors.New("body too large")

// readBody reads an answer. Of one that is too large the rest is read too, so that the runtime comes to read the refusal.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	if err != nil || len(body) <= maxAnswer {
		return body, err
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return nil, errTooLarge
}

// document is an error as runtimes write it.
type document struct {
	ErrorMessage string `json:"errorMessage"`
	ErrorType    string `json:"errorType"`
}

func failure(kind, message string) result {
	return result{body: encode(document{ErrorMessage: message, ErrorType: kind}), contentType: "application/json", failed: true}
}

// failureBody is the runtime's own document, or one made of the error's type where that is no JSON object.
func failureBody(kind string, body []byte) result {
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &object) != nil || object == nil {
		return failure(errorType(kind), "Invalid error body")
	}
	if object["errorType"] == nil && object["errorMessage"] == nil {
		return failure(errorType(kind), string(body))
	}
	return result{body: body, contentType: "application/json", failed: true}
}

var validType = regexp.MustCompile(`^(Runtime|Function)\.[A-Z][a-zA-Z]+$`)

// errorType keeps the types the platform knows.
func errorType(kind string) string {
	switch {
	case validType.MatchString(kind):
		return kind
	case strings.HasPrefix(kind, "Function."):
		return "Function.Unknown"
	}
	return "Runtime.Unknown"
}

func respondAccepted(w http.ResponseWriter) {
	respond(w, http.StatusAccepted, struct {
		Status string `json:"status"`
	}{"OK"})
}

func respondInvalidID(w http.ResponseWriter) {
	respondError(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
}

func invalidTransition(from, to state) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		respondError(w, http.StatusForbidden, "InvalidStateTransition",
			fmt.Sprintf("State transition from %s to %s failed for runtime. Error: State transition is not allowed", from, to))
	}
}

func respondError(w http.ResponseWriter, status int, kind, message string) {
	respond(w, status, document{ErrorMessage: message, ErrorType: kind})
}

func respond(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(encode(v), '\n')) // a runtime that has gone is seen by its end
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings only: nothing here can fail to encode
	}
	return b
}
