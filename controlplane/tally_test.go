package controlplane

import (
	"fmt"
	"testing"
	"time"

	"nuage/api"
	"nuage/storage"
)

// BenchmarkBillOfManyCalls bills a month with 200,000 receipts of 20 functions: from all receipts, from stored roll-ups after a
// start, and from those in memory.
func BenchmarkBillOfManyCalls(b *testing.B) {
	const calls = 200_000
	p, err := setup{dir: b.TempDir(), idle: true}.start()
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := p.stop(); err != nil {
			b.Error(err)
		}
	}()
	at := p.billingNow()
	for from := 0; from < calls; from += 10_000 {
		err := p.Store.Update(func(tx *storage.Tx) error {
			for i := from; i < from+10_000; i++ {
				f := fmt.Sprint("f", i%20)
				_, err := receiptLog.Append(tx, receipt{RequestID: fmt.Sprintf("%032x", i), Project: "default", Function: f, FunctionID: "fn-" + f, Version: 1, StartedAt: at,
					BilledAt: at.Add(time.Duration(i%(24*3600)) * time.Second), DurationUs: 7123, BilledMs: 8, MemoryMB: 128, MaxMemoryMB: 60, Status: "ok"})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	bill := func(b *testing.B) {
		if _, err := p.cloud.Ledger.Bill(asCustomer(), api.BillQuery{}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("from receipts", func(b *testing.B) {
		for b.Loop() {
			p.tally = newTally()
			bill(b)
		}
	})
	if err := p.rollUp(); err != nil {
		b.Fatal(err)
	}
	b.Run("from stored roll-ups", func(b *testing.B) {
		for b.Loop() {
			p.tally = newTally()
			bill(b)
		}
	})
	b.Run("in memory", func(b *testing.B) {
		for b.Loop() {
			bill(b)
		}
	})
}
