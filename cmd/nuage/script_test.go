package main

import (
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nuage/storage"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"nuage": main})
}

// TestScripts runs testdata/*.txtar, which read as a tour of the command line. Each has a home of its own; clouds it
// leaves running are ended. Further commands:
//
//	exits N CMD ARGS...    runs a command that must exit with status N
//	capture NAME REGEXP    sets an environment variable to the first group found in the last stdout
//	unhex FROM TO          writes a binary file from hex digits; # begins a comment
//	get STATUS URL         fetches a page until it has that status, for 5 s; its body is the new stdout
//	killed                 kills the home's cloud, as a crash does
//	awaits CMD ARGS...     runs a command again and again until it succeeds
//	receipts N             writes receipts of 20 functions, each of 8 ms at 128 MB, into the home's store, which nobody holds
//	swift MS               asks for the bill until an answer comes within so many milliseconds, for 20 s, as the machine may be busy
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": scriptExits, "capture": scriptCapture, "unhex": scriptUnhex, "get": scriptGet, "killed": scriptKilled, "awaits": scriptAwaits,
			"receipts": scriptReceipts, "swift": scriptSwift,
		},
	})
}

func setUpScript(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("NUAGE_HOME", home)
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("NUAGE_PROGRESS", "plain")
	env.Defer(func() {
		if err := endCloud(home, syscall.SIGKILL); err != nil {
			env.T().Log(err)
		}
	})
	return nil
}

// endCloud ends the process that holds a home and waits until it is gone. There need not be one.
func endCloud(home string, signal syscall.Signal) error {
	h, err := storage.ReadHolder(statePath(home))
	if err != nil {
		return nil //nolint:nilerr // nobody holds it
	}
	if err := syscall.Kill(h.PID, signal); err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := storage.ReadHolder(statePath(home)); err != nil {
			return nil
		}
	}
	return errors.New("the cloud with pid " + strconv.Itoa(h.PID) + " does not end")
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N CMD ARGS...")
	}
	status := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("exit status %d, want %s", status, args[0])
	}
}

func scriptCapture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME REGEXP")
	}
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) < 2 {
		ts.Fatalf("%s is not in the output", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func scriptUnhex(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: unhex FROM TO")
	}
	digits := regexp.MustCompile(`(?m)#.*$|\s`).ReplaceAllString(ts.ReadFile(args[0]), "")
	data, err := hex.DecodeString(digits)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o600))
}

func scriptGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: get STATUS URL")
	}
	c := http.Client{Transport: &http.Transport{DialContext: dialLocalhost, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, err := c.Get(args[1])
		ts.Check(err)
		body, err := io.ReadAll(resp.Body)
		ts.Check(errors.Join(err, resp.Body.Close()))
		if strconv.Itoa(resp.StatusCode) == args[0] {
			_, err := io.WriteString(ts.Stdout(), strings.TrimSpace(string(body))+"\n")
			ts.Check(err)
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("it answers %s, want %s: %s", resp.Status, args[0], body)
		}
	}
}

func scriptKilled(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: killed")
	}
	ts.Check(endCloud(ts.Getenv("NUAGE_HOME"), syscall.SIGKILL))
}

func scriptAwaits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: awaits CMD ARGS...")
	}
	end := time.Now().Add(20 * time.Second)
	for err := ts.Exec(args[0], args[1:]...); err != nil; err = ts.Exec(args[0], args[1:]...) {
		if time.Now().After(end) {
			ts.Fatalf("it does not succeed: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
