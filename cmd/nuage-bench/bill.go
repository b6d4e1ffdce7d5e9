package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"nuage/api"
	"nuage/storage"
)

// functionsBilled is how many functions the receipts are of, in every hour of the month so far.
const functionsBilled = 20

// benchBill bills a month of receipts: counted one by one, as after a start without roll-ups, from stored roll-ups after a start, and from
// those in memory. The base of counting is decoding the same receipts and nothing else.
func benchBill(ctx context.Context, binary string, receipts int) ([]row, error) {
	c, err := start(ctx, binary, "sim")
	if err != nil {
		return nil, err
	}
	defer c.stop()
	if _, err := c.run(ctx, "down"); err != nil {
		return nil, err
	}
	grown, text, err := fill(filepath.Join(c.home, "state.db"), receipts)
	if err != nil {
		return nil, err
	}
	raw, err := c.firstBill(ctx, receipts)
	if err != nil {
		return nil, err
	}
	again, err := c.bills(ctx, 20, receipts)
	if err != nil {
		return nil, err
	}
	if err := c.awaitRollUps(ctx); err != nil {
		return nil, err
	}
	stored, err := c.firstBill(ctx, receipts)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("%d receipts", receipts)
	decoded, err := decodeRate(text)
	counted := float64(receipts) / raw.Seconds()
	return []row{
		timeRow("bill of a month, "+what, raw, again, "each receipt, and the start", "from roll-ups in memory"),
		timeRow("first bill after a start, "+what, raw, stored, "each receipt", "from stored roll-ups"),
		rateRow("receipts counted by the rules of all books", counted, decoded, "read, decoded, counted", "decoding the JSON alone"),
		{"store a receipt takes", fmt.Sprintf("%d B", grown/int64(receipts)), fmt.Sprintf("%d B", len(text)), float64(grown) / float64(receipts) / float64(len(text)), "with its index", "its JSON"},
	}, err
}

// fill appends receipts to a store that nobody holds, and returns by how much it grew and one of them.
func fill(path string, receipts int) (grown int64, text []byte, err error) {
	before, err := os.Stat(path)
	if err != nil {
		return 0, nil, err
	}
	store, err := storage.Open(path, storage.Options{NewCloudID: func() string { return "none" }, NoSync: true})
	if err != nil {
		return 0, nil, err
	}
	log := storage.NewLog("receipts", storage.Many("function", func(r *record) string { return r.FunctionID }))
	now := time.Now().UTC()
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	const batch = 20_000
	for from := 0; from < receipts && err == nil; from += batch {
		err = store.Update(func(tx *storage.Tx) error {
			for i := from; i < min(from+batch, receipts); i++ {
				r := sample()
				r.RequestID, r.Function, r.FunctionID = fmt.Sprintf("6837cea9-9340-4450-92d7-%012x", i), fmt.Sprint("f", i%functionsBilled), fmt.Sprintf("fn-%016x", i%functionsBilled)
				r.StartedAt = month.Add(now.Sub(month) / time.Duration(receipts) * time.Duration(i))
				r.BilledAt = r.StartedAt
				if _, err := log.Append(tx, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if closed := store.Close(); err == nil {
		err = closed
	}
	after, stated := os.Stat(path)
	if err == nil {
		err = stated
	}
	if err != nil {
		return 0, nil, err
	}
	text, err = json.Marshal(sample())
	return after.Size() - before.Size(), text, err
}

// firstBill ends the cloud where it runs, and is the time from its start to its first bill.
func (c *cloud) firstBill(ctx context.Context, receipts int) (time.Duration, error) {
	if _, err := c.run(ctx, "down"); err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := c.up(ctx, "sim"); err != nil {
		return 0, err
	}
	_, err := c.bills(ctx, 1, receipts)
	return time.Since(begin), err
}

// bills is how long a bill takes, the median of some; each has to have every receipt.
func (c *cloud) bills(ctx context.Context, n, receipts int) (time.Duration, error) {
	times := make([]time.Duration, n)
	for i := range times {
		begin := time.Now()
		bill, err := c.api.Ledger.Bill(ctx, api.BillQuery{})
		if err != nil {
			return 0, err
		}
		times[i] = time.Since(begin)
		sum := 0
		for _, l := range bill.Lines {
			var n int
			if _, err := fmt.Sscan(l.Quantity, &n); err == nil && l.Meter == "function-requests" {
				sum += n
			}
		}
		if sum != receipts {
			return 0, fmt.Errorf("the bill has %d requests, not %d", sum, receipts)
		}
	}
	return median(times), nil
}

// awaitRollUps rolls up what calls used, as housekeeping does now and then.
func (c *cloud) awaitRollUps(ctx context.Context) error {
	_, err := c.api.Ledger.SetRetention(ctx, api.Retention{})
	return err
}

// decodeRate is how many receipts a second are decoded, for half a second.
func decodeRate(text []byte) (float64, error) {
	begin, n := time.Now(), 0
	for ; time.Since(begin) < time.Second/2; n++ {
		var r record
		if err := json.Unmarshal(text, &r); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}
