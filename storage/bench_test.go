package storage_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nuage/storage"
)

// receipt is about 300 bytes as JSON, like the receipt of a call.
type receipt struct {
	RequestID string    `json:"requestId"`
	Function  string    `json:"function"`
	At        time.Time `json:"at"`
	Duration  int64     `json:"durationMs"`
	Memory    int64     `json:"memoryMb"`
	Padding   string    `json:"padding"`
}

func receipts() *storage.Log[receipt] {
	return storage.NewLog("receipts", storage.Many("function", func(r *receipt) string { return r.Function }))
}

func plainReceipts() *storage.Log[receipt] { return storage.NewLog[receipt]("plain") }

func someReceipt(i int64) receipt {
	return receipt{
		RequestID: fmt.Sprintf("%032d", i), Function: fmt.Sprintf("default/f%d", i%50), At: time.Unix(1e9, i),
		Duration: i % 1000, Memory: 128, Padding: strings.Repeat("x", 150),
	}
}

func benchStore(b *testing.B) *storage.Store {
	b.Helper()
	s, err := storage.Open(filepath.Join(b.TempDir(), "state.db"), storage.Options{NewCloudID: func() string { return "bench" }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// BenchmarkAppend measures durable 300-byte records through the group commit, by number of callers.
func BenchmarkAppend(b *testing.B) {
	logs := map[string]*storage.Log[receipt]{"plain": plainReceipts(), "indexed": receipts()}
	for _, callers := range []int{1, 8, 64, 512} {
		for _, kind := range []string{"plain", "indexed"} {
			b.Run(fmt.Sprintf("%s/callers=%d", kind, callers), func(b *testing.B) {
				s := benchStore(b)
				inParallel(b, callers, func(i int64) error {
					r, err := logs[kind].Record(someReceipt(i))
					if err != nil {
						return err
					}
					return s.Append(context.Background(), r)
				})
				reportBatch(b, s)
			})
		}
	}
}

// BenchmarkCommit is BenchmarkAppend with a function that writes a table as well, 64 callers.
func BenchmarkCommit(b *testing.B) {
	log, s := receipts(), benchStore(b)
	table := storage.NewTable("counters", func(c *counter) string { return c.ID })
	inParallel(b, 64, func(i int64) error {
		r, err := log.Record(someReceipt(i))
		if err != nil {
			return err
		}
		return s.Commit(context.Background(), func(tx *storage.Tx) error {
			return table.Put(tx, counter{ID: fmt.Sprintf("c%d", i%100), N: i})
		}, r)
	})
	reportBatch(b, s)
}

// BenchmarkUpdate is the bare alternative: one transaction a record, 64 callers.
func BenchmarkUpdate(b *testing.B) {
	log, s := plainReceipts(), benchStore(b)
	inParallel(b, 64, func(i int64) error {
		return s.Update(func(tx *storage.Tx) error {
			_, err := log.Append(tx, someReceipt(i))
			return err
		})
	})
}

// BenchmarkLastBy reads the last 20 calls of one function among 50.
func BenchmarkLastBy(b *testing.B) {
	log, s := receipts(), benchStore(b)
	err := s.Update(func(tx *storage.Tx) error {
		for i := range int64(50_000) {
			if _, err := log.Append(tx, someReceipt(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for b.Loop() {
		err := s.View(func(tx *storage.Tx) error {
			got, err := log.LastBy(tx, "function", "default/f7", 0, 20)
			if err == nil && len(got) != 20 {
				err = fmt.Errorf("got %d entries", len(got))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

type counter struct {
	ID string `json:"id"`
	N  int64  `json:"n"`
}

// inParallel runs op b.N times from that many goroutines and reports records/s and the median latency.
func inParallel(b *testing.B, callers int, op func(i int64) error) {
	b.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	took := make([]atomic.Int64, 2000) // histogram, 10 µs a slot
	b.ResetTimer()
	for range callers {
		group.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				start := time.Now()
				if err := op(i); err != nil {
					b.Error(err)
					return
				}
				took[min(time.Since(start)/(10*time.Microsecond), 1999)].Add(1)
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(quantile(took, b.N, 50))*10, "p50-µs")
	b.ReportMetric(float64(quantile(took, b.N, 99))*10, "p99-µs")
}

func quantile(slots []atomic.Int64, n, percent int) int {
	seen := int64(0)
	for i := range slots {
		if seen += slots[i].Load(); seen*100 >= int64(n*percent) {
			return i
		}
	}
	return len(slots)
}

func reportBatch(b *testing.B, s *storage.Store) {
	b.Helper()
	st, err := s.Stats()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(st.Committed)/float64(max(st.Commits, 1)), "calls/commit")
}
