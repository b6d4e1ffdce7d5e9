package rest

import "testing"

// What the face itself costs: everything but the network and the control plane.
func BenchmarkRequest(b *testing.B) {
	for _, bench := range []struct{ name, method, path, body string }{
		{"get", "GET", "/v1/projects/default/triggers/web", ""},
		{"update", "PUT", "/v1/projects/default/triggers/web", `{"spec":{"function":"f","http":true}}`},
		{"invoke", "POST", "/v1/projects/default/functions/echo/invocations", "event"},
		{"refuse", "PUT", "/v1/projects/default/triggers/web", `{"spec":{"function":7}}`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r := newRig(b)
			r.serve(r.request("POST", "/v1/projects/default/triggers", `{"name":"web","spec":{"function":"f","http":true}}`))
			b.ReportAllocs()
			for b.Loop() {
				if w := r.serve(r.request(bench.method, bench.path, bench.body)); w.Code != 200 && w.Code != 422 {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}
