package rest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"nuage/api"
)

// problemText is the whole document that a test expects.
func problemText(title string, status int, code, detail string, errors ...string) string {
	more := ""
	for i := 0; i+1 < len(errors); i += 2 {
		more += fmt.Sprintf(`,{"location":%q,"message":%q}`, errors[i], errors[i+1])
	}
	if more != "" {
		more = `,"errors":[` + more[1:] + `]`
	}
	return fmt.Sprintf(`{"title":%q,"status":%d,"detail":%q,"code":%q,"requestId":"test-1"%s}`, title, status, detail, code, more)
}

func unprocessable(location, message string) string {
	return problemText("Unprocessable Entity", 422, "invalid", "cannot accept the request: "+location+": "+message, location, message)
}

func TestBadInput(t *testing.T) {
	r := newRig(t)
	const instances = "/v1/projects/default/instances"
	tests := []struct {
		name, method, path, body string
		headers                  []string
		want                     string
	}{
		{"no JSON", "POST", instances, `{"name"`, nil,
			problemText("Bad Request", 400, "invalid", "cannot accept the request: body: not JSON at byte 7: unexpected end of JSON input", "body", "not JSON at byte 7: unexpected end of JSON input")},
		{"something after the JSON", "POST", instances, `{"name":"a"} x`, nil,
			problemText("Bad Request", 400, "invalid", "cannot accept the request: body: not JSON at byte 14: invalid character 'x' after top-level value", "body", "not JSON at byte 14: invalid character 'x' after top-level value")},
		{"no body", "POST", instances, ``, nil,
			problemText("Bad Request", 400, "invalid", "cannot accept the request: request body is required")},
		{"a list for an object", "POST", instances, `[]`, nil, unprocessable("body", "expected object")},
		{"null", "POST", instances, `null`, nil, unprocessable("body", "expected object")},
		{"unknown field", "POST", instances, `{"name":"a","sped":{}}`, nil, unprocessable("body.sped", "unexpected property")},
		{"unknown field within", "POST", instances, `{"name":"a","spec":{"typ":"small"}}`, nil, unprocessable("body.spec.typ", "unexpected property")},
		{"missing field", "POST", instances, `{}`, nil, unprocessable("body", "expected required property name to be present")},
		{"wrong type", "POST", instances, `{"name":7}`, nil, unprocessable("body.name", "expected string")},
		{"not one of", "POST", instances, `{"name":"a","spec":{"type":"huge"}}`, nil,
			unprocessable("body.spec.type", `expected value to be one of "nano, micro, small, medium, large"`)},
		{"out of range", "POST", "/v1/projects/default/apps", `{"name":"a","spec":{"port":70000}}`, nil, unprocessable("body.spec.port", "expected number <= 65535")},
		{"a number without end", "POST", instances, `{"name":"a","spec":{"boot":1e300}}`, nil, unprocessable("body", "spec.boot: a number 1e300 does not fit")},
		{"bad name", "POST", instances, `{"name":"UP"}`, nil,
			problemText("Bad Request", 400, "invalid", `cannot use "UP" as the name of a thing: a name has 1 to 40 characters a-z, 0-9 and -, and - is neither first nor last`)},
		{"other media type", "POST", instances, `a=b`, []string{"Content-Type: application/x-www-form-urlencoded"},
			problemText("Unsupported Media Type", 415, "invalid", "cannot accept the request: body: unknown content type: application/x-www-form-urlencoded", "body", "unknown content type: application/x-www-form-urlencoded")},
		{"too large", "POST", instances, `{"name":"` + strings.Repeat("a", 6<<20) + `"}`, nil,
			problemText("Request Entity Too Large", 413, "invalid", "cannot take a body of more than 6291456 bytes")},
		{"too large a payload", "POST", "/v1/projects/default/functions/echo/invocations", strings.Repeat("a", 6<<20+1), nil,
			problemText("Request Entity Too Large", 413, "invalid", "cannot take a body of more than 6291456 bytes")},
		{"bad wait", "GET", instances + "/a?wait=soon", ``, nil, unprocessable("query.wait", "invalid value: expected a duration as 30s, at most 120s")},
		{"long wait", "GET", instances + "/a?wait=121s", ``, nil, unprocessable("query.wait", "invalid value: expected a duration as 30s, at most 120s")},
		{"bad limit", "GET", instances + "?limit=many", ``, nil, unprocessable("query.limit", "invalid integer")},
		{"large limit", "GET", instances + "?limit=1001", ``, nil, unprocessable("query.limit", "expected number <= 1000")},
		{"unknown parameter", "GET", instances + "?sort=name", ``, nil, unprocessable("query.sort", "unknown query parameter")},
		{"bad generation", "DELETE", instances + "/a", ``, []string{"If-Match: new"}, unprocessable("header.If-Match", "invalid value: expected a generation: a whole number from 1")},
		{"bad time", "GET", "/v1/usage?from=yesterday", ``, nil, unprocessable("query.from", "invalid date/time for format 2006-01-02T15:04:05.999999999Z07:00")},
		{"bad type of call", "POST", "/v1/projects/default/functions/echo/invocations", `{}`, []string{"Nuage-Invocation-Type: maybe"},
			unprocessable("header.Nuage-Invocation-Type", `expected value to be one of "sync, async, dry-run"`)},
		{"not there", "GET", instances + "/nobody", ``, nil, problemText("Not Found", 404, "not_found", `cannot find "nobody": list what is there`)},
		{"in use", "DELETE", "/v1/projects/shop", ``, nil, problemText("Conflict", 409, "conflict", `cannot delete the project "shop": it is not empty`)},
		{"no such path", "GET", "/v1/nothing", ``, nil, problemText("Not Found", 404, "not_found", `cannot find the path "/v1/nothing": /docs lists all of them`)},
		{"a path to clean", "GET", "//v1/projects/../projects", ``, nil, problemText("Not Found", 404, "not_found", `cannot find the path "//v1/projects/../projects": /docs lists all of them`)},
		{"wrong method", "PATCH", instances + "/a", ``, nil, problemText("Method Not Allowed", 405, "invalid", `cannot PATCH "/v1/projects/default/instances/a": it takes DELETE, GET, HEAD, PUT`)},
		{"unknown error", "GET", "/v1/projects/secret", ``, nil, problemText("Internal Server Error", 500, "internal", "internal error")},
		{"panic", "GET", "/v1/projects/panic", ``, nil, problemText("Internal Server Error", 500, "internal", "internal error")},
		{"unavailable", "GET", "/v1/status", ``, nil, problemText("Service Unavailable", 503, "unavailable", "cannot read the state: the disk is full")},
		{"too many calls", "POST", "/v1/projects/default/functions/busy/invocations", ``, nil, problemText("Too Many Requests", 429, "exhausted", `cannot call "busy": too many calls at once`)},
		{"no token", "GET", "/v1/projects", ``, []string{"Authorization:"}, problemText("Unauthorized", 401, "unauthenticated", `cannot let the request in without a token: send the header "Authorization: Bearer TOKEN"`)},
		{"other scheme", "GET", "/v1/projects", ``, []string{"Authorization: Basic YTpi"}, problemText("Unauthorized", 401, "unauthenticated", `cannot let the request in without a token: send the header "Authorization: Bearer TOKEN"`)},
		{"unknown token", "GET", "/v1/projects", ``, []string{"Authorization: Bearer x"}, problemText("Unauthorized", 401, "unauthenticated", "cannot let the request in: the token is unknown or revoked")},
		{"other project", "GET", instances, ``, []string{"Authorization: Bearer shop-only"}, problemText("Forbidden", 403, "forbidden", `cannot act on project "default": this token is limited to project "shop"`)},
		{"account", "GET", "/v1/tokens", ``, []string{"Authorization: Bearer shop-only"}, problemText("Forbidden", 403, "forbidden", `cannot do this with a token that is limited to project "shop": use one without a limit`)},
		{"foreign host", "GET", "/v1/projects", ``, []string{"Host: evil.example"}, problemText("Misdirected Request", 421, "forbidden", `cannot serve the host "evil.example": use localhost, a loopback address or a name given with --listen`)},
		{"foreign origin", "GET", "/v1/projects", ``, []string{"Origin: https://evil.example"}, problemText("Forbidden", 403, "forbidden", "cannot serve a request from another site: open the cloud's own pages or use a client that is no browser")},
		{"no WebSocket", "GET", instances + "/a/exec", ``, nil, problemText("Upgrade Required", 426, "invalid", `cannot run a command without a WebSocket: failed to accept WebSocket connection: WebSocket protocol violation: Connection header "" does not contain Upgrade`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := r.do(t, tt.method, tt.path, tt.body, tt.headers...)
			if got := strings.TrimSpace(w.Body.String()); got != tt.want {
				t.Errorf("got  %.600s\nwant %.600s", got, tt.want)
			}
			if !strings.Contains(tt.want, fmt.Sprintf(`"status":%d,`, w.Code)) {
				t.Errorf("status %d", w.Code)
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type %q", got)
			}
		})
	}
}

func TestProblemHeaders(t *testing.T) {
	r := newRig(t)
	tests := []struct{ method, path, header, want string }{
		{"PATCH", "/v1/projects", "Allow", "GET, HEAD, POST"},
		{"POST", "/docs", "Allow", "GET, HEAD"},
		{"POST", "/v1/projects/default/functions/busy/invocations", "Retry-After", "1"},
		{"GET", "/v1/status", "Retry-After", "1"},
		{"GET", "/v1/nothing", "X-Request-Id", "test-1"},
	}
	for _, tt := range tests {
		if got := r.do(t, tt.method, tt.path, "").Header().Get(tt.header); got != tt.want {
			t.Errorf("%s %s: %s is %q, want %q", tt.method, tt.path, tt.header, got, tt.want)
		}
	}
	if got := r.do(t, "GET", "/v1/projects", "", "Authorization:").Header().Get("WWW-Authenticate"); got != `Bearer realm="nuage"` {
		t.Errorf("WWW-Authenticate is %q", got)
	}
}

// What a client must not see is in the log, in full and with the request's id.
func TestInternalErrorsAreLogged(t *testing.T) {
	r := newRig(t)
	r.do(t, "GET", "/v1/projects/secret", "")
	r.do(t, "GET", "/v1/projects/panic", "")
	for _, want := range []string{"open /root/.nuage/state.db: no such file", "requestId=test-1", "a defect", "fake_test.go"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, r.log)
		}
	}
}

func TestStatusOfEveryCode(t *testing.T) {
	want := map[string]int{
		"invalid": http.StatusBadRequest, "unauthenticated": http.StatusUnauthorized, "forbidden": http.StatusForbidden,
		"not_found": http.StatusNotFound, "conflict": http.StatusConflict, "exhausted": http.StatusTooManyRequests,
		"unsupported": http.StatusNotImplemented, "unavailable": http.StatusServiceUnavailable, "internal": http.StatusInternalServerError,
		"no code of ours": http.StatusInternalServerError,
	}
	for code, status := range want {
		if got := statusOf(api.Code(code)); got != status {
			t.Errorf("%s: %d, want %d", code, got, status)
		}
	}
}
