package billing

import (
	"encoding/json"

	"nuage/api"
)

// CallRule is how a book counts one call of a function: which time and memory are billed. A receipt has what all rules
// need, so a call can be counted by any of them later.
type CallRule struct {
	StepMS    int64     `json:"stepMs"`    // billed time is rounded up to a multiple of it
	MinimumMS int64     `json:"minimumMs"` // billed at least
	Memory    string    `json:"memory"`    // "set": what was configured; "used": the most that was seen in use
	StepMB    int64     `json:"stepMb"`    // billed memory is rounded up to a multiple of it
	MinimumMB int64     `json:"minimumMb"` // billed at least
	CPU       []CPURule `json:"cpu,omitempty"`
	Source    string    `json:"source,omitempty"`
}

// CPURule says how much CPU comes with a memory size, where a provider bills both. The last also counts for more memory.
type CPURule struct {
	UpToMB int64 `json:"upToMb"`
	Milli  int64 `json:"milli"` // thousandths of a vCPU
}

// CallQuantity is one call, or a sum of many, as a rule counts it.
type CallQuantity struct {
	Requests int64 `json:"r"`
	MBMillis int64 `json:"m"`
	CPU      int64 `json:"c,omitempty"` // thousandths of a vCPU x ms
}

// Key names the rule by what it says, so that sums made under it can be told from others.
func (r CallRule) Key() string {
	r.Source = ""
	raw, err := json.Marshal(r)
	if err != nil { // a struct of numbers and words always encodes
		return err.Error()
	}
	return string(raw)
}

// Of is what one call counts. Invalid: a negative memory or time. Exhausted: a product is over 2^63-1.
func (r CallRule) Of(call api.Receipt) (CallQuantity, error) {
	memory := call.MemoryMB
	if r.Memory == "used" {
		memory = call.MaxMemoryUsedMB
	}
	if memory < 0 || call.BilledMs < 0 {
		return CallQuantity{}, api.Errorf(api.Invalid, "cannot meter a call of %d MB and %d ms: neither may be negative", memory, call.BilledMs)
	}
	ms, memory := stepped(call.BilledMs, r.StepMS, r.MinimumMS), stepped(memory, r.StepMB, r.MinimumMB)
	mbms, err := multiply(memory, ms)
	if err != nil {
		return CallQuantity{}, err
	}
	cpu, err := multiply(r.milli(memory), ms)
	return CallQuantity{Requests: 1, MBMillis: mbms, CPU: cpu}, err
}

// milli is the CPU of a memory size.
func (r CallRule) milli(memory int64) (milli int64) {
	for _, c := range r.CPU {
		milli = c.Milli
		if memory <= c.UpToMB {
			break
		}
	}
	return milli
}

// stepped is n rounded up to a multiple of step, and minimum at least. What would pass 2^63-1 stays as it is: no product
// of it fits either.
func stepped(n, step, minimum int64) int64 {
	if rest := n % step; rest != 0 && n <= n-rest+step {
		n += step - rest
	}
	return max(n, minimum)
}

// Plus adds two sums of calls. Exhausted: over 2^63-1.
func (q CallQuantity) Plus(o CallQuantity) (sum CallQuantity, err error) {
	for _, f := range []struct {
		to   *int64
		a, b int64
	}{{&sum.Requests, q.Requests, o.Requests}, {&sum.MBMillis, q.MBMillis, o.MBMillis}, {&sum.CPU, q.CPU, o.CPU}} {
		if *f.to, err = add(f.a, f.b); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// Usage is the usage of one call or a sum of calls, at the billing time of r. Their ids derive from the request id, so that a
// replay stores nothing twice.
func (q CallQuantity) Usage(r api.Receipt) []api.Usage {
	one := func(id, meter string, quantity int64) api.Usage {
		return api.Usage{ID: r.RequestID + id, Project: r.Project, Service: "functions", Resource: r.Function,
			ResourceID: r.FunctionID, Meter: meter, Quantity: quantity, Start: r.BilledAt, End: r.BilledAt}
	}
	out := []api.Usage{one("/requests", FunctionRequests, q.Requests), one("/gb-seconds", FunctionGBSeconds, q.MBMillis)}
	if q.CPU > 0 {
		out = append(out, one("/vcpu-seconds", FunctionVCPUSeconds, q.CPU))
	}
	return out
}

// check. Invalid: what no call can be counted by.
func (r CallRule) check(book string) error {
	wrong := func(why string) error {
		return api.Errorf(api.Invalid, "cannot read how the price book %q counts calls: %s", book, why)
	}
	switch {
	case r.StepMS < 1 || r.StepMB < 1 || r.MinimumMS < 0 || r.MinimumMB < 0:
		return wrong("stepMs and stepMb are 1 at least, minimumMs and minimumMb 0 at least")
	case r.Memory != "set" && r.Memory != "used":
		return wrong(`memory is "set" or "used"`)
	case r.Source == "":
		return wrong("it names no source")
	}
	last := int64(0)
	for _, c := range r.CPU {
		if c.UpToMB <= last || c.Milli < 1 {
			return wrong("cpu has rising upToMb, and a milli of 1 at least")
		}
		last = c.UpToMB
	}
	return nil
}

// PlainCallRule counts whole ms and the memory set, as the book nuage and AWS Lambda do.
func PlainCallRule() CallRule { return CallRule{StepMS: 1, StepMB: 1, Memory: "set"} }

// CallUsage is the usage of one call by the neutral count, in whole ms and with the memory set: a request and its MB-ms, both at the
// instant it was billed. Errors as of MBMillis.
func CallUsage(r api.Receipt) ([]api.Usage, error) {
	q, err := PlainCallRule().Of(r)
	if err != nil {
		return nil, err
	}
	return q.Usage(r), nil
}

// CallRule is how the book counts calls.
func (b *Book) CallRule() CallRule { return b.calls }
