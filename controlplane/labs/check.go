package labs

import (
	"context"
	"errors"
	"math/big"
	"strconv"
	"strings"
	"time"

	"nuage/api"
)

// World is what checks look at: the cloud, in the project of a run. All answers are Plain.
type World interface {
	// Look lists things of a kind; of names one of them, or what they belong to. Invalid: there is no such kind.
	Look(ctx context.Context, kind, of string) ([]any, error)
	// Visit makes a request to an app or function through the edge: status, body, type. status 0: nothing has that name.
	Visit(ctx context.Context, r Request) (any, error)
	// Exec runs a line in an instance or a statement in a database: exit, output.
	Exec(ctx context.Context, kind, name, line string) (any, error)
}

// Request is a visit.
type Request struct {
	Kind, Name         string // app or function
	Method, Path, Body string
}

// Outcome is what came of a check.
type Outcome struct {
	OK      bool
	Message string            // what is missing
	Saved   map[string]string // what was found for later
	Command *api.LabCommand   // to be run on the laptop first
}

const (
	usualTimeout = 15 * time.Second
	retryPause   = 500 * time.Millisecond
)

// Examiner makes checks of one run.
type Examiner struct {
	World   World
	Outputs map[string]string        // what earlier checks saved
	Reports map[string]api.LabReport // what commands came to, by their ids
}

// Examine makes the checks of a task in order, up to the first that does not hold.
func (e Examiner) Examine(ctx context.Context, t Task) (Outcome, error) {
	saved := map[string]string{}
	for i, c := range t.Check {
		o, err := e.with(saved).check(ctx, t.Name+"/"+strconv.Itoa(i), c)
		if err != nil || !o.OK {
			return o, err
		}
		for k, v := range o.Saved {
			saved[k] = v
		}
	}
	return Outcome{OK: true, Saved: saved}, nil
}

// Broken tells which of some invariants is broken, in its own words; "": none.
func (e Examiner) Broken(ctx context.Context, fail []Check) (string, error) {
	for _, c := range fail {
		items, ok, err := e.once(ctx, c.Look, Duration(usualTimeout))
		if err != nil {
			return "", err
		}
		if ok {
			return filled(c.Hint, first(items), e.Outputs), nil
		}
	}
	return "", nil
}

// with is the examiner that knows more outputs.
func (e Examiner) with(saved map[string]string) Examiner {
	all := map[string]string{}
	for _, m := range []map[string]string{e.Outputs, saved} {
		for k, v := range m {
			all[k] = v
		}
	}
	e.Outputs = all
	return e
}

// check tries until it holds, or as often as it may.
func (e Examiner) check(ctx context.Context, id string, c Check) (Outcome, error) {
	if c.Command != "" {
		return e.reported(id, c), nil
	}
	for try := 0; ; try++ {
		items, ok, err := e.once(ctx, c.Look, c.Timeout)
		switch {
		case err != nil:
			return Outcome{}, err
		case ok:
			return Outcome{OK: true, Saved: save(c.Save, items)}, nil
		case try >= c.Retries:
			return Outcome{Message: filled(c.Hint, first(items), e.Outputs)}, nil
		}
		select {
		case <-ctx.Done():
			return Outcome{}, ctx.Err()
		case <-time.After(retryPause):
		}
	}
}

// reported judges what a command came to, or asks for it.
func (e Examiner) reported(id string, c Check) Outcome {
	r, ok := e.Reports[id]
	if !ok {
		timeout := int(max(time.Duration(c.Timeout), time.Second) / time.Second)
		if c.Timeout == 0 {
			timeout = int(usualTimeout / time.Second)
		}
		return Outcome{Command: &api.LabCommand{ID: id, Shell: c.Command, Env: Env(e.Outputs), TimeoutSeconds: timeout, Retries: c.Retries}}
	}
	item := map[string]any{"exit": r.Exit, "output": strings.TrimSpace(r.Output)}
	items, ok := e.choose([]any{item}, c.Look)
	if !ok {
		return Outcome{Message: filled(c.Hint, first(items), e.Outputs)}
	}
	return Outcome{OK: true, Saved: save(c.Save, items)}
}

// once looks, and tells whether what is there is as it has to be: then items are those that are, else nearest first.
func (e Examiner) once(ctx context.Context, l Look, timeout Duration) (items []any, ok bool, err error) {
	limit := time.Duration(timeout)
	if limit == 0 {
		limit = usualTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found, err := e.find(ctx, l)
	if err != nil {
		return nil, false, err
	}
	items, ok = e.choose(found, l)
	return items, ok, nil
}

// find is all there is to look at.
func (e Examiner) find(ctx context.Context, l Look) ([]any, error) {
	fill := func(s string) string { return filled(s, nil, e.Outputs) }
	switch {
	case l.Look != "":
		kind, of, _ := strings.Cut(fill(l.Look), "/")
		items, err := e.World.Look(ctx, kind, of)
		if errors.Is(err, api.NotFound) {
			return nil, nil // nothing has that name yet
		}
		return items, err
	case l.Visit != "":
		kind, name, _ := strings.Cut(fill(l.Visit), "/")
		method, path := l.Method, fill(l.Path)
		if method == "" {
			method = "GET"
		}
		if path == "" {
			path = "/"
		}
		item, err := e.World.Visit(ctx, Request{Kind: kind, Name: name, Method: method, Path: path, Body: fill(l.Body)})
		return []any{item}, err
	}
	kind, name, _ := strings.Cut(fill(l.Exec), "/")
	item, err := e.World.Exec(ctx, kind, name, fill(l.Run))
	switch api.CodeOf(err) {
	case api.NotFound, api.Conflict, api.Unavailable: // not there, or not yet
		return []any{map[string]any{"exit": 255, "output": err.Error()}}, nil
	}
	return []any{item}, err
}

// choose takes what is as it has to be, and tells whether that is as much as it has to be.
func (e Examiner) choose(found []any, l Look) (items []any, ok bool) {
	var good, other []any
	for _, item := range spread(found, l.Each) {
		if matches(item, l.wanted(), func(s string) string { return filled(s, nil, e.Outputs) }) {
			good = append(good, item)
		} else {
			other = append(other, item)
		}
	}
	want := l.Count
	if want == "" {
		want = ">= 1"
	}
	if ok = satisfies(amount(good, l.Sum).FloatString(12), filled(string(want), nil, e.Outputs)); !ok {
		return append(other, good...), false
	}
	return good, true
}

// wanted is Where; what a program or request comes to has to be a success where nothing else is said.
func (l Look) wanted() map[string]Scalar {
	switch {
	case l.Where != nil || l.Look != "":
		return l.Where
	case l.Visit != "":
		return map[string]Scalar{"status": "200"}
	}
	return map[string]Scalar{"exit": "0"}
}

// spread takes the elements of lists in place of what they are in.
func spread(items []any, path string) []any {
	if path == "" {
		return items
	}
	var out []any
	for _, item := range items {
		for _, v := range values(item, path) {
			if list, ok := v.([]any); ok {
				out = append(out, list...)
			}
		}
	}
	return out
}

// amount is how many there are, or the sum of what a path leads to.
func amount(items []any, path string) *big.Rat {
	if path == "" {
		return new(big.Rat).SetInt64(int64(len(items)))
	}
	sum := new(big.Rat)
	for _, item := range items {
		for _, v := range values(item, path) {
			if n, ok := number(text(v)); ok {
				sum.Add(sum, n)
			}
		}
	}
	return sum
}

func first(items []any) any {
	if len(items) == 0 {
		return nil
	}
	return items[0]
}

func save(names map[string]string, items []any) map[string]string {
	saved := map[string]string{}
	for name, path := range names {
		if found := values(first(items), path); len(found) > 0 {
			saved[name] = text(found[0])
		}
	}
	return saved
}

// Env is what scripts and commands get of what earlier checks saved.
func Env(outputs map[string]string) map[string]string {
	env := map[string]string{}
	for k, v := range outputs {
		env["LAB_"+strings.ToUpper(k)] = v
	}
	return env
}
