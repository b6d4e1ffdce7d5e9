package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"nuage/api"
	"nuage/storage"
)

// benchAPI creates a key and lists twenty, again and again, against a bare net/http handler that keeps them in memory.
func benchAPI(ctx context.Context, binary string) ([]row, error) {
	c, err := start(ctx, binary, "sim")
	if err != nil {
		return nil, err
	}
	defer c.stop()
	bare := httptest.NewServer(bareKeys())
	defer bare.Close()
	const public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJOnW5UuXBKMBTsM1bYYGVxrC7dF2vrTbqHjQVCU3mCl bench"
	pair := func(base, prefix string, n int) (time.Duration, error) {
		call := newCaller(c.token)
		times := make([]time.Duration, n)
		for i := range times {
			body, err := json.Marshal(map[string]any{"name": fmt.Sprintf("%s%d", prefix, i), "spec": map[string]string{"publicKey": public}})
			if err != nil {
				return 0, err
			}
			begin := time.Now()
			err = errors.Join(call.do("POST", base+"/v1/projects/default/keys", body), call.do("GET", base+"/v1/projects/default/keys?limit=20", nil))
			if err != nil {
				return 0, err
			}
			times[i] = time.Since(begin)
		}
		return median(times), nil
	}
	ours, err := pair(c.url, "k", 300)
	if err != nil {
		return nil, err
	}
	base, err := pair(bare.URL, "k", 300)
	return []row{timeRow("API: create a key, list 20", ours, base, "durable, checked, recorded", "bare handler in memory")}, err
}

// bareKeys is the least that answers the same two requests.
func bareKeys() http.Handler {
	var mu sync.Mutex
	var keys []json.RawMessage
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/projects/default/keys", func(w http.ResponseWriter, r *http.Request) {
		var key json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&key); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		keys = append(keys, key)
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(key)
	})
	mux.HandleFunc("GET /v1/projects/default/keys", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_ = json.NewEncoder(w).Encode(map[string]any{"items": keys[:min(20, len(keys))]})
	})
	return mux
}

// benchWasm calls a small wasm function over HTTP, each answer behind its durable receipt, against a bare handler that
// commits a record of the same size, and against the store's group commit without any HTTP.
func benchWasm(ctx context.Context, binary string) ([]row, error) {
	c, err := start(ctx, binary, "sim")
	if err != nil {
		return nil, err
	}
	defer c.stop()
	if err := deployGreeting(ctx, c); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "nuage-bench-store-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	store, err := storage.Open(filepath.Join(dir, "state.db"), storage.Options{NewCloudID: func() string { return "bench" }})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	log := storage.NewLog("receipts", storage.Many("function", func(r *record) string { return r.FunctionID }))
	commit := func() error {
		r, err := log.Record(sample())
		if err != nil {
			return err
		}
		return store.Append(ctx, r)
	}
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := commit(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	defer bare.Close()
	var rows []row
	for _, callers := range []int{1, 8, 64} {
		more, err := wasmRows(callers, c, bare.URL, commit)
		rows = append(rows, more...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func wasmRows(callers int, c *cloud, bare string, commit func() error) ([]row, error) {
	const each = 4 * time.Second
	call := newCaller(c.token)
	event := []byte(`{"name":"Ada"}`)
	ours, err := rate(callers, each, func() error {
		return call.do("POST", c.url+"/v1/projects/default/functions/greeting/invocations", event)
	})
	if err != nil {
		return nil, err
	}
	handler, err := rate(callers, each, func() error { return call.do("POST", bare, event) })
	if err != nil {
		return nil, err
	}
	ceiling, err := rate(callers, each, commit)
	name := fmt.Sprintf("wasm calls, %d at once", callers)
	return []row{
		rateRow(name, ours, handler, "over HTTP, durable receipt", "bare handler, same commit"),
		rateRow(name, ours, ceiling, "over HTTP, durable receipt", "group commit alone, no HTTP"),
	}, err
}

// record has the fields and the size of a stored receipt.
type record struct {
	RequestID, Project, Function, FunctionID string
	Version                                  int
	StartedAt, BilledAt                      time.Time
	Duration, BilledMs, MemoryMB, MaxMB      int64
	Status                                   string
}

func sample() record {
	now := time.Now().UTC()
	return record{"6837cea9-9340-4450-92d7-3c16d4eaf3af", "default", "greeting", "fn-0123456789abcdef", 1, now, now, 62, 1, 128, 1, "ok"}
}

// deployGreeting deploys the sample that greets.
func deployGreeting(ctx context.Context, c *cloud) error {
	code, err := os.ReadFile("controlplane/labs/guestbook/greeting/greeting.wasm")
	if err != nil {
		return err
	}
	var folder bytes.Buffer
	t := tar.NewWriter(&folder)
	if err := t.WriteHeader(&tar.Header{Name: "greeting.wasm", Mode: 0o644, Size: int64(len(code)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	if _, err := t.Write(code); err != nil {
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	source, err := c.api.Sources.Put(ctx, "default", &folder)
	if err != nil {
		return err
	}
	_, err = c.api.Functions.Create(ctx, "default", "greeting", api.FunctionSpec{Runtime: "wasm", Source: source.ID})
	return err
}
