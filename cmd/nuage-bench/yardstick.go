package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"nuage/storage"
)

// The paths of the yardsticks.
const (
	echoPath    = "/echo"
	ceilingPath = "/ceiling"
	forkPath    = "/fork"
)

// yardsticks are the least that could do what functions do: a handler that echoes, one that commits the record of a call durably, with
// group commit as the cloud has it, and one that starts a Python for each call and then commits. They have a process of their own, as
// the cloud has, so that both share the machine with the same client.
type yardsticks struct {
	url string
	cmd *exec.Cmd
	dir string
}

// startYardsticks starts this program once more, as -yardsticks.
func startYardsticks(ctx context.Context) (*yardsticks, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	y := &yardsticks{}
	if y.dir, err = os.MkdirTemp("", "nuage-bench-yard-"); err != nil {
		return nil, err
	}
	y.cmd = exec.CommandContext(ctx, self, "-yardsticks", y.dir)
	y.cmd.Stderr = os.Stderr
	out, err := y.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := y.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		y.stop()
		return nil, fmt.Errorf("the yardsticks do not start: %w", err)
	}
	y.url = "http://" + strings.TrimSpace(line)
	return y, nil
}

func (y *yardsticks) stop() {
	_ = y.cmd.Process.Kill()
	_ = y.cmd.Wait()
	os.RemoveAll(y.dir)
}

// serveYardsticks serves them until the process is killed, and tells its address on stdout.
func serveYardsticks(dir string) error {
	store, err := storage.Open(filepath.Join(dir, "state.db"), storage.Options{NewCloudID: func() string { return "bench" }})
	if err != nil {
		return err
	}
	defer store.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc(echoPath, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	mux.HandleFunc(ceilingPath, func(w http.ResponseWriter, r *http.Request) {
		answerCommitted(w, r, store, func(event []byte) ([]byte, error) { return event, nil })
	})
	mux.HandleFunc(forkPath, func(w http.ResponseWriter, r *http.Request) { answerCommitted(w, r, store, forkPython) })
	return http.Serve(listener, mux)
}

// receipts is the log of the records, with the index that the cloud's has.
var receipts = storage.NewLog("receipts", storage.Many("function", func(r *record) string { return r.FunctionID }))

func answerCommitted(w http.ResponseWriter, r *http.Request, store *storage.Store, do func([]byte) ([]byte, error)) {
	event, err := io.ReadAll(r.Body)
	if err == nil {
		event, err = do(event)
	}
	var done storage.Record
	if err == nil {
		done, err = receipts.Record(sample())
	}
	if err == nil {
		err = store.Append(r.Context(), done)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(event)
}

// record has the fields and the size of a stored receipt.
type record struct {
	RequestID   string    `json:"id"`
	Project     string    `json:"p"`
	Function    string    `json:"n"`
	FunctionID  string    `json:"f"`
	Version     int       `json:"v"`
	StartedAt   time.Time `json:"at"`
	BilledAt    time.Time `json:"b"`
	DurationUs  int64     `json:"d"`
	InitUs      int64     `json:"i"`
	BilledMs    int64     `json:"ms"`
	MemoryMB    int64     `json:"mb"`
	MaxMemoryMB int64     `json:"mx"`
	Status      string    `json:"s"`
}

func sample() record {
	now := time.Now().UTC()
	return record{RequestID: "6837cea9-9340-4450-92d7-3c16d4eaf3af", Project: "default", Function: "digest", FunctionID: "fn-0123456789abcdef", Version: 1,
		StartedAt: now, BilledAt: now, DurationUs: 62, InitUs: 12, BilledMs: 1, MemoryMB: 128, MaxMemoryMB: 1, Status: "ok"}
}

// pythonOnce is a whole process for one event of the handler in greet.py.
const pythonOnce = `import json, sys
from greet import handler
json.dump(handler(json.load(sys.stdin), None), sys.stdout)`

func forkPython(event []byte) ([]byte, error) {
	cmd := exec.Command("python3", "-c", pythonOnce)
	cmd.Dir, cmd.Stdin = samplesDir, bytes.NewReader(event)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return out, err
}
