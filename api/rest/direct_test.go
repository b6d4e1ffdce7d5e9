package rest

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// What a call is answered does not depend on the way it goes: a query that says nothing leads it over the router.
func TestDirectAnswersAsTheRouter(t *testing.T) {
	const calls = "/v1/projects/default/functions/warm/invocations"
	r := newRig(t)
	for _, tt := range []struct {
		name, method, path, body string
		headers                  []string
		direct                   bool
	}{
		{name: "a call", path: calls, body: `{"a":1}`, headers: []string{"Content-Type: application/json"}, direct: true},
		{name: "nothing", path: calls, direct: true},
		{name: "with its log", path: calls, headers: []string{"Nuage-Log-Type: tail"}, direct: true},
		{name: "later", path: strings.Replace(calls, "warm", "later", 1), headers: []string{"Nuage-Invocation-Type: async"}, direct: true},
		{name: "too much for later", path: calls, body: strings.Repeat("a", 256<<10+1), headers: []string{"Nuage-Invocation-Type: async"}, direct: true},
		{name: "not at all", path: calls, headers: []string{"Nuage-Invocation-Type: dry-run"}, direct: true},
		{name: "cold", path: strings.Replace(calls, "warm", "cold", 1), direct: true},
		{name: "busy", path: strings.Replace(calls, "warm", "busy", 1), direct: true},
		{name: "a name in quotes", path: strings.Replace(calls, "warm", "w%20%22", 1), direct: true},
		{name: "a slash in a name", path: strings.Replace(calls, "warm", "w%2Fx", 1)},
		{name: "no name", path: strings.Replace(calls, "warm", "", 1)},
		{name: "a wrong token", path: calls, headers: []string{"Authorization: Bearer wrong"}, direct: true},
		{name: "a token of another project", path: calls, headers: []string{"Authorization: Bearer shop-only"}, direct: true},
		{name: "an unknown type", path: calls, headers: []string{"Nuage-Invocation-Type: soon"}},
		{name: "an unknown type of log", path: calls, headers: []string{"Nuage-Log-Type: all"}},
		{name: "a wrong method", method: "PUT", path: calls},
		{name: "more behind it", path: calls + "/1"},
	} {
		method := tt.method
		if method == "" {
			method = "POST"
		}
		if _, ok := directCall(r.request(method, tt.path, tt.body, tt.headers...)); ok != tt.direct {
			t.Errorf("%s: direct is %t", tt.name, ok)
		}
		short, long := r.do(t, method, tt.path, tt.body, tt.headers...), r.do(t, method, tt.path+"?qualifier=", tt.body, tt.headers...)
		if short.Code != long.Code || short.Body.String() != long.Body.String() || !maps.EqualFunc(short.Header(), long.Header(), slices.Equal) {
			t.Errorf("%s: got %d %v %s\nby the router %d %v %s", tt.name, short.Code, short.Header(), short.Body, long.Code, long.Header(), long.Body)
		}
	}
	text := r.do(t, "GET", "/metrics", "", "Authorization:").Body.String()
	if want := `nuage_http_requests_total{code="401",method="POST",route="` + invocationPath + `"} 2`; !strings.Contains(text, want) {
		t.Errorf("the metrics lack %s", want)
	}
	if !strings.Contains(r.log.String(), "route="+invocationPath+" status=200") || !strings.Contains(r.log.String(), "actor=me") {
		t.Error("the log lacks the calls")
	}
}
