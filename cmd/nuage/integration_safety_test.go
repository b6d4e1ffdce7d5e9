package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"nuage/api"
)

// testContainers looks at every container of a cloud in use for what none may have.
func testContainers(t *testing.T, c *liveCloud) {
	var login api.Credentials
	c.decode(t, &login, "database", "credentials", "vault", "-o", "json")
	c.checkNoSecrets(t, login.Password)
	all := c.containers(t)
	kinds := map[string]bool{}
	for _, k := range all {
		kinds[k.kind()] = true
		h := k.HostConfig
		if h.Privileged || h.NetworkMode == "host" || h.PidMode == "host" || h.IpcMode == "host" || h.Memory == 0 || h.CPUQuota == 0 || h.PidsLimit == 0 {
			t.Errorf("%s: privileged or in a namespace of the host or without a limit: %+v", k.Name, h)
		}
		for _, m := range k.Mounts {
			if strings.Contains(m.Source, "docker.sock") || m.Type == "bind" && k.kind() != "function" {
				t.Errorf("%s mounts %s at %s", k.Name, m.Source, m.Destination)
			}
		}
		if !allowedCapabilities(k) {
			t.Errorf("%s, a %s: capabilities %v without %v, %v", k.Name, k.kind(), h.CapAdd, h.CapDrop, h.SecurityOpt)
		}
		if k.kind() == "function" {
			eventually(t, 30*time.Second, k.Name+" has given up what its rules took", func() error { return powerless(k) })
		}
		for port, bound := range h.PortBindings {
			for _, b := range bound {
				if b.HostIP != "127.0.0.1" {
					t.Errorf("%s publishes %s at %q", k.Name, port, b.HostIP)
				}
			}
		}
	}
	if !kinds["instance"] || !kinds["app"] || !kinds["database"] {
		t.Errorf("only %v were looked at", kinds)
	}
}

// allowedCapabilities: only a machine's first process may have NET_ADMIN, and that of a sandbox in a network until its rules are loaded;
// nothing else can send raw packets or gain privileges. A sandbox has no other capability but those its guest needs to run code as another user.
func allowedCapabilities(k container) bool {
	has := func(list []string, name string) bool {
		return slices.ContainsFunc(list, func(c string) bool { return strings.TrimPrefix(c, "CAP_") == name })
	}
	h := k.HostConfig
	if k.kind() == "instance" {
		return len(h.CapAdd) == 1 && has(h.CapAdd, "NET_ADMIN")
	}
	sandbox := []string{"KILL", "SETGID", "SETUID"}
	if h.NetworkMode != "none" {
		sandbox = append(sandbox, "NET_ADMIN")
	}
	for _, c := range h.CapAdd {
		if k.kind() != "function" || !slices.Contains(sandbox, strings.TrimPrefix(c, "CAP_")) {
			return false
		}
	}
	return (has(h.CapDrop, "ALL") || has(h.CapDrop, "NET_RAW") && k.kind() != "function") && slices.Contains(h.SecurityOpt, "no-new-privileges")
}

// powerless looks at the first process of a sandbox: it can change no network any more. One that has gone can't either.
func powerless(k container) error {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", k.State.Pid))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		set, text, _ := strings.Cut(line, ":")
		if set != "CapPrm" && set != "CapEff" && set != "CapInh" {
			continue
		}
		const network = 1<<12 | 1<<13 // NET_ADMIN, NET_RAW
		has, bad := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		if err = errors.Join(err, bad); has&network != 0 {
			return fmt.Errorf("%s", line)
		}
	}
	return err
}

// testAccess is who gets in: a token's owner, from this laptop, under the cloud's own name.
func testAccess(t *testing.T, c *liveCloud) {
	t.Run("home", func(t *testing.T) {
		for name, want := range map[string]fs.FileMode{".": 0o700, "state.db": 0o600, "secret.key": 0o600, "config.json": 0o600, "nuage.log": 0o600} {
			if info, err := os.Stat(filepath.Join(c.home, name)); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v; want mode %o", name, info, err, want)
			}
		}
	})
	secret := strings.TrimSpace(c.do(t, "token", "create", "ci", "--project", "default"))
	c.do(t, "project", "create", "other")
	for _, try := range []struct {
		what, path, header string
		status             int
	}{
		{"no token", "/v1/projects/default/instances", "Authorization: ", 401},
		{"a wrong token", "/v1/projects/default/instances", "Authorization: Bearer " + secret[:len(secret)-1] + "~", 401},
		{"no token, no such path within", "/v1/projects/default/instances/x", "Authorization: ", 401},
		{"a foreign host", "/v1/projects/default/instances", "Host: evil.example", 421},
		{"a foreign origin", "/v1/projects/default/instances", "Origin: http://evil.example", 403},
		{"the limited token", "/v1/projects/default/instances", "Authorization: Bearer " + secret, 200},
		{"the limited token elsewhere", "/v1/projects/other/instances", "Authorization: Bearer " + secret, 403},
		{"the limited token for tokens", "/v1/tokens", "Authorization: Bearer " + secret, 403},
		{"health without a token", "/healthz", "Authorization: ", 200},
		{"documentation without a token", "/docs", "Authorization: ", 200},
	} {
		if a, err := c.call("GET", try.path, "", try.header); err != nil || a.status != try.status {
			t.Errorf("%s: %d %.200s, %v; want %d", try.what, a.status, a.body, err, try.status)
		}
	}
	c.do(t, "token", "revoke", "ci")
	if o := c.tryWith([]string{"NUAGE_TOKEN=" + secret}, "instance", "list"); o.status != 1 || !strings.Contains(o.err, "cannot ") {
		t.Errorf("with a revoked token: %s", o)
	}
	if a, err := c.visit("GET", "evil.example", "/", ""); err != nil || a.status != 404 {
		t.Errorf("the edge answers a foreign host with %d, %v", a.status, err)
	}
	c.checkNoSecrets(t, secret)
}

// checkNoSecrets: neither the state nor the log holds a token's or a database's secret as it is.
func (c *liveCloud) checkNoSecrets(t *testing.T, secrets ...string) {
	t.Helper()
	for _, name := range []string{"state.db", "nuage.log"} {
		data, err := os.ReadFile(filepath.Join(c.home, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range append(secrets, c.token) {
			if strings.Contains(string(data), s) {
				t.Errorf("%s holds a secret in the clear", name)
			}
		}
	}
}

// testMetrics reads the metrics as Prometheus does and checks them as promtool does.
func testMetrics(t *testing.T, c *liveCloud) {
	c.do(t, "function", "deploy", "metered", "--runtime", "wasm", "--source", greeting)
	c.do(t, "function", "invoke", "metered", "--data", `{"name":"Ada"}`)
	a, err := c.call("GET", "/metrics", "")
	if err != nil || a.status != 200 {
		t.Fatalf("/metrics answers %d, %v", a.status, err)
	}
	problems, err := promlint.New(strings.NewReader(a.body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, want := range []string{"go_goroutines ", "process_cpu_seconds_total ", "nuage_http_requests_total{", "nuage_workloads{", "nuage_function_invocations_total{",
		"nuage_function_duration_seconds_bucket{", "nuage_function_billed_seconds_total{", "nuage_spend_usd{", "/v1/projects/{project}/functions"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
	if strings.Contains(a.body, "/v1/projects/default/") {
		t.Error("requests are counted by path, not by template")
	}
}

// testBill adds the bill up, and compares a function's receipts with it.
func testBill(t *testing.T, c *liveCloud) {
	var bill api.Bill
	c.decode(t, &bill, "bill", "-o", "json")
	services := map[string]bool{}
	total := int64(0)
	for _, line := range bill.Lines {
		services[line.Service] = true
		total += micros(t, line.Cost)
	}
	if got := micros(t, bill.Total); got != total || len(bill.Lines) == 0 {
		t.Errorf("the total is %s, its %d lines add up to %d millionths", bill.Total, len(bill.Lines), total)
	}
	for _, s := range []string{"instances", "networks", "apps", "databases", "functions"} {
		if !services[s] {
			t.Errorf("nothing on the bill for %s, only for %v", s, services)
		}
	}
	var calls api.List[api.Receipt]
	c.decode(t, &calls, "bill", "calls", "metered", "-o", "json")
	if len(calls.Items) != 1 || calls.Items[0].BilledMs < 1 || calls.Items[0].Cost == "" || calls.Items[0].Status != "ok" {
		t.Errorf("the receipts of one call: %+v", calls.Items)
	}
}

// micros reads an amount with 6 decimals as an integer.
func micros(t *testing.T, amount string) int64 {
	t.Helper()
	whole, rest, ok := strings.Cut(amount, ".")
	n, err := strconv.ParseInt(whole+rest, 10, 64)
	if err != nil || !ok || len(rest) != 6 {
		t.Fatalf("%q is no amount with 6 decimals (%v)", amount, err)
	}
	return n
}
