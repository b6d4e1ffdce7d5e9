//go:build unix

package storage_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nuage/api"
	"nuage/storage"
)

// childEnv makes the test binary play another process, see children.
const childEnv = "STORAGE_TEST_CHILD"

// children are what the test binary can be started as. Each gets the path of a store and the test's end of a pipe.
func children() map[string]func(path string) error {
	return map[string]func(path string) error{"hold": holdChild, "append": appendChild, "full": fullChild}
}

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		if err := children()[role](os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// startChild runs the test binary in a role and returns its output line by line.
func startChild(t *testing.T, role, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], path)
	cmd.Env = append(os.Environ(), childEnv+"="+role)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd, bufio.NewScanner(out)
}

// holdChild opens the store, says so, and keeps it until its input ends.
func holdChild(path string) error {
	s, err := storage.Open(path, storage.Options{NewCloudID: func() string { return "held" }, Address: "127.0.0.1:7099"})
	if err != nil {
		return err
	}
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	fmt.Println("held")
	<-stop.Done()
	return s.Close()
}

func TestLockHeldByAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	child, lines := startChild(t, "hold", path)
	if !lines.Scan() {
		t.Fatal("the child did not open the store")
	}
	holder, err := storage.ReadHolder(path)
	must(t, err)
	if holder.PID != child.Process.Pid || holder.Address != "127.0.0.1:7099" {
		t.Errorf("holder %+v, want pid %d at 127.0.0.1:7099", holder, child.Process.Pid)
	}
	message := fmt.Sprintf(`cannot open "PATH": it is in use, probably by the nuage with pid %d at 127.0.0.1:7099; stop that one ("nuage down") or choose another home`, child.Process.Pid)
	_, err = storage.Open(path, testOptions())
	wantError(t, err, api.Conflict, path, message)
	err = storage.Restore(path, strings.NewReader("not even read"), testOptions())
	wantError(t, err, api.Conflict, path, message)

	must(t, os.WriteFile(path+".holder", []byte(`{"pid":999999999}`), 0o600))
	_, err = storage.Open(path, testOptions())
	wantError(t, err, api.Conflict, path, `cannot open "PATH": another process holds it; stop that one ("nuage down") or choose another home`)

	must(t, child.Process.Kill())
	_ = child.Wait()
	openAt(t, path, testOptions())
}

// openFiles counts how often this process has the file at path open.
func openFiles(t *testing.T, path string) int {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	n := 0
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == path {
			n++
		}
	}
	return n
}

// openWaiting opens the store at path, which is held, in the background and returns once it waits for the lock.
func openWaiting(t *testing.T, path string) <-chan *storage.Store {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	opts := testOptions()
	opts.LockTimeout = 20 * time.Second
	opened := make(chan *storage.Store, 1)
	go func() {
		s, err := storage.Open(path, opts)
		if err != nil {
			t.Error(err)
		}
		opened <- s
	}()
	eventually(t, func() bool { return openFiles(t, path) == 2 })
	return opened
}

func TestOpenWaitsForTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	first, err := storage.Open(path, testOptions())
	must(t, err)
	opened := openWaiting(t, path)
	select {
	case <-opened:
		t.Fatal("opened twice")
	default:
	}
	update(t, first, putAll(apps(), app{ID: "1", Name: "first"}))
	must(t, first.Close())
	must(t, (<-opened).Close())
	if got := namesAt(t, path); got != "first " {
		t.Errorf("the store has %q, want what the first holder wrote", got)
	}
}

// TestOpenWaitingThroughARestore: who waits for the lock of a file that is replaced meanwhile gets the new one.
func TestOpenWaitingThroughARestore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	must(t, storage.Restore(path+".new", bytes.NewReader(backupOf(t, app{ID: "1", Name: "new"})), testOptions()))
	first, err := storage.Open(path, testOptions())
	must(t, err)
	opened := openWaiting(t, path)
	must(t, os.Rename(path+".new", path))
	must(t, first.Close())
	s := <-opened
	defer func() { must(t, s.Close()) }()
	view(t, s, func(tx *storage.Tx) {
		if !apps().Has(tx, "1") {
			t.Error("opened the file that was replaced")
		}
	})
}
