package billing

import (
	"fmt"
	"testing"
	"time"

	"nuage/api"
)

// BenchmarkBill rates 100,000 records of 100 functions and 100 instances as a store would give them.
func BenchmarkBill(b *testing.B) {
	book, usage := nuage(b), make([]api.Usage, 0, 100_000)
	for i := range 50_000 {
		name := fmt.Sprint("r", i%100)
		usage = append(usage, used("f"+name, FunctionGBSeconds, "", 896, "11-02 10:00:00", 0),
			ran("i"+name, InstanceHours("small"), fmt.Sprint("run", i/500), "11-02 10:00:00", time.Minute))
	}
	for _, by := range []string{ByNothing, ByDay} {
		b.Run("by="+by, func(b *testing.B) {
			for b.Loop() {
				if _, err := book.Bill(november(by), usage); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(perSecond(b, len(usage)), "records/s")
		})
	}
}

func BenchmarkReceipt(b *testing.B) {
	book := nuage(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := book.Receipt(api.Receipt{MemoryMB: 128, BilledMs: 7}); err != nil {
			b.Fatal(err)
		}
	}
}

func perSecond(b *testing.B, records int) float64 {
	return float64(b.N) * float64(records) / b.Elapsed().Seconds()
}
