package controlplane

import (
	"slices"
	"strings"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// newestCalls is how many of a function's calls its mean cost and its latencies are taken from.
const newestCalls = 100

// measures are the figures below the matrix: counted, measured from outside, and billed.
func (c comparisons) measures(w *world, subjects []subject, works []api.Activity, stored []measured, costs []api.SubjectCost) ([]api.Measure, error) {
	steps := api.Measure{Name: "steps by the customer", Unit: "count", Values: map[string]string{}, Kind: "counted"}
	platform := api.Measure{Name: "steps by the platform", Unit: "count", Values: map[string]string{}, Kind: "counted"}
	span := api.Measure{Name: "customer's first to last step", Unit: "min", Values: map[string]string{}, Kind: "counted"}
	for _, s := range subjects {
		mine, theirs, took := s.effort(works)
		steps.Values[s.Name], platform.Values[s.Name], span.Values[s.Name] = itoa(mine), itoa(theirs), decimalMinutes(took)
	}
	out := append([]api.Measure{steps, platform, span}, measurements(subjects, stored)...)
	calls, err := c.callFigures(subjects)
	if err != nil {
		return nil, err
	}
	out = append(append(out, calls...), w.patching(subjects, c.cp.Now())...)
	cost, err := c.cost(w, subjects)
	return append(append(out, hourly(costs)...), cost), err
}

// effort counts steps; span is from the customer's first step to the last.
func (s subject) effort(works []api.Activity) (mine, theirs int, span time.Duration) {
	var first, last time.Time
	for _, a := range works {
		switch {
		case !s.did(a):
		case a.Actor.Kind == api.Platform:
			theirs++
		default:
			mine++
			if first.IsZero() {
				first = a.Time
			}
			last = a.Time
		}
	}
	return mine, theirs, last.Sub(first)
}

// decimalMinutes is a duration in minutes, to the thousandth.
func decimalMinutes(d time.Duration) string { return millis(d.Milliseconds() / 60) }

// measurements groups what was measured from outside by name.
func measurements(subjects []subject, stored []measured) []api.Measure {
	var out []api.Measure
	for _, m := range stored {
		i := slices.IndexFunc(subjects, m.of)
		if i < 0 {
			continue
		}
		at := slices.IndexFunc(out, func(o api.Measure) bool { return o.Name == m.Name && o.Unit == m.Unit })
		if at < 0 {
			out = append(out, api.Measure{Name: m.Name, Unit: m.Unit, Values: map[string]string{}, Kind: "measured", Times: map[string]time.Time{}})
			at = len(out) - 1
		}
		if m.At.After(out[at].Times[subjects[i].Name]) {
			out[at].Values[subjects[i].Name], out[at].Times[subjects[i].Name] = m.Value, m.At
		}
	}
	slices.SortFunc(out, func(a, b api.Measure) int { return strings.Compare(byLoad(a.Name), byLoad(b.Name)) })
	return out
}

// byLoad is a name by which 1x comes before 10x.
func byLoad(name string) string { return strings.Replace(name, " at 1x ", " at 01x ", 1) }

// callFigures are what the newest receipts of functions say of cold and warm calls, inside the cloud.
func (c comparisons) callFigures(subjects []subject) ([]api.Measure, error) {
	cold := api.Measure{Name: "cold call", Unit: "ms", Values: map[string]string{}, Kind: "counted"}
	warm := api.Measure{Name: "warm call", Unit: "ms", Values: map[string]string{}, Kind: "counted"}
	for _, s := range subjects {
		receipts, err := c.receipts(s)
		if err != nil {
			return nil, err
		}
		for _, r := range receipts { // newest first
			of, took := warm, r.DurationUs
			if r.Cold {
				of, took = cold, r.DurationUs+r.InitUs
			}
			if _, ok := of.Values[s.Name]; !ok {
				of.Values[s.Name] = millis(took)
			}
		}
	}
	var out []api.Measure
	for _, m := range []api.Measure{cold, warm} {
		if len(m.Values) > 0 {
			out = append(out, m)
		}
	}
	return out, nil
}

// receipts are a function's newest calls, the newest first; other subjects have none.
func (c comparisons) receipts(s subject) (out []receipt, err error) {
	if s.Noun != "function" {
		return nil, nil
	}
	err = c.cp.Store.View(func(tx *storage.Tx) error {
		entries, err := receiptLog.LastBy(tx, "function", s.meta.ID, 0, newestCalls)
		for _, e := range entries {
			out = append(out, e.Value)
		}
		return err
	})
	return out, err
}

// cost is what each subject has cost in this period so far, its databases included; what had its name before is not.
func (c comparisons) cost(w *world, subjects []subject) (api.Measure, error) {
	out := api.Measure{Name: "cost so far", Unit: "USD", Values: map[string]string{}, Kind: "billed"}
	if len(subjects) == 0 {
		return out, nil
	}
	bill, err := c.cp.bill(api.BillQuery{Project: subjects[0].meta.Project})
	if err != nil {
		return out, err
	}
	for _, s := range subjects {
		var costs []string
		for _, l := range bill.Lines {
			if s.owns(l.Service, l.Resource, l.ResourceID) {
				costs = append(costs, l.Cost)
			}
		}
		if out.Values[s.Name], err = addMoney(costs); err != nil {
			return out, err
		}
	}
	return out, nil
}

// owns tells that what is on the bill is the subject's: of itself, as its public address is, or of a thing that is its own.
func (s subject) owns(service, resource, id string) bool {
	return s.whole || id != "" && (id == s.meta.ID || s.own[strings.TrimSuffix(service, "s")+"/"+resource] == id)
}

// costs are what each subject costs by the hour, with all that runs or is kept of it now, and by the request.
func (c comparisons) costs(w *world, subjects []subject) ([]api.SubjectCost, error) {
	book, err := c.cp.Books.Book("")
	if err != nil {
		return nil, err
	}
	out := []api.SubjectCost{}
	for _, s := range subjects {
		var rates []billing.Rate
		for _, r := range w.runs {
			if r.Project == s.meta.Project && s.owns(r.Service, r.Resource, r.ResourceID) {
				rates = append(rates, billing.Rate{Meter: r.Meter, Bytes: r.Bytes})
			}
		}
		cost := api.SubjectCost{Subject: s.Name, PerRequest: "0"}
		if cost.PerHour, err = book.Hourly(rates); err != nil {
			return nil, err
		}
		if s.Noun == "function" || s.whole {
			if cost.PerRequest, err = c.perRequest(book, s); err != nil {
				return nil, err
			}
		}
		out = append(out, cost)
	}
	return out, nil
}

// perRequest is the mean cost of a function's newest warm calls; of cold ones where there are no others. "" without a call.
func (c comparisons) perRequest(book *billing.Book, s subject) (string, error) {
	receipts, err := c.receipts(s)
	if err != nil {
		return "", err
	}
	warm := slices.DeleteFunc(slices.Clone(receipts), func(r receipt) bool { return r.Cold })
	if len(warm) == 0 {
		warm = receipts
	}
	var calls []api.Receipt
	for _, r := range warm {
		calls = append(calls, r.public())
	}
	return book.MeanCall(calls)
}

// hourly are the costs as measures: an idle hour, and a thousand requests that come one after the other.
func hourly(costs []api.SubjectCost) []api.Measure {
	idle := api.Measure{Name: "cost of an idle hour", Unit: "USD", Values: map[string]string{}, Kind: "billed"}
	thousand := api.Measure{Name: "cost of 1,000 more requests", Unit: "USD", Values: map[string]string{}, Kind: "billed"}
	for _, c := range costs {
		idle.Values[c.Subject] = c.PerHour
		if c.PerRequest != "" {
			thousand.Values[c.Subject] = billing.Times(c.PerRequest, 1000)
		}
	}
	return []api.Measure{idle, thousand}
}

// crossings are where the costs of two subjects cross: what costs less by the hour and more by the request is dearer from some number
// of requests an hour on.
func crossings(costs []api.SubjectCost) []api.BreakEven {
	out := []api.BreakEven{}
	for _, a := range costs {
		for _, b := range costs {
			if n, ok := billing.Crossing(a, b); ok {
				out = append(out, api.BreakEven{Dearer: a.Subject, Cheaper: b.Subject, RequestsPerHour: n})
			}
		}
	}
	return out
}

// patching says of the vulnerable package planted last in each subject who patched it, and how long that took; up to now where nobody has.
func (w *world) patching(subjects []subject, now time.Time) []api.Measure {
	by := api.Measure{Name: "vulnerable package patched by", Unit: "who", Values: map[string]string{}, Kind: "counted", Times: map[string]time.Time{}}
	after := api.Measure{Name: "vulnerable for", Unit: "s", Values: map[string]string{}, Kind: "measured"}
	for _, s := range subjects {
		for _, f := range w.findings {
			if f.ID != s.meta.ID || !f.Planted || f.PlantedAt.Before(by.Times[s.Name]) {
				continue
			}
			end := now
			if f.PatchedAt != nil {
				end = *f.PatchedAt
			}
			by.Times[s.Name], by.Values[s.Name], after.Values[s.Name] = f.PlantedAt, orElse(string(f.By), "nobody yet"), decimalSeconds(end.Sub(f.PlantedAt))
		}
	}
	by.Times = nil
	if len(by.Values) == 0 {
		return nil
	}
	return []api.Measure{by, after}
}

// decimalSeconds is a duration in seconds, to the thousandth.
func decimalSeconds(d time.Duration) string { return millis(d.Milliseconds()) }
