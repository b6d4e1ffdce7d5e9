package billing

import (
	"errors"
	"math/big"
	"testing"

	"nuage/api"
)

// A break-even is exact: one call less costs no more than the machine, that many do.
func TestEstimatesBreakEven(t *testing.T) {
	w := Workload{Requests: 1_000_000, DurationMS: 100, MemoryMB: 512, Hours: 730, Instance: "small", StorageGB: 20}
	for _, b := range load(t).Books() {
		e, err := b.Estimate(w)
		if err != nil {
			t.Fatal(err)
		}
		machine, err := b.machine(w, InstanceHours("small"))
		if err != nil {
			t.Fatal(err)
		}
		at := func(n int64) *big.Int {
			cost, err := b.functions(w, n)
			if err != nil {
				t.Fatal(err)
			}
			return cost
		}
		if n := e.OfIaaS.Requests; at(n).Cmp(machine) <= 0 || at(n-1).Cmp(machine) > 0 {
			t.Errorf("%s: %d calls cost %s, one less %s, the machine %s", b.Name(), n, at(n), at(n-1), machine)
		}
		if e.IaaS != format(machine, costDecimals) || len(e.Points) != 41 {
			t.Errorf("%s: %+v", b.Name(), e)
		}
	}
}

func TestEstimatesRefuse(t *testing.T) {
	good := Workload{Requests: 1, DurationMS: 1, MemoryMB: 128, Hours: 1, Instance: "nano"}
	for name, change := range map[string]func(*Workload){
		"requests": func(w *Workload) { w.Requests = -1 }, "too many": func(w *Workload) { w.Requests = maxRequests + 1 },
		"duration": func(w *Workload) { w.DurationMS = 900_001 }, "memory": func(w *Workload) { w.MemoryMB = 0 },
		"hours": func(w *Workload) { w.Hours = 731 }, "storage": func(w *Workload) { w.StorageGB = -1 }, "type": func(w *Workload) { w.Instance = "huge" },
	} {
		w := good
		change(&w)
		if _, err := bookOf(t, "nuage").Estimate(w); !errors.Is(err, api.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The largest that is allowed ends in a figure or in words, never in a wrong number.
	largest := Workload{Requests: maxRequests, DurationMS: 900_000, MemoryMB: 10240, Hours: 730, Instance: "large", StorageGB: 1_000_000}
	if _, err := bookOf(t, "ibm").Estimate(largest); err != nil && !errors.Is(err, api.Exhausted) {
		t.Errorf("the largest: %v", err)
	}
}
