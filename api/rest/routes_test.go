package rest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

const instanceText = `{"id":"x-0123456789abcdef","name":"web","project":"default","generation":1,"createdAt":"2026-01-02T03:04:05Z",` +
	`"spec":{"type":"nano"},"status":{"phase":"running","reason":"is there","generation":1,"public":false,"userData":"","restarts":0}}`

// step is one request and the whole answer to it.
type step struct {
	name, method, path, body string
	headers                  []string
	status                   int
	want                     string
	wantHeaders              string // Name: value, one a line
}

func (r *rig) steps(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		w := r.do(t, s.method, s.path, s.body, s.headers...)
		if got := strings.TrimSpace(w.Body.String()); w.Code != s.status || got != s.want {
			t.Errorf("%s: got %d %s\nwant %d %s", s.name, w.Code, got, s.status, s.want)
		}
		for line := range strings.Lines(s.wantHeaders) {
			name, want, _ := strings.Cut(strings.TrimSpace(line), ": ")
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", s.name, name, got, want)
			}
		}
	}
}

func TestResource(t *testing.T) {
	const all = "/v1/projects/default/instances"
	second := strings.ReplaceAll(strings.ReplaceAll(instanceText, `"generation":1`, `"generation":2`), "nano", "micro")
	newRig(t).steps(t, []step{
		{name: "an empty list", method: "GET", path: all, status: 200, want: `{"items":[],"next":""}`},
		{name: "create", method: "POST", path: all, body: `{"name":"web","spec":{"type":"nano"}}`, status: 201, want: instanceText,
			wantHeaders: "Location: " + all + "/web\nETag: \"1\"\nContent-Type: application/json\nX-Request-Id: test-1"},
		{name: "create without a spec, with a key", method: "POST", path: all, body: `{"name":"zoo"}`, headers: []string{"Idempotency-Key: k"}, status: 201,
			want: strings.NewReplacer("web", "zoo", `{"type":"nano"}`, "{}").Replace(instanceText)},
		{name: "the same again", method: "POST", path: all, body: `{"name":"zoo"}`, headers: []string{"Idempotency-Key: k"}, status: 201,
			want: strings.NewReplacer("web", "zoo", `{"type":"nano"}`, "{}").Replace(instanceText)},
		{name: "a page", method: "GET", path: all + "?limit=1", status: 200, want: `{"items":[` + instanceText + `],"next":"web"}`},
		{name: "the page after", method: "GET", path: all + "?limit=1&after=zoo", status: 200, want: `{"items":[],"next":""}`},
		{name: "get", method: "GET", path: all + "/web", status: 200, want: instanceText, wantHeaders: `ETag: "1"`},
		{name: "get with a wait", method: "GET", path: all + "/web?wait=1s", status: 200, want: instanceText},
		{name: "update another generation", method: "PUT", path: all + "/web", body: `{"spec":{}}`, headers: []string{`If-Match: "7"`}, status: 409,
			want: problemText("Conflict", 409, "conflict", `cannot change "web": it is at generation 1 by now, not 7`)},
		{name: "update", method: "PUT", path: all + "/web?wait=1s", body: `{"spec":{"type":"micro"}}`, headers: []string{"If-Match: 1"}, status: 200, want: second, wantHeaders: `ETag: "2"`},
		{name: "power", method: "POST", path: all + "/web/stop", status: 200, want: strings.Replace(second, "is there", "stop", 1)},
		{name: "delete", method: "DELETE", path: all + "/web", headers: []string{"If-Match: *"}, status: 204},
		{name: "get what is gone", method: "GET", path: all + "/web", status: 404, want: problemText("Not Found", 404, "not_found", `cannot find "web": list what is there`)},
		{name: "create what goes slowly", method: "POST", path: all, body: `{"name":"slow-one","spec":{"type":"nano"}}`, status: 201, want: strings.Replace(instanceText, "web", "slow-one", 1)},
		{name: "delete what goes slowly", method: "DELETE", path: all + "/slow-one?wait=1ms", status: 202,
			want: strings.NewReplacer("web", "slow-one", `05Z"`, `05Z","deletedAt":"2026-01-02T04:04:05Z"`).Replace(instanceText)},
		{name: "create and wait", method: "POST", path: all + "?wait=2m", body: `{"name":"waited"}`, status: 429, want: problemText("Too Many Requests", 429, "exhausted", "was asked to wait 2m0s")},
	})
}

func TestVerbs(t *testing.T) {
	const p = "/v1/projects/default"
	receipt := `{"requestId":"call-1","project":"default","function":"cold","functionId":"","version":0,"startedAt":"0001-01-01T00:00:00Z","billedAt":"0001-01-01T00:00:00Z",` +
		`"cold":true,"durationMs":"","initMs":"12.5","billedMs":7,"memoryMb":0,"maxMemoryUsedMb":0,"gbSeconds":"","price":"","cost":"","status":""}`
	newRig(t).steps(t, []step{
		{name: "roll back", method: "POST", path: p + "/apps/web/rollback", body: `{"to":3}`, status: 200,
			want: `{"id":"","name":"web","project":"","generation":0,"createdAt":"0001-01-01T00:00:00Z","spec":{},"status":{"phase":"","reason":"","generation":0,"release":0,"target":3,"replicas":null,"restarts":0}}`, wantHeaders: `ETag: "0"`},
		{name: "roll back without a body", method: "POST", path: p + "/apps/web/rollback", status: 200,
			want: `{"id":"","name":"web","project":"","generation":0,"createdAt":"0001-01-01T00:00:00Z","spec":{},"status":{"phase":"","reason":"","generation":0,"release":0,"replicas":null,"restarts":0}}`},
		{name: "releases", method: "GET", path: p + "/apps/web/releases", status: 200, want: `{"items":[],"next":""}`},
		{name: "credentials", method: "GET", path: p + "/databases/db/credentials", status: 200, want: `{"user":"me","password":"","url":"","internalUrl":""}`},
		{name: "rotated credentials", method: "POST", path: p + "/databases/db/rotate", status: 200, want: `{"user":"me_b","password":"","url":"","internalUrl":""}`},
		{name: "a cold call", method: "POST", path: p + "/functions/cold/invocations", body: "ev\x00ent", headers: []string{"Content-Type: text/plain", "Nuage-Log-Type: tail"}, status: 200, want: "ev\x00ent",
			wantHeaders: "Nuage-Request-Id: call-1\nNuage-Billed-Ms: 7\nNuage-Init-Ms: 12.5\nNuage-Function-Error: \nNuage-Log: YSBsaW5lCg==\nContent-Type: text/plain\nNuage-Receipt: " + receipt},
		{name: "a warm call of nothing", method: "POST", path: p + "/functions/warm/invocations", status: 200,
			wantHeaders: "Nuage-Request-Id: call-1\nNuage-Billed-Ms: 7\nNuage-Init-Ms: \nNuage-Log: \nContent-Type: application/octet-stream"},
		{name: "a call of as much as is allowed", method: "POST", path: p + "/functions/warm/invocations", body: strings.Repeat("a", 6<<20), status: 200, want: strings.Repeat("a", 6<<20)},
		{name: "a call that fails", method: "POST", path: p + "/functions/bad/invocations", status: 200, want: `{"errorMessage":"boom"}`, wantHeaders: "Nuage-Function-Error: Unhandled\nContent-Type: application/json"},
		{name: "a call for later", method: "POST", path: p + "/functions/later/invocations", headers: []string{"Nuage-Invocation-Type: async"}, status: 202, wantHeaders: "Nuage-Request-Id: call-1"},
		{name: "a source", method: "PUT", path: p + "/sources", body: "tar", headers: []string{"Content-Type: application/x-tar"}, status: 201, want: `{"id":"src-1","size":3}`},
		{name: "logs", method: "GET", path: p + "/databases/db/logs?tail=5", status: 200, want: "db of databases, last 5", wantHeaders: "Content-Type: text/plain; charset=utf-8"},
		{name: "compare", method: "GET", path: p + "/compare?name=a&name=app/b", status: 200, want: `{"project":"","at":"0001-01-01T00:00:00Z","subjects":[{"name":"a","noun":"","model":""},{"name":"app/b","noun":"","model":""}],"layers":null,"measures":null,"costs":null,"breakEven":null}`},
		{name: "measure", method: "POST", path: p + "/measurements", body: `{"subject":"a","name":"recovery","unit":"s","value":"1","at":"2026-01-02T03:04:05Z"}`, status: 204},
	})
}

func TestMachineVerbs(t *testing.T) {
	const p = "/v1/projects/default"
	const volumeText = `{"id":"x-0123456789abcdef","name":"data","project":"default","generation":1,"createdAt":"2026-01-02T03:04:05Z","spec":{"sizeBytes":1048576},` +
		`"status":{"phase":"running","reason":"is there","generation":1,"usedBytes":0,"enforced":false}}`
	reclaimed := func(at string) string {
		return strings.NewReplacer(`{"type":"nano"}`, `{"spot":true}`, `"restarts":0`, `"restarts":0,"reclaim":"`+at+`"`).Replace(instanceText)
	}
	newRig(t).steps(t, []step{
		{name: "a spot instance", method: "POST", path: p + "/instances", body: `{"name":"web","spec":{"spot":true}}`, status: 201, want: strings.Replace(instanceText, `{"type":"nano"}`, `{"spot":true}`, 1)},
		{name: "reclaim", method: "POST", path: p + "/instances/web/reclaim?wait=1s", body: `{"notice":"90s"}`, status: 200, want: strings.Replace(instanceText, `{"type":"nano"}`, `{"spot":true}`, 1), wantHeaders: `ETag: "1"`},
		{name: "reclaim without a wait", method: "POST", path: p + "/instances/web/reclaim", body: `{"notice":"90s"}`, status: 200, want: reclaimed("2026-01-02T03:05:35Z")},
		{name: "reclaim without a body", method: "POST", path: p + "/instances/web/reclaim", status: 200, want: reclaimed("2026-01-02T03:06:05Z")},
		{name: "a notice that is none", method: "POST", path: p + "/instances/web/reclaim", body: `{"notice":"soon"}`, status: 400,
			want: problemText("Bad Request", 400, "invalid", `cannot use the notice "soon": give a duration as 30s or 2m`)},
		{name: "metrics", method: "GET", path: p + "/instances/web/metrics", status: 200, want: `{"at":"2026-01-02T03:04:05Z","cpuSeconds":0,"cpuPercent":12.5,"memoryBytes":7,` +
			`"memoryLimit":0,"receiveBytes":0,"transmitBytes":0,"readBytes":0,"writeBytes":0,"processes":0,"processLimit":0}`},
		{name: "metrics of nobody", method: "GET", path: p + "/instances/nobody/metrics", status: 404, want: problemText("Not Found", 404, "not_found", `cannot find "nobody": list what is there`)},
		{name: "a volume", method: "POST", path: p + "/volumes", body: `{"name":"data","spec":{"sizeBytes":1048576}}`, status: 201, want: volumeText},
		{name: "attach", method: "POST", path: p + "/volumes/data/attach", body: `{"instance":"web","path":"/data","restart":true}`, status: 200,
			want: strings.Replace(volumeText, `"usedBytes":0,"enforced":false`, `"attached":{"instance":"web","path":"/data"},"usedBytes":0,"enforced":true`, 1), wantHeaders: `ETag: "1"`},
		{name: "detach", method: "POST", path: p + "/volumes/data/detach", body: `{"restart":true}`, status: 200, want: strings.Replace(volumeText, "false", "true", 1)},
		{name: "detach without a body", method: "POST", path: p + "/volumes/data/detach", status: 200, want: volumeText},
		{name: "a project's quota", method: "PUT", path: "/v1/projects/shop", body: `{"spec":{"quota":{"instances":2,"milliCPU":500}}}`, headers: []string{`If-Match: "2"`}, status: 200, wantHeaders: `ETag: "3"`,
			want: `{"id":"","name":"shop","project":"","generation":3,"createdAt":"0001-01-01T00:00:00Z","spec":{"quota":{"instances":2,"milliCPU":500}},"status":{"phase":"","reason":"","generation":0,"cidr":"","used":{}}}`},
	})
}

func TestAccount(t *testing.T) {
	newRig(t).steps(t, []step{
		{name: "projects", method: "GET", path: "/v1/projects", headers: []string{"Authorization: Bearer shop-only"}, status: 200, want: `{"items":[],"next":""}`},
		{name: "a project", method: "GET", path: "/v1/projects/shop", headers: []string{"Authorization: bearer shop-only"}, status: 200,
			want: `{"id":"","name":"shop","project":"","generation":2,"createdAt":"0001-01-01T00:00:00Z","spec":{},"status":{"phase":"","reason":"","generation":0,"cidr":"","used":{}}}`},
		{name: "a new project", method: "POST", path: "/v1/projects", body: `{"name":"shop"}`, status: 201, wantHeaders: "Location: /v1/projects/shop",
			want: `{"id":"","name":"shop","project":"","generation":1,"createdAt":"0001-01-01T00:00:00Z","spec":{},"status":{"phase":"","reason":"","generation":0,"cidr":"","used":{}}}`},
		{name: "a token", method: "POST", path: "/v1/tokens", body: `{"name":"ci","spec":{"project":"shop"}}`, status: 201, wantHeaders: "Location: /v1/tokens/ci",
			want: `{"id":"","name":"ci","project":"","generation":1,"createdAt":"0001-01-01T00:00:00Z","spec":{"project":"shop"},"status":{"phase":"","reason":"","generation":0},"secret":"s"}`},
		{name: "revoke", method: "DELETE", path: "/v1/tokens/ci", status: 204},
		{name: "who am I", method: "GET", path: "/v1/identity", headers: []string{"Authorization: Bearer shop-only"}, status: 200, want: `{"kind":"customer","name":"shop","project":"shop"}`},
		{name: "bill", method: "GET", path: "/v1/bill?by=day&book=aws&from=2026-01-02T03:04:05Z", status: 200,
			want: `{"currency":"","book":"aws","periodStart":"2026-01-02T03:04:05Z","periodEnd":"0001-01-01T00:00:00Z","total":"0.000000","lines":[],"note":"day"}`},
		{name: "prices", method: "GET", path: "/v1/prices?book=ibm", status: 200, want: `{"name":"ibm","version":"","date":"","currency":"","source":"","prices":null}`},
		{name: "usage", method: "GET", path: "/v1/usage?project=p&resource=r&after=9", status: 200,
			want: `{"items":[{"id":"","project":"p","service":"","resource":"r","resourceId":"","meter":"","quantity":0,"start":"0001-01-01T00:00:00Z","end":"0001-01-01T00:00:00Z"}],"next":"9"}`},
		{name: "activities", method: "GET", path: "/v1/activities?project=p&layer=data&actor=platform&by=edge&noun=app&verb=route&model=paas&since=2026-01-02T03:04:05Z&until=2026-01-03T03:04:05Z", status: 200,
			want: `{"items":[{"id":"","time":"2026-01-02T03:04:05Z","actor":{"kind":"platform","name":"edge"},"layer":"data","project":"p","noun":"app","resource":"","model":"paas","verb":"route","detail":"2026-01-03T03:04:05Z"}],"next":""}`},
		{name: "backup", method: "GET", path: "/v1/backup", status: 200, want: strings.Repeat("state", 1000), wantHeaders: "Content-Type: application/octet-stream"},
		{name: "shutdown", method: "POST", path: "/v1/shutdown", status: 202},
	})
}

func TestProbes(t *testing.T) {
	r := newRig(t)
	none := []string{"Authorization:"}
	r.steps(t, []step{
		{name: "alive", method: "GET", path: "/healthz", headers: none, status: 200, want: `{"status":"ok"}`},
		{name: "ready", method: "GET", path: "/readyz", headers: none, status: 200, want: `{"status":"ok"}`},
	})
	r.ready = api.Errorf(api.Internal, "the first pass is under way")
	r.steps(t, []step{
		{name: "alive still", method: "GET", path: "/healthz", headers: none, status: 200, want: `{"status":"ok"}`},
		{name: "not ready", method: "GET", path: "/readyz", headers: none, status: 503, want: problemText("Service Unavailable", 503, "unavailable", "cannot serve yet: the first pass is under way")},
	})
}

func TestMetrics(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/v1/projects/a/instances/b", "/v1/projects/c/instances/d", "/nothing/at/all"} {
		r.do(t, "GET", path, "")
	}
	r.do(t, "BREW", "/pot", "")
	text := r.do(t, "GET", "/metrics", "", "Authorization:").Body.String()
	for _, want := range []string{
		`nuage_http_requests_total{code="404",method="GET",route="/v1/projects/{project}/instances/{name}"} 2`,
		`nuage_http_requests_total{code="404",method="GET",route="none"} 1`,
		`nuage_http_requests_total{code="404",method="other",route="none"} 1`,
		`nuage_http_request_duration_seconds_count{method="GET",route="/v1/projects/{project}/instances/{name}"} 2`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	elsewhere := newRig(t)
	req := elsewhere.request("GET", "/metrics", "", "Authorization:")
	req.RemoteAddr = "10.0.0.9:5555"
	if w := elsewhere.serve(req); w.Code != 401 {
		t.Errorf("metrics without a token from elsewhere: %d, want 401", w.Code)
	}
}

// Every route asks for the token that the table says, and answers problems.
func TestPermissions(t *testing.T) {
	r := newRig(t)
	for _, route := range (&face{Options: Options{Cloud: fakeCloud()}}).routes() {
		path := strings.NewReplacer("{project}", "default", "{name}", "web").Replace(route.path)
		w := r.do(t, route.method, path, "", "Authorization: Bearer wrong")
		want := 401
		if route.perm == public || route.perm == machine {
			want = 200
		}
		if w.Code != want {
			t.Errorf("%s %s with a wrong token: %d, want %d", route.method, path, w.Code, want)
		}
		if want == 200 {
			continue
		}
		checkProblem(t, route.method+" "+path, w.Body.Bytes(), 401)
		w = r.do(t, route.method, path, "", "Authorization: Bearer shop-only")
		if inside := strings.Contains(path, "/default"); (route.perm == accountToken || inside) && w.Code != 403 {
			t.Errorf("%s %s with a token for another project: %d, want 403", route.method, path, w.Code)
		}
	}
}

func checkProblem(t *testing.T, what string, text []byte, status int) {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal(text, &p); err != nil || p.Status != status || p.Code == "" || p.Title != http.StatusText(status) || p.RequestID == "" {
		t.Errorf("%s answers no problem with status %d: %s", what, status, text)
	}
}

func TestHosts(t *testing.T) {
	r := newRig(t, "cloud.example")
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:7070": 200, "127.0.0.1:7070": 200, "127.1.2.3": 200, "[::1]:7070": 200, "[::1]": 200, "cloud.example": 200, "Cloud.Example:443": 200,
		"evil.example": 421, "localhost.evil.example": 421, "10.0.0.1:7070": 421, "auth.localhost:7070": 421, "": 421,
	} {
		req := r.request("GET", "/v1/identity", "")
		req.Host = host
		if w := r.serve(req); w.Code != want {
			t.Errorf("host %q: %d, want %d", host, w.Code, want)
		}
	}
}

func TestOrigins(t *testing.T) {
	r := newRig(t)
	tests := []struct {
		path    string
		headers []string
		want    int
	}{
		{"/v1/identity", []string{"Origin: http://localhost:7070"}, 200},
		{"/v1/identity", []string{"Sec-Fetch-Site: same-origin"}, 200},
		{"/v1/identity", []string{"Sec-Fetch-Site: none"}, 200},
		{"/v1/identity", []string{"Origin: http://localhost:8080"}, 403},
		{"/v1/identity", []string{"Origin: null"}, 403},
		{"/v1/identity", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"/v1/identity", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"/v1/identity", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 403},
		{"/docs", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 200},
		{"/docs", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, 403},
	}
	for _, tt := range tests {
		w := r.do(t, "GET", tt.path, "", tt.headers...)
		if w.Code != tt.want {
			t.Errorf("%s %q: %d, want %d", tt.path, tt.headers, w.Code, tt.want)
		}
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s answers %s", tt.path, name)
			}
		}
	}
}

func TestRequestID(t *testing.T) {
	r := newRig(t)
	if got := r.do(t, "GET", "/healthz", "").Header().Get("X-Request-Id"); got != "test-1" {
		t.Errorf("the caller's id became %q", got)
	}
	for _, brought := range []string{"", "a b", "<script>", strings.Repeat("a", 65)} {
		got := r.do(t, "GET", "/healthz", "", "X-Request-Id: "+brought).Header().Get("X-Request-Id")
		if !strings.HasPrefix(got, "req-") || len(got) != 20 {
			t.Errorf("in place of %q the answer has the id %q", brought, got)
		}
	}
}

func TestAccessLog(t *testing.T) {
	r := newRig(t)
	r.do(t, "GET", "/v1/identity", "")
	r.do(t, "POST", "/v1/shutdown", "")
	for _, want := range []string{
		"level=DEBUG msg=request requestId=test-1 method=GET path=/v1/identity route=/v1/identity status=200",
		"level=INFO msg=request requestId=test-1 method=POST path=/v1/shutdown route=/v1/shutdown status=202",
		"actor=me",
	} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, r.log)
		}
	}
}

func TestWait(t *testing.T) {
	for text, want := range map[string]time.Duration{"30s": 30 * time.Second, "2m": 2 * time.Minute, "0s": 0, "1500ms": 1500 * time.Millisecond} {
		var w wait
		if err := w.UnmarshalText([]byte(text)); err != nil || w.limit != want {
			t.Errorf("wait=%s is %s: %v", text, w.limit, err)
		}
	}
}
