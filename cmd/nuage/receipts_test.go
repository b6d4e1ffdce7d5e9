package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nuage/api"
	"nuage/api/client"
	"nuage/storage"
)

// storedReceipt is a receipt as the store has it.
type storedReceipt struct {
	ID         string    `json:"id"`
	Project    string    `json:"p"`
	Function   string    `json:"n"`
	FunctionID string    `json:"f"`
	Version    int       `json:"v"`
	StartedAt  time.Time `json:"at"`
	BilledAt   time.Time `json:"b"`
	DurationUs int64     `json:"d"`
	BilledMs   int64     `json:"ms"`
	MemoryMB   int64     `json:"mb"`
	UsedMB     int64     `json:"mx"`
	Status     string    `json:"s"`
}

func scriptReceipts(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	store, err := storage.Open(statePath(ts.Getenv("NUAGE_HOME")), storage.Options{NewCloudID: func() string { return "none" }, NoSync: true})
	ts.Check(err)
	log := storage.NewLog("receipts", storage.Many("function", func(r *storedReceipt) string { return r.FunctionID }))
	now := time.Now().UTC()
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	const batch = 20_000
	for from := 0; from < n; from += batch {
		ts.Check(store.Update(func(tx *storage.Tx) error {
			for i := from; i < min(from+batch, n); i++ {
				at := month.Add(now.Sub(month) / time.Duration(n) * time.Duration(i))
				_, err := log.Append(tx, storedReceipt{ID: fmt.Sprintf("6837cea9-9340-4450-92d7-%012x", i), Project: "default", Function: fmt.Sprint("f", i%20), FunctionID: fmt.Sprintf("fn-%016x", i%20),
					Version: 1, StartedAt: at, BilledAt: at, DurationUs: 7123, BilledMs: 8, MemoryMB: 128, UsedMB: 60, Status: "ok"})
				if err != nil {
					return err
				}
			}
			return nil
		}))
	}
	ts.Check(store.Close())
}

func scriptSwift(ts *testscript.TestScript, _ bool, args []string) {
	limit, err := strconv.Atoi(args[0])
	ts.Check(err)
	raw, err := os.ReadFile(filepath.Join(ts.Getenv("NUAGE_HOME"), "config.json"))
	ts.Check(err)
	var conf struct{ URL, Token string }
	ts.Check(json.Unmarshal(raw, &conf))
	cloud, best := client.New(conf.URL, conf.Token), time.Hour
	for end := time.Now().Add(20 * time.Second); best > time.Duration(limit)*time.Millisecond && time.Now().Before(end); {
		begin := time.Now()
		_, err := cloud.Ledger.Bill(context.Background(), api.BillQuery{})
		ts.Check(err)
		best = min(best, time.Since(begin))
	}
	if best > time.Duration(limit)*time.Millisecond {
		ts.Fatalf("a bill takes %s, %d ms are allowed", best, limit)
	}
}
