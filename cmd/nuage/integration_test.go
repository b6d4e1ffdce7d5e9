package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"nuage/api"
)

// TestIntegration drives whole clouds over a real engine as their users do: by the program's command line, by OpenSSH
// and over HTTP. Each cloud has a home, an id and ports of its own, and leaves nothing behind.
func TestIntegration(t *testing.T) {
	needEngine(t)
	program := buildProgram(t)
	together(t, map[string]func(*testing.T){
		"kills":   func(t *testing.T) { testKills(t, startCloud(t, program)) },
		"life":    func(t *testing.T) { testLife(t, program) },
		"calls":   func(t *testing.T) { testCallsSurvive(t, startCloud(t, program)) },
		"events":  func(t *testing.T) { testEventsSurvive(t, startCloud(t, program)) },
		"restore": func(t *testing.T) { testRestore(t, startCloud(t, program)) },
	})
	t.Run("shared", func(t *testing.T) { testShared(t, startCloud(t, program)) })
}

// testShared runs what does not stop the cloud on one: side by side, but for what has to be quick.
func testShared(t *testing.T, c *liveCloud) {
	together(t, map[string]func(*testing.T){
		"instance":  func(t *testing.T) { testInstance(t, c) },
		"debian":    func(t *testing.T) { testDebian(t, c) },
		"app":       func(t *testing.T) { testApp(t, c) },
		"bad input": func(t *testing.T) { testBadInput(t, c) },
		"haste":     func(t *testing.T) { testHaste(t, c) },
		"access":    func(t *testing.T) { testAccess(t, c) },
	})
	t.Run("ports", func(t *testing.T) { testPorts(t, c) })
	t.Run("isolation", func(t *testing.T) { testIsolation(t, c) })
	t.Run("healing", func(t *testing.T) { testHealing(t, c) })
	t.Run("functions", func(t *testing.T) { testFunctions(t, c) })
	t.Run("metrics", func(t *testing.T) { testMetrics(t, c) })
	t.Run("containers", func(t *testing.T) { testContainers(t, c) })
	t.Run("bill", func(t *testing.T) { testBill(t, c) })
}

// together runs subtests side by side, however few processors there are: they mostly wait.
func together(t *testing.T, tests map[string]func(*testing.T)) {
	t.Helper()
	var all sync.WaitGroup
	for name, test := range tests {
		all.Go(func() { t.Run(name, test) })
	}
	all.Wait()
}

// needEngine skips where no engine answers, unless that is said to be a failure.
func needEngine(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a container engine; not with -short")
	}
	err := exec.Command("docker", "image", "inspect", "nuage/tiny:1", "nuage/debian-12:1", "nuage/python:1", "nuage/postgres:15").Run()
	switch {
	case err == nil:
	case os.Getenv("NUAGE_REQUIRE_ENGINE") == "1":
		t.Fatalf("no engine with the base images answers (%v); run make engine", err)
	default:
		t.Skip("*** SKIPPED: no container engine with the base images answers; run make engine ***")
	}
}

// buildProgram builds nuage as make does, with its guest inside, and returns its path.
func buildProgram(t *testing.T) string {
	t.Helper()
	guest := filepath.Join("guestbin", "nuage-guest-"+runtime.GOARCH)
	if _, err := os.Stat(guest); err != nil {
		goBuild(t, "-ldflags", "-s -w -buildid=", "-o", guest, "nuage/cmd/nuage-guest")
	}
	program := filepath.Join(t.TempDir(), "nuage")
	goBuild(t, "-o", program, "nuage/cmd/nuage")
	return program
}

func goBuild(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"build", "-trimpath"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// liveCloud is a cloud in a process of its own.
type liveCloud struct {
	program, home string
	listen, edge  string // addresses; those of the first start are used by all others
	token, id     string
	flags         []string // of up, besides

	process *exec.Cmd
	ended   chan struct{} // closed when process has ended
}

// startCloud starts a cloud over Docker. What it makes is removed when the test ends, and that is checked.
func startCloud(t *testing.T, program string) *liveCloud {
	t.Helper()
	c := newCloud(t, program)
	c.up(t)
	return c
}

// newCloud makes the home of a cloud that is still to be started.
func newCloud(t *testing.T, program string) *liveCloud {
	t.Helper()
	home, err := os.MkdirTemp("", "nuage-it-") // short: sockets lie in it
	if err != nil {
		t.Fatal(err)
	}
	c := &liveCloud{program: program, home: home, listen: "127.0.0.1:0", edge: "127.0.0.1:0"}
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			t.Logf("the end of the log of the cloud in %s:\n%s", home, c.logTail())
		}
		if o := c.try("reset", "--yes"); o.status != 0 {
			t.Errorf("%s", o)
		}
		c.checkGone(t)
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	return c
}

// checkGone fails the test where the engine still has something of the cloud.
func (c *liveCloud) checkGone(t *testing.T) {
	t.Helper()
	if c.id == "" {
		return
	}
	for _, what := range [][]string{{"ps", "--all"}, {"network", "ls"}, {"volume", "ls"}, {"image", "ls"}} {
		if left := dockerCLI(t, append(what, "--quiet", "--filter", "label=nuage.cloud="+c.id)...); left != "" {
			t.Errorf("left in the engine by docker %s:\n%s", strings.Join(what, " "), left)
		}
	}
}

// up starts the cloud's process and waits until it is ready.
func (c *liveCloud) up(t *testing.T) {
	t.Helper()
	c.launch(t)
	eventually(t, 30*time.Second, "the cloud is ready", c.isReady)
	c.learn(t)
}

// learn reads the running cloud's id, token and addresses.
func (c *liveCloud) learn(t *testing.T) {
	t.Helper()
	conf, err := loadConfig(c.home)
	if err != nil {
		t.Fatal(err)
	}
	var status api.CloudStatus
	c.decode(t, &status, "status", "-o", "json")
	c.token, c.id, c.listen, c.edge = conf.Token, status.CloudID, status.API, status.Edge
}

// launch starts the process and returns at once.
func (c *liveCloud) launch(t *testing.T) {
	t.Helper()
	log, err := logFile(c.home)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.process = exec.Command(c.program, "up", "--home", c.home, "--engine", "docker", "--listen", c.listen, "--edge", c.edge)
	c.process.Args = append(c.process.Args, c.flags...)
	c.process.Stdout, c.process.Stderr = log, log
	c.ended = make(chan struct{})
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	process, ended := c.process, c.ended
	go func() { _ = process.Wait(); close(ended) }() // how it ended is in its log
}

// isReady answers nil once this process, and not one before it, is ready.
func (c *liveCloud) isReady() error {
	select {
	case <-c.ended:
		return fatal{fmt.Errorf("the cloud ended: %s", c.logTail())}
	default:
	}
	holder, err := storageHolder(c.home)
	if err != nil || holder != c.process.Process.Pid {
		return fmt.Errorf("the home is held by %d, %v", holder, err)
	}
	conf, err := loadConfig(c.home)
	if err != nil || conf.URL == "" {
		return fmt.Errorf("no settings yet: %v", err)
	}
	if c.listen != "127.0.0.1:0" {
		conf.URL = "http://" + c.listen
	}
	if ready, what := askReady(context.Background(), conf.URL); !ready {
		return errors.New(what)
	}
	return nil
}

// interrupt ends the process as Ctrl-C does. Its workloads run on.
func (c *liveCloud) interrupt(t *testing.T) {
	t.Helper()
	if err := c.process.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the cloud did not end within 20 s")
	}
	if status := c.process.ProcessState.ExitCode(); status != 0 {
		t.Errorf("interrupted, it ends with status %d", status)
	}
	c.process = nil
}

// kill ends the process as kill -9 does. Its workloads run on.
func (c *liveCloud) kill() {
	if c.process == nil {
		return
	}
	_ = c.process.Process.Kill() // it may have ended
	<-c.ended
	c.process = nil
}

func (c *liveCloud) logTail() string {
	data, err := os.ReadFile(filepath.Join(c.home, "nuage.log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(data), "\n")
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}

// outcome is what a command line did.
type outcome struct {
	line     []string
	out, err string
	status   int
	took     time.Duration
}

func (o outcome) String() string {
	return fmt.Sprintf("nuage %s: status %d after %s\n%s%s", strings.Join(o.line, " "), o.status, o.took.Round(time.Millisecond), o.out, o.err)
}

// try runs a command line.
func (c *liveCloud) try(args ...string) outcome { return c.tryWith(nil, args...) }

// tryWith runs a command line with settings above the usual environment.
func (c *liveCloud) tryWith(env []string, args ...string) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var out, err bytes.Buffer
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Env = append([]string{"NUAGE_HOME=" + c.home, "HOME=" + c.home, "PATH=" + os.Getenv("PATH"), "NO_COLOR=1"}, env...)
	cmd.Stdout, cmd.Stderr = &out, &err
	begin := time.Now()
	failed := cmd.Run()
	o := outcome{line: args, out: out.String(), err: err.String(), status: cmd.ProcessState.ExitCode(), took: time.Since(begin)}
	if o.status < 0 {
		o.err += fmt.Sprintln(failed)
	}
	return o
}

// do runs a command line that must succeed and returns what it printed.
func (c *liveCloud) do(t *testing.T, args ...string) string {
	t.Helper()
	o := c.try(args...)
	if o.status != 0 {
		t.Fatal(o)
	}
	return o.out
}

// refused runs a command line that must fail with a status, and returns what it said.
func (c *liveCloud) refused(t *testing.T, status int, args ...string) string {
	t.Helper()
	o := c.try(args...)
	if o.status != status {
		t.Errorf("wanted status %d of %s", status, o)
	}
	return o.err
}

// decode runs a command line with machine output and reads it.
func (c *liveCloud) decode(t *testing.T, into any, args ...string) {
	t.Helper()
	out := c.do(t, args...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("nuage %s printed no such JSON: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// show reads one thing as the command line prints it.
func show[T any](t *testing.T, c *liveCloud, noun, name string) T {
	t.Helper()
	var item T
	c.decode(t, &item, noun, "show", name, "-o", "json")
	return item
}

// answer is what HTTP answered.
type answer struct {
	status int
	body   string
	header http.Header
}

// call sends a request to the control address with the cloud's token, unless a header says otherwise.
func (c *liveCloud) call(method, path, body string, headers ...string) (answer, error) {
	return request(method, "http://"+c.listen+path, body, append([]string{"Authorization: Bearer " + c.token}, headers...)...)
}

// visit sends a request to the edge under a host name.
func (c *liveCloud) visit(method, host, path, body string) (answer, error) {
	return request(method, "http://"+c.edge+path, body, "Host: "+host)
}

func request(method, url, body string, headers ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if r.Header.Set(name, value); name == "Host" {
			r.Host = value
		}
		if value == "" {
			r.Header.Del(name)
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, string(text), response.Header}, err
}

// fatal ends a wait: it can't come true any more.
type fatal struct{ error }

// eventually asks again and again until check answers nil; what it said last is why the test fails.
func eventually(t *testing.T, limit time.Duration, what string, check func() error) {
	t.Helper()
	var over fatal
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		err := check()
		switch {
		case err == nil:
			return
		case errors.As(err, &over) || time.Now().After(end):
			t.Fatalf("not within %s: %s: %v", limit, what, err)
		}
	}
}
