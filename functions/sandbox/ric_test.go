package sandbox_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nuage/functions"
	"nuage/functions/sandbox"
)

// ricImage has the client of AWS; it stays, as the base images do, since making it takes a while.
const ricImage = "nuage/test-aws-lambda-ric:3.3.0"

const ricHandler = `
let calls = 0;
exports.handler = async (event, context) => {
  calls++;
  if (event.raise) throw new TypeError('no such thing');
  if (event.exit) process.exit(3);
  console.log('call', calls);
  return [calls, event.text, context.awsRequestId, context.functionName, context.functionVersion, context.memoryLimitInMB,
    context.invokedFunctionArn, context.getRemainingTimeInMillis() > 0];
};
`

// The Node.js client from npm runs in a sandbox, as code written for AWS Lambda brings it along: aws-lambda-ric in the program bootstrap.
func TestNodeClientFromNPM(t *testing.T) {
	engine := newEngine(t)
	buildRIC(t)
	r := newRuntime(t, engine, func(o *sandbox.Options) { o.Images = map[string]string{"provided": ricImage} })
	d := deployment(t, "index.js", ricHandler, "bootstrap", "#!/bin/sh\nexec node /opt/aws-lambda-ric/bin/index.mjs index.handler\n")
	d.Runtime, d.Handler = "provided", ""
	p := open(t, r, d)
	for n, want := range []string{
		`[1,"grüß","req-1","f","7","128","arn:aws:lambda:local:000000000000:function:f",true]`,
		`[2,"grüß","req-1","f","7","128","arn:aws:lambda:local:000000000000:function:f",true]`,
	} {
		o, log := call(t, p, `{"text":"grüß"}`)
		if o.Status != functions.OK || string(o.Payload) != want || o.Cold != (n == 0) || !strings.Contains(log, "call") {
			t.Errorf("call %d: got %s %s, cold %t, log %q; want %s", n+1, o.Status, o.Payload, o.Cold, log, want)
		}
	}
	o, _ := call(t, p, `{"raise":true}`)
	var failure functions.Document
	if err := json.Unmarshal(o.Payload, &failure); err != nil || o.Status != functions.Error || failure.ErrorType != "TypeError" || failure.ErrorMessage != "no such thing" {
		t.Errorf("an exception: got %s %s, %v", o.Status, o.Payload, err)
	}
	if o, _ := call(t, p, `{"exit":true}`); o.Status != functions.Crash {
		t.Errorf("an exit: got %s %s", o.Status, o.Payload)
	}
	if o, _ := call(t, p, `{}`); o.Status != functions.OK || !o.Cold {
		t.Errorf("after an exit: got %s %s, cold %t", o.Status, o.Payload, o.Cold)
	}
}

// buildRIC makes the image unless it is there.
func buildRIC(t *testing.T) {
	t.Helper()
	if exec.Command("docker", "image", "inspect", ricImage).Run() == nil {
		return
	}
	dir := t.TempDir()
	pack := exec.Command("npm", "pack", "--silent", "aws-lambda-ric@3.3.0", "node-addon-api@6.1.0")
	pack.Dir = dir
	if out, err := pack.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: npm brings no aws-lambda-ric: %v: %s", err, out)
	}
	recipe, err := os.ReadFile(filepath.Join("testdata", "ric.Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), recipe, 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	build := exec.CommandContext(t.Context(), "docker", "build", "--tag", ricImage, dir)
	build.Stdout, build.Stderr = &said, &said
	if err := build.Run(); err != nil {
		t.Fatalf("%v: %s", err, said.Bytes())
	}
}
