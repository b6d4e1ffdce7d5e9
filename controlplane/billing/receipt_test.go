package billing

import (
	"errors"
	"math"
	"testing"

	"nuage/api"
)

func TestReceipt(t *testing.T) {
	teaching, lambda := nuage(t), lambdaBook(t)
	for _, c := range []struct {
		name             string
		book             *Book
		memory, ms       int64
		gbs, price, cost string
	}{
		// 128/1024 GB x 0.007 s = 0.000875; x $0.00002 = $0.0000000175; and $0.0000002 for the request.
		{"7 ms at 128 MB", teaching, 128, 7, "0.000875", "0.00002", "0.000000217500"},
		{"1 ms at 128 MB", teaching, 128, 1, "0.000125", "0.00002", "0.000000202500"},
		{"1 ms at 129 MB", teaching, 129, 1, "0.0001259765625", "0.00002", "0.000000202520"}, // 0.00000020251953125
		{"nothing but the request", teaching, 128, 0, "0", "0.00002", "0.000000200000"},
		{"the longest and largest", teaching, 10240, 900_000, "9000", "0.00002", "0.180000200000"},
		// shared prices of AWS Lambda: one 1 ms, 128 MB call = $0.0000002020833; 100 ms = $0.000000408; 1 GB x 500 ms = $0.00000853.
		{"Lambda 1 ms at 128 MB", lambda, 128, 1, "0.000125", "0.0000166667", "0.000000202083"},
		{"Lambda 100 ms at 128 MB", lambda, 128, 100, "0.0125", "0.0000166667", "0.000000408334"}, // ...40833375
		{"Lambda 500 ms at 1 GB", lambda, 1024, 500, "0.5", "0.0000166667", "0.000008533350"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.book.Receipt(api.Receipt{RequestID: "r", MemoryMB: c.memory, BilledMs: c.ms})
			want := api.Receipt{RequestID: "r", MemoryMB: c.memory, BilledMs: c.ms, GBSeconds: c.gbs, Price: c.price, Cost: c.cost}
			if err != nil || got != want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
	if _, err := teaching.Receipt(api.Receipt{MemoryMB: 128, BilledMs: -1}); !errors.Is(err, api.Invalid) {
		t.Errorf("a negative time: %v", err)
	}
	if _, err := teaching.Receipt(api.Receipt{MemoryMB: 128, BilledMs: math.MaxInt64}); !errors.Is(err, api.Exhausted) {
		t.Errorf("an endless time: %v", err)
	}
}
