package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testFunctions takes a Python function through its life. It counts its calls in the database "vault".
func testFunctions(t *testing.T, c *liveCloud) {
	broken := writeTemp(t, "main.py", "def handler(event, context):\n    return {\n")
	if said := c.refused(t, 1, "function", "deploy", "broken", "--runtime", "python", "--source", broken); !strings.Contains(said, "SyntaxError") || !strings.Contains(said, "line 2") {
		t.Errorf("of a syntax error it says %q", said)
	}
	c.refused(t, 1, "function", "show", "broken")
	c.do(t, "function", "deploy", "counter", "--runtime", "python", "--source", "testdata/counter", "--database", "vault", "--timeout", "3s")
	invoke := func(want string, status int, event string) {
		t.Helper()
		if o := c.try("function", "invoke", "counter", "--data", event); o.status != status || !strings.Contains(o.out, want) || !strings.Contains(o.err, "request ") {
			t.Errorf("wanted %q and status %d of %s", want, status, o)
		}
	}
	invoke(`{"calls": 1}`, 0, `{}`)
	invoke(`{"calls": 2}`, 0, `{}`)
	invoke(`"errorMessage": "told to fail"`, 1, `{"fail":true}`)
	invoke("timed out after 3.00 seconds", 1, `{"sleep":10}`)
	invoke(`{"calls": 3}`, 0, `{}`)
	testTrigger(t, c)
	for _, box := range c.containers(t, "nuage.kind=function") {
		dockerCLI(t, "kill", box.ID)
	}
	eventually(t, 15*time.Second, "the function answers after its sandboxes were killed", func() error {
		a, err := c.call("POST", "/v1/projects/default/functions/counter/invocations", `{}`)
		if err == nil && (a.status != 200 || a.header.Get("Nuage-Function-Error") != "") {
			err = fmt.Errorf("it answers %d %s", a.status, a.body)
		}
		return err
	})
	var calls api.List[api.Receipt]
	c.decode(t, &calls, "function", "invocations", "counter", "-o", "json")
	statuses := map[string]int{}
	for _, r := range calls.Items {
		statuses[r.Status]++
	}
	if statuses["error"] < 1 || statuses["timeout"] != 1 || statuses["ok"] != 5 {
		t.Errorf("receipts by status: %v", statuses)
	}
	if log := c.do(t, "function", "logs", "counter"); !strings.Contains(log, "asked for {'fail': True}") || !strings.Contains(log, "ValueError: told to fail") {
		t.Errorf("the log:\n%s", log)
	}
}

// testTrigger calls the function by HTTP at the edge.
func testTrigger(t *testing.T, c *liveCloud) {
	c.do(t, "trigger", "create", "counter", "--function", "counter", "--http")
	a, err := c.visit("POST", "counter.fn.localhost", "/any/path?q=1", "a body")
	var answer struct{ Calls int }
	if err == nil {
		err = json.Unmarshal([]byte(a.body), &answer)
	}
	if err != nil || a.status != 200 || answer.Calls != 4 || a.header.Get("Nuage-Billed-Ms") == "" {
		t.Errorf("the trigger answers %d %q, %v", a.status, a.body, err)
	}
}
