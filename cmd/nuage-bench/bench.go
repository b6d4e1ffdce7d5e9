package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
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
