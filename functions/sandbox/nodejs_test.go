package sandbox_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"nuage/functions"
	"nuage/functions/sandbox"
)

// needImage leaves a test out where the engine lacks an image that is made on first use.
func needImage(t testing.TB, image string) {
	t.Helper()
	e := newEngine(t)
	_, err := e.Image(t.Context(), image, 0)
	if err != nil && os.Getenv("NUAGE_REQUIRE_ENGINE") == "1" {
		text, failed := exec.Command("bash", "../../compute/images/setup.sh", strings.TrimSuffix(strings.TrimPrefix(image, "nuage/"), ":1")).CombinedOutput()
		if failed != nil {
			t.Fatalf("cannot make the image %s: %v: %s", image, failed, text)
		}
		_, err = e.Image(t.Context(), image, 0)
	}
	switch {
	case err == nil:
	case os.Getenv("NUAGE_REQUIRE_ENGINE") == "1":
		t.Fatalf("NUAGE_REQUIRE_ENGINE=1 and there is no image %s: %v", image, err)
	default:
		t.Skipf("SKIPPED: no image %s: %v", image, err)
	}
}

const nodeModes = `
let calls = 0;
const modes = {
  echo: async (event) => ({ event, calls: ++calls }),
  context: async (event, c) => [c.awsRequestId, c.functionName, c.functionVersion, c.memoryLimitInMB, c.invokedFunctionArn,
    c.getRemainingTimeInMillis() > 0 && c.getRemainingTimeInMillis() <= 5000, process.env.TZ, new Date(0).getHours(), process.env._HANDLER, process.cwd()],
  print: async () => { console.log('out %d', 1); console.error('err'); process.stdout.write('raw\n'); },
  throw: async () => { throw new TypeError('no such thing'); },
  value: async () => { throw 'a text'; },
  reject: () => { Promise.reject(new Error('nobody waits')); return new Promise(() => setTimeout(() => {}, 1000)); },
  uncaught: () => { setTimeout(() => { throw new RangeError('late'); }, 1); return new Promise(() => setTimeout(() => {}, 1000)); },
  callback: (event, context, done) => { setTimeout(() => done(null, 'called back'), 5); },
  waits: (event, context, done) => { let n = 0; setTimeout(() => { n++; }, 20); done(null, { get n() { return n; } }); },
  leaves: (event, context, done) => { context.callbackWaitsForEmptyEventLoop = false; let n = 0; setTimeout(() => { n++; }, 20); done(null, { get n() { return n; } }); },
  nothing: () => {},
  never: () => new Promise(() => {}),
  circle: async () => { const o = {}; o.o = o; return o; },
  exit: async () => { process.exit(3); },
  big: async (event) => 'x'.repeat(event.size),
  bytes: async () => 10n,
};
exports.handler = (event, context, done) => modes[event.do || 'echo'](event, context, done);
exports.deep = { er: async () => 'deeper' };
exports.stream = awslambda.streamifyResponse(async (event, out) => {
  if (event.http) out = awslambda.HttpResponseStream.from(out, { statusCode: 201, headers: { 'x-a': 'b' } });
  else out.setContentType('text/plain');
  if (event.early) throw new Error('early');
  out.write('one ');
  await new Promise((resolve) => setTimeout(resolve, 5));
  if (event.late) throw new Error('late');
  out.write('two');
  out.end();
});
`

func TestNodeCalls(t *testing.T) {
	needImage(t, "nuage/nodejs:1")
	r := newRuntime(t, newEngine(t), nil)
	d := deployment(t, "index.js", nodeModes)
	d.Runtime, d.Handler, d.Env = "nodejs", "", map[string]string{"TZ": "Asia/Tokyo"}
	p := open(t, r, d)
	type want struct {
		status  functions.Status
		payload string
		log     string
	}
	tests := []struct {
		event string
		want
	}{
		{`{"a": 1}`, want{functions.OK, `{"event":{"a":1},"calls":1}`, ""}},
		{``, want{functions.OK, `{"event":{},"calls":2}`, ""}},
		{`{"do": "context"}`, want{functions.OK,
			`["req-1","f","7","128","arn:aws:lambda:local:000000000000:function:f",true,"Asia/Tokyo",9,"index.handler","/var/task"]`, ""}},
		{`{"do": "print"}`, want{functions.OK, `null`, "TIME\treq-1\tINFO\tout 1\nTIME\treq-1\tERROR\terr\nraw\n"}},
		{`{"do": "throw"}`, want{functions.Error,
			`{"errorType":"TypeError","errorMessage":"no such thing","trace":["TypeError: no such thing","    at Object.throw (/var/task/index.js:8:30)","    at exports.handler (/var/task/index.js:22:70)"]}`,
			"TIME\treq-1\tERROR\tInvoke Error \t" + `{"errorType":"TypeError","errorMessage":"no such thing","stack":["TypeError: no such thing","    at Object.throw (/var/task/index.js:8:30)","    at exports.handler (/var/task/index.js:22:70)"]}` + "\n"}},
		{`{"do": "value"}`, want{functions.Error, `{"errorType":"string","errorMessage":"a text","trace":[]}`,
			"TIME\treq-1\tERROR\tInvoke Error \t" + `{"errorType":"string","errorMessage":"a text","stack":[]}` + "\n"}},
		{`{"do": "callback"}`, want{functions.OK, `"called back"`, ""}},
		{`{"do": "waits"}`, want{functions.OK, `{"n":1}`, ""}},
		{`{"do": "leaves"}`, want{functions.OK, `{"n":0}`, ""}},
		{`{"do": "nothing"}`, want{functions.OK, `null`, ""}},
		{`{"do": "never"}`, want{functions.OK, `null`, ""}},
		{`{"do": "big", "size": 6291455}`, want{functions.Error, `{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (6291456 bytes).","trace":["Function.ResponseSizeTooLarge: Response payload size exceeded maximum allowed payload size (6291456 bytes)."]}`, "-"}},
		{`{}`, want{functions.OK, `{"event":{},"calls":3}`, ""}},
		{`{"do": "exit"}`, want{functions.Crash,
			`{"errorMessage":"RequestId: req-1 Error: Runtime exited with error: exit status 3","errorType":"Runtime.ExitError"}`, ""}},
		{`{}`, want{functions.OK, `{"event":{},"calls":1}`, ""}},
	}
	for _, tt := range tests {
		o, log := call(t, p, tt.event)
		got := want{o.Status, string(o.Payload), untimed(log)}
		if tt.log == "-" {
			got.log = "-"
		}
		if got != tt.want {
			t.Errorf("%s: got %+v\nwant %+v", tt.event, got, tt.want)
		}
		t.Logf("%s: cold %v, init %s, duration %s, %d MB", tt.event, o.Cold, o.Init, o.Duration, o.MaxMemoryMB)
	}
	for _, tt := range []struct{ event, kind string }{
		{`{"do": "reject"}`, "Runtime.UnhandledPromiseRejection"}, {`{"do": "uncaught"}`, "RangeError"},
		{`{"do": "circle"}`, "Runtime.MarshalError"}, {`{"do": "bytes"}`, "Runtime.MarshalError"},
	} {
		o, _ := call(t, p, tt.event)
		var document struct{ ErrorType string }
		if decode(t, o.Payload, &document); o.Status != functions.Error || document.ErrorType != tt.kind {
			t.Errorf("%s: got %s %s", tt.event, o.Status, o.Payload)
		}
	}
}

var times = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT[0-9:.]+Z\t`)

func untimed(log string) string { return times.ReplaceAllString(log, "TIME\t") }

func TestNodeStreams(t *testing.T) {
	needImage(t, "nuage/nodejs:1")
	d := deployment(t, "index.js", nodeModes)
	d.Runtime, d.Handler = "nodejs", "index.stream"
	p := open(t, newRuntime(t, newEngine(t), nil), d)
	tests := []struct {
		event   string
		status  functions.Status
		payload string
		kind    string
	}{
		{`{}`, functions.OK, "one two", "text/plain"},
		{`{"http": true}`, functions.OK, `{"statusCode":201,"headers":{"x-a":"b"}}` + "\x00\x00\x00\x00\x00\x00\x00\x00one two", "application/vnd.awslambda.http-integration-response"},
		{`{"early": true}`, functions.Error, `{"errorType":"Error","errorMessage":"early","trace":["Error: early","    at /var/task/index.js:27:26"]}`, "application/json"},
		{`{"late": true}`, functions.Error, `{"errorType":"Error","errorMessage":"late","trace":["Error: late","    at /var/task/index.js:30:25"]}`, "application/json"},
		{`{}`, functions.OK, "one two", "text/plain"},
	}
	for n, tt := range tests {
		o, _ := call(t, p, tt.event)
		if o.Status != tt.status || string(o.Payload) != tt.payload || o.ContentType != tt.kind || o.Cold != (n == 0) {
			t.Errorf("%s: got %s %s %q cold %v\nwant %s %s %q", tt.event, o.Status, o.ContentType, o.Payload, o.Cold, tt.status, tt.kind, tt.payload)
		}
	}
}

func TestNodeLoading(t *testing.T) {
	needImage(t, "nuage/nodejs:1")
	r := newRuntime(t, newEngine(t), nil)
	tests := []struct {
		name, handler string
		files         []string
		status        functions.Status
		payload       string
	}{
		{"a module", "index.handler", []string{"index.mjs", "export const handler = async () => import.meta.url;\n"}, functions.OK, `"file:///var/task/index.mjs"`},
		{"module by its manifest", "src/a.handler", []string{"package.json", `{"type":"module"}`, "src/a.js", "export const handler = async () => 'module';\n"}, functions.OK, `"module"`},
		{"another name", "app.main", []string{"whatever.cjs", "exports.main = async () => __filename;\n"}, functions.OK, `"/var/task/app.cjs"`},
		{"in an object", "index.deep.er", []string{"index.js", nodeModes}, functions.OK, `"deeper"`},
		{"no function", "index.other", []string{"index.js", ""}, functions.Error,
			`{"errorType":"Runtime.HandlerNotFound","errorMessage":"index.other is undefined or not exported","trace":["Runtime.HandlerNotFound: index.other is undefined or not exported"]}`},
		{"throws", "index.handler", []string{"index.js", "throw new Error('at once');\n"}, functions.Error,
			`{"errorType":"Error","errorMessage":"at once","trace":["Error: at once","    at Object.<anonymous> (/var/task/index.js:1:7)"]}`},
		{"ends", "index.handler", []string{"index.js", "process.exit(0)\n"}, functions.Crash,
			`{"errorMessage":"RequestId: req-1 Error: Runtime exited with error: exited without providing a reason","errorType":"Runtime.ExitError"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := deployment(t, tt.files...)
			d.Runtime, d.Handler = "nodejs", tt.handler
			o, _ := call(t, open(t, r, d), "{}")
			if o.Status != tt.status || string(o.Payload) != tt.payload || !o.Cold || o.Init <= 0 {
				t.Errorf("got  %s %s\nwant %s %s", o.Status, o.Payload, tt.status, tt.payload)
			}
		})
	}
}

func TestNodeCheck(t *testing.T) {
	needImage(t, "nuage/nodejs:1")
	r := newRuntime(t, newEngine(t), func(o *sandbox.Options) { o.Warm = 2 })
	tests := []struct {
		name  string
		files []string
		want  string
	}{
		{"good", []string{"index.js", "exports.handler = async () => 1;\n", "b.mjs", "export default await 1;\n", "node_modules/c/index.js", "("}, ""},
		{"script", []string{"lib/index.js", "exports.handler = async () => {\n  return (;\n};\n", "README.md", ""},
			"cannot deploy function \"f\": lib/index.js:2\n  return (;\n          ^\nSyntaxError: Unexpected token ';'"},
		{"module", []string{"index.mjs", "export const a = ;\n", "README.md", ""},
			"cannot deploy function \"f\": index.mjs:1\nexport const a = ;\n                 ^\nSyntaxError: Unexpected token ';'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := deployment(t, tt.files...)
			d.Runtime, d.Handler = "nodejs", "index.handler"
			err := r.Check(t.Context(), d)
			if got := errorText(err); got != tt.want {
				t.Fatalf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
