package billing

import (
	"fmt"
	"math/big"
	"time"

	"nuage/api"
)

// Workload is a month of work in words.
type Workload struct {
	Requests   int64  // calls a month
	DurationMS int64  // of each
	MemoryMB   int64  // of a function
	Hours      int64  // of a month that a machine or an app runs; 730 is all of it
	Instance   string // size of the machine and of the app
	StorageGB  int64  // kept all month
}

// hoursInMonth is the month of an estimate.
const hoursInMonth = 730

// maxRequests keeps every quantity of a workload within 63 bits.
const maxRequests = 1_000_000_000_000

// Check. Invalid: a number out of range, an unknown size.
func (w Workload) Check() error {
	wrong := func(format string, args ...any) error {
		return api.Errorf(api.Invalid, "cannot estimate: "+format, args...)
	}
	switch {
	case w.Requests < 0 || w.Requests > maxRequests:
		return wrong("%d requests are not 0 to %d", w.Requests, int64(maxRequests))
	case w.DurationMS < 0 || w.DurationMS > 900_000:
		return wrong("a call of %d ms is not 0 to 15 minutes", w.DurationMS)
	case w.MemoryMB < 1 || w.MemoryMB > 10240:
		return wrong("%d MB of memory are not 1 to 10240", w.MemoryMB)
	case w.Hours < 0 || w.Hours > hoursInMonth:
		return wrong("%d hours are not 0 to %d, a whole month", w.Hours, hoursInMonth)
	case w.StorageGB < 0 || w.StorageGB > 1_000_000:
		return wrong("%d GB are not 0 to 1000000", w.StorageGB)
	}
	if _, ok := MeterOf(InstanceHours(w.Instance)); !ok {
		return wrong("there is no instance type %q", w.Instance)
	}
	return nil
}

// Estimate is what a workload costs under one book on each model.
type Estimate struct {
	Book     string     `json:"book"`
	IaaS     string     `json:"iaas"`
	PaaS     string     `json:"paas"`
	FaaS     string     `json:"faas"`
	Cheapest string     `json:"cheapest"`
	OfIaaS   *BreakEven `json:"breakEvenIaas,omitempty"` // where the function begins to cost more than the machine; nil: never
	OfPaaS   *BreakEven `json:"breakEvenPaas,omitempty"`
	Points   []Point    `json:"points"` // of the chart: the function's cost by requests
}

// BreakEven is from how many calls a month on a function costs more.
type BreakEven struct {
	Requests  int64  `json:"requests"`
	PerSecond string `json:"perSecond"`
}

// Point is what a number of calls a month costs.
type Point struct {
	Requests int64  `json:"requests"`
	FaaS     string `json:"faas"`
}

// Estimate prices a workload: a machine and an app for the hours, a function for the calls, each with the storage, by the same rating as a
// bill. Invalid: as Check.
func (b *Book) Estimate(w Workload) (Estimate, error) {
	if err := w.Check(); err != nil {
		return Estimate{}, err
	}
	iaas, err := b.machine(w, InstanceHours(w.Instance))
	if err != nil {
		return Estimate{}, err
	}
	paas, err := b.machine(w, AppHours(w.Instance))
	if err != nil {
		return Estimate{}, err
	}
	faas, err := b.functions(w, w.Requests)
	if err != nil {
		return Estimate{}, err
	}
	e := Estimate{Book: b.Name(), IaaS: format(iaas, costDecimals), PaaS: format(paas, costDecimals), FaaS: format(faas, costDecimals), Cheapest: "faas"}
	if iaas.Cmp(faas) < 0 && iaas.Cmp(paas) <= 0 {
		e.Cheapest = "iaas"
	} else if paas.Cmp(faas) < 0 && paas.Cmp(iaas) < 0 {
		e.Cheapest = "paas"
	}
	if e.OfIaaS, err = b.breakEven(w, iaas); err != nil {
		return e, err
	}
	if e.OfPaaS, err = b.breakEven(w, paas); err != nil {
		return e, err
	}
	e.Points, err = b.points(w, e)
	return e, err
}

// estimateMonth is the period that estimates are rated in: its first 730 hours.
func estimateMonth() Query {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return Query{From: from, To: from.Add(hoursInMonth * time.Hour)}
}

// machine is the cost of something that runs for the workload's hours, and of its storage.
func (b *Book) machine(w Workload, meter string) (*big.Int, error) {
	m, _ := MeterOf(meter)
	q := estimateMonth()
	usage := []api.Usage{{Service: m.Service, Resource: "estimate", Meter: m.Name, Run: "estimate", Quantity: w.Hours * msPerHour, Start: q.From,
		End: q.From.Add(time.Duration(w.Hours) * time.Hour)}}
	if w.Hours == 0 {
		usage = nil
	}
	return b.total(append(usage, w.storage(q)...))
}

// functions is the cost of so many calls, and of the storage.
func (b *Book) functions(w Workload, requests int64) (*big.Int, error) {
	one, err := b.calls.Of(api.Receipt{MemoryMB: w.MemoryMB, MaxMemoryUsedMB: w.MemoryMB, BilledMs: w.DurationMS})
	if err != nil {
		return nil, err
	}
	all := CallQuantity{Requests: requests}
	if all.MBMillis, err = multiply(one.MBMillis, requests); err != nil {
		return nil, err
	}
	if all.CPU, err = multiply(one.CPU, requests); err != nil {
		return nil, err
	}
	q := estimateMonth()
	return b.total(append(all.Usage(api.Receipt{Function: "estimate", BilledAt: q.From}), w.storage(q)...))
}

// storage is the usage of what is kept.
func (w Workload) storage(q Query) []api.Usage {
	if w.StorageGB == 0 {
		return nil
	}
	return []api.Usage{{Service: "volumes", Resource: "estimate", Meter: VolumeStorage, Quantity: w.StorageGB * mibPerGB * hoursInMonth * msPerHour, Start: q.From, End: q.To}}
}

func (b *Book) total(usage []api.Usage) (*big.Int, error) {
	r, err := b.Rate(estimateMonth())
	if err != nil {
		return nil, err
	}
	for _, u := range usage {
		if err := r.Add(u); err != nil {
			return nil, err
		}
	}
	charges, err := r.charges()
	sum := new(big.Int)
	for _, c := range charges {
		sum.Add(sum, c.cost)
	}
	return sum, err
}

// breakEven is the smallest number of calls that costs more than the limit, found by halving: more calls never cost less.
func (b *Book) breakEven(w Workload, limit *big.Int) (*BreakEven, error) {
	low, high := int64(0), int64(maxRequests)
	over := func(n int64) (bool, error) {
		cost, err := b.functions(w, n)
		if api.CodeOf(err) == api.Exhausted {
			return true, nil
		}
		return err == nil && cost.Cmp(limit) > 0, err
	}
	if more, err := over(high); err != nil || !more {
		return nil, err
	}
	for low < high {
		middle := low + (high-low)/2
		more, err := over(middle)
		if err != nil {
			return nil, err
		}
		if more {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return &BreakEven{Requests: low, PerSecond: quotient(low, hoursInMonth*3600).text(3)}, nil
}

// points are the function's costs for a chart: to twice the dearer of break-even and asked for.
func (b *Book) points(w Workload, e Estimate) ([]Point, error) {
	top := w.Requests
	for _, at := range []*BreakEven{e.OfIaaS, e.OfPaaS} {
		if at != nil {
			top = max(top, at.Requests)
		}
	}
	top = min(max(top*2, 1000), maxRequests)
	var out []Point
	const steps = 40
	for i := range int64(steps + 1) {
		n := top / steps * i
		cost, err := b.functions(w, n)
		if err != nil {
			return nil, fmt.Errorf("cannot price %d calls: %w", n, err)
		}
		out = append(out, Point{Requests: n, FaaS: format(cost, costDecimals)})
	}
	return out, nil
}
