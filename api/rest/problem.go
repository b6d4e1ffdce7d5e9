package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"nuage/api"
)

// statusOf is the one table from code to HTTP status.
func statusOf(code api.Code) int {
	switch code {
	case api.Invalid:
		return http.StatusBadRequest
	case api.Unauthenticated:
		return http.StatusUnauthorized
	case api.Forbidden:
		return http.StatusForbidden
	case api.NotFound:
		return http.StatusNotFound
	case api.Conflict:
		return http.StatusConflict
	case api.Exhausted:
		return http.StatusTooManyRequests
	case api.Unsupported:
		return http.StatusNotImplemented
	case api.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// codeOf is the code of a problem that HTTP itself or the decoder found.
func codeOf(status int) api.Code {
	switch status {
	case http.StatusUnauthorized:
		return api.Unauthenticated
	case http.StatusForbidden, http.StatusMisdirectedRequest:
		return api.Forbidden
	case http.StatusNotFound:
		return api.NotFound
	}
	if status < http.StatusInternalServerError {
		return api.Invalid
	}
	return api.Internal
}

// problem is an api.Problem on its way out: an error for huma that knows its status, headers and media type.
type problem struct {
	api.Problem
	headers http.Header
}

func newProblem(status int, code api.Code, detail string) *problem {
	return &problem{Problem: api.Problem{Title: title(status), Status: status, Detail: detail, Code: code}, headers: http.Header{}}
}

// refuse makes a problem of HTTP's own, as 413.
func refuse(status int, detail string) *problem { return newProblem(status, codeOf(status), detail) }

func tooLarge(most int64) *problem {
	return refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("cannot take a body of more than %d bytes", most))
}

func title(status int) string {
	if t := http.StatusText(status); t != "" {
		return t
	}
	return "Error"
}

func (p *problem) Error() string             { return p.Detail }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) GetHeaders() http.Header   { return p.headers }
func (p *problem) ContentType(string) string { return api.ProblemType }

// problemOf turns any error into what a client may see of it, and logs what it may not see.
func (f *face) problemOf(ctx context.Context, err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	code := api.CodeOf(err)
	status := statusOf(code)
	if status == http.StatusInternalServerError {
		f.logInternal(ctx, err)
		return newProblem(status, api.Internal, "internal error")
	}
	p = newProblem(status, code, messageOf(err, code))
	f.addHeaders(ctx, p, err)
	return p
}

// addHeaders adds the headers that a status calls for.
func (f *face) addHeaders(ctx context.Context, p *problem, err error) {
	switch p.Code {
	case api.Unauthenticated:
		p.headers.Set("WWW-Authenticate", `Bearer realm="nuage"`)
	case api.Exhausted:
		p.headers.Set("Retry-After", "1")
	case api.Unavailable:
		p.headers.Set("Retry-After", "1")
		f.Logger.WarnContext(ctx, "request failed", "requestId", requestID(ctx), "error", err, "cause", errors.Unwrap(err))
	}
}

func (f *face) logInternal(ctx context.Context, err error) {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return // the client has gone: nobody's defect
	}
	f.Logger.ErrorContext(ctx, "request failed", "requestId", requestID(ctx), "error", err, "cause", errors.Unwrap(err))
}

func messageOf(err error, code api.Code) string {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return string(code)
}

// fail answers with the problem that err is.
func (f *face) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := f.problemOf(r.Context(), err)
	p.RequestID = requestID(r.Context())
	for name, values := range p.headers {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", api.ProblemType)
	w.Header().Del("Content-Length")
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(p.Problem); err != nil {
		f.Logger.DebugContext(r.Context(), "cannot send a problem", "requestId", p.RequestID, "error", err)
	}
}

// finish is huma's last step before a body is written: its own error model becomes ours, and every problem gets
// the request's id. Doing it here spares replacing huma.NewError, which is global to the process.
func (f *face) finish(ctx huma.Context, _ string, body any) (any, error) {
	switch b := body.(type) {
	case *problem:
		b.RequestID = requestID(ctx.Context())
		return b.Problem, nil
	case *huma.ErrorModel:
		p := f.decodeProblem(ctx, b)
		p.RequestID = requestID(ctx.Context())
		return p, nil
	}
	return body, nil
}

// decodeProblem words what huma found wrong with a request.
func (f *face) decodeProblem(ctx huma.Context, m *huma.ErrorModel) api.Problem {
	if m.Status >= http.StatusInternalServerError {
		f.logInternal(ctx.Context(), errors.New(m.Detail))
		return newProblem(m.Status, api.Internal, "internal error").Problem
	}
	if m.Status == http.StatusRequestEntityTooLarge {
		return tooLarge(f.MaxBody).Problem
	}
	p := refuse(m.Status, "cannot accept the request: "+m.Detail)
	var words []string
	for _, e := range m.Errors {
		message := strings.Replace(e.Message, `one of ", `, `one of "`, 1) // the empty word is one of many enums
		p.Errors = append(p.Errors, api.ProblemDetail{Location: e.Location, Message: message})
		words = append(words, e.Location+": "+message)
	}
	if len(words) > 0 {
		p.Detail = "cannot accept the request: " + strings.Join(words, "; ")
	}
	return p.Problem
}
