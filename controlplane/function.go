package controlplane

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nuage/api"
	"nuage/functions"
	"nuage/storage"
)

// functionVerbs adds the calls to the verbs of every noun.
type functionVerbs struct {
	resource[api.Function, api.FunctionSpec]
}

func (cp *ControlPlane) functions() resource[api.Function, api.FunctionSpec] {
	return resource[api.Function, api.FunctionSpec]{
		cp: cp, noun: "function", prefix: "fn", table: functionTable,
		status: func(f *api.Function) *api.Status { return &f.Status.Status },
		spec:   func(f *api.Function) *api.FunctionSpec { return &f.Spec },
		check:  cp.checkFunction,
		admit:  cp.admitFunction,
		retire: cp.retireFunction,
		verb: func(old, next *api.Function) (string, string) {
			verb := "deploy"
			if old == nil {
				verb = "create"
			}
			return verb, next.Spec.Runtime + ", version " + itoa(next.Status.Version)
		},
		done: cp.deployFunction,
	}
}

func (cp *ControlPlane) checkFunction(ctx context.Context, _, next *api.Function) error {
	s := &next.Spec
	if s.MemoryMB == 0 {
		s.MemoryMB = api.DefaultMemoryMB
	}
	if s.TimeoutMs == 0 {
		s.TimeoutMs = api.DefaultTimeoutMs
	}
	if s.Network == "" {
		s.Network = "none"
		if len(s.Databases) > 0 {
			s.Network = "project"
		}
	}
	if err := cp.checkFunctionFields(next.Name, s); err != nil {
		return err
	}
	d, err := cp.deployment(next)
	if err != nil {
		return err
	}
	return cp.invoker.Check(ctx, d)
}

func (cp *ControlPlane) checkFunctionFields(name string, s *api.FunctionSpec) error {
	switch {
	case cp.Runtimes[s.Runtime] == nil:
		return api.Errorf(api.Invalid, "cannot deploy function %q with runtime %q: there are wasm and python", name, s.Runtime)
	case s.MemoryMB < api.MinFunctionMB || s.MemoryMB > api.MaxFunctionMB:
		return api.Errorf(api.Invalid, "cannot deploy function %q with %d MB: %d to %d is possible", name, s.MemoryMB, api.MinFunctionMB, api.MaxFunctionMB)
	case s.TimeoutMs < 1 || s.TimeoutMs > api.MaxFunctionMs:
		return api.Errorf(api.Invalid, "cannot deploy function %q with a time-out of %d ms: 1 to %d is possible", name, s.TimeoutMs, api.MaxFunctionMs)
	case s.Network != "none" && s.Runtime == "wasm":
		return api.Errorf(api.Invalid, "cannot deploy function %q with network %q: wasm functions have no network", name, s.Network)
	case len(s.Databases) > 0 && s.Network == "none":
		return api.Errorf(api.Invalid, "cannot deploy function %q with a database and network none: use network project", name)
	}
	if err := checkEnv(s.Env); err != nil {
		return err
	}
	return cp.checkSource(s.Source, true)
}

// admitFunction counts versions; the URL depends on a trigger.
func (cp *ControlPlane) admitFunction(tx *storage.Tx, _ api.Actor, old, next *api.Function) error {
	for _, name := range next.Spec.Databases {
		if _, err := cp.databases().find(tx, next.Project, name); err != nil {
			return err
		}
	}
	if old == nil || !same(old.Spec, next.Spec) {
		next.Status.Version++
		next.Status.Phase, next.Status.Reason = api.Pending, "being deployed"
	}
	return nil
}

func (cp *ControlPlane) retireFunction(tx *storage.Tx, f *api.Function) (bool, error) {
	err := triggerTable.EachBy(tx, "name", f.Project+"/", func(t api.Trigger) error {
		if t.Spec.Function == f.Name {
			return api.Errorf(api.Conflict, "cannot delete function %q: trigger %q calls it; delete that first", f.Name, t.Name)
		}
		return nil
	})
	return true, err
}

// Delete takes the code out of service too.
func (r functionVerbs) Delete(ctx context.Context, project, name string, generation int64) error {
	f, err := r.Get(ctx, project, name)
	if err != nil {
		return err
	}
	if err := r.resource.Delete(ctx, project, name, generation); err != nil {
		return err
	}
	r.cp.invoker.Remove(f.ID)
	return nil
}

// deployment is a function as the invoker takes it.
func (cp *ControlPlane) deployment(f *api.Function) (functions.Deployment, error) {
	dir, err := cp.unpack(f.Spec.Source)
	if err != nil {
		return functions.Deployment{}, err
	}
	d := functions.Deployment{
		FunctionID: f.ID, Project: f.Project, Name: f.Name, Version: f.Status.Version, Runtime: f.Spec.Runtime, Handler: f.Spec.Handler,
		CodeDir: dir, Digest: f.Spec.Source, MemoryMB: f.Spec.MemoryMB, TimeoutMs: f.Spec.TimeoutMs, Env: map[string]string{},
		Internet: f.Spec.Network == "internet",
	}
	for k, v := range f.Spec.Env {
		d.Env[k] = v
	}
	return d, cp.bindDatabases(f, &d)
}

// bindDatabases adds what a function needs to reach its databases.
func (cp *ControlPlane) bindDatabases(f *api.Function, d *functions.Deployment) error {
	return cp.Store.View(func(tx *storage.Tx) error {
		if f.Spec.Network == "project" {
			p, err := projectTable.GetBy(tx, "name", f.Project)
			if err != nil {
				return err
			}
			d.Network = networkID(p)
		}
		for i, name := range f.Spec.Databases {
			db, err := cp.databases().find(tx, f.Project, name)
			if err != nil {
				return err
			}
			l, err := cp.login(tx, db)
			if err != nil {
				return err
			}
			url := l.url(internalHost(db), postgresPort)
			d.Env["DATABASE_URL_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = url
			if i == 0 {
				d.Env["DATABASE_URL"] = url
			}
		}
		return nil
	})
}

// deployFunction puts the version that was committed into service, and writes the outcome into the status.
func (cp *ControlPlane) deployFunction(ctx context.Context, f *api.Function) {
	d, err := cp.deployment(f)
	if err == nil {
		d.Checked = true
		err = cp.invoker.Deploy(context.WithoutCancel(ctx), d)
	}
	now := cp.Now().UTC()
	f.Status.Status = api.Status{Phase: api.Running, Reason: "can be called", Generation: f.Generation, ObservedAt: &now}
	f.Status.LastError = ""
	if err != nil {
		f.Status.Phase, f.Status.Reason, f.Status.LastError = api.Failed, err.Error(), err.Error()
	}
	err = cp.Store.Update(func(tx *storage.Tx) error {
		stored, err := functionTable.Get(tx, f.ID)
		if err != nil || stored.Generation != f.Generation {
			return nil // deleted or deployed again meanwhile
		}
		stored.Status = f.Status
		return functionTable.Put(tx, stored)
	})
	if err != nil {
		cp.log.Error("function status not written", "function", f.Name, "error", err)
	}
}

// redeployFunctions puts all stored functions into service again after a start.
func (cp *ControlPlane) redeployFunctions(ctx context.Context) {
	var all []api.Function
	err := cp.Store.View(func(tx *storage.Tx) error {
		return functionTable.Each(tx, "", func(f api.Function) error { all = append(all, f); return nil })
	})
	if err != nil {
		cp.log.Error("functions not read", "error", err)
	}
	for i := range all {
		if ctx.Err() == nil {
			cp.deployFunction(ctx, &all[i])
		}
	}
}

func (r functionVerbs) Invoke(ctx context.Context, project, name string, call api.Invocation) (api.Answer, error) {
	f, err := r.Get(ctx, project, name)
	if err != nil {
		return api.Answer{}, err
	}
	if call.Type == api.Async {
		return api.Answer{}, api.Errorf(api.Unsupported, "cannot call function %q asynchronously: this version of nuage has sync calls only", name)
	}
	return r.cp.call(ctx, f, functions.Call{Payload: call.Payload, ContentType: call.ContentType})
}

// call runs a function that is in service.
func (cp *ControlPlane) call(ctx context.Context, f api.Function, c functions.Call) (api.Answer, error) {
	if f.Status.Phase == api.Failed {
		return api.Answer{}, api.Errorf(api.Unavailable, "cannot call function %q: its deploy failed: %s", f.Name, f.Status.LastError)
	}
	answer, err := cp.invoker.Invoke(ctx, f.ID, c)
	if err == nil && answer.FunctionError == "" && answer.Receipt.Cold {
		cp.note("invoker", "function", &f.Meta, "load", "a cold start: "+answer.Receipt.InitMs+" ms")
	}
	return answer, err
}

func (r functionVerbs) Calls(ctx context.Context, project, name string, last int) (api.List[api.Receipt], error) {
	out := api.List[api.Receipt]{Items: []api.Receipt{}}
	f, err := r.Get(ctx, project, name)
	if err != nil {
		return out, err
	}
	switch {
	case last == 0:
		last = 20
	case last < 0 || last > 1000:
		return out, api.Errorf(api.Invalid, "cannot list %d calls at once: 1 to 1000 is possible", last)
	}
	book, err := r.cp.Books.Book("")
	if err != nil {
		return out, err
	}
	err = r.cp.Store.View(func(tx *storage.Tx) error {
		entries, err := receiptLog.LastBy(tx, "function", f.ID, 0, last)
		if err != nil {
			return err
		}
		for _, e := range entries {
			rated, err := book.Receipt(e.Value.public())
			if err != nil {
				return err
			}
			out.Items = append(out.Items, rated)
		}
		return nil
	})
	return out, err
}

// receipt is a call as it is stored: integers only.
type receipt struct {
	RequestID   string    `json:"id"`
	Project     string    `json:"p"`
	Function    string    `json:"n"`
	FunctionID  string    `json:"f"`
	Version     int       `json:"v"`
	StartedAt   time.Time `json:"at"`
	BilledAt    time.Time `json:"b"`
	Cold        bool      `json:"c,omitempty"`
	DurationUs  int64     `json:"d"`
	InitUs      int64     `json:"i,omitempty"`
	BilledMs    int64     `json:"ms"`
	MemoryMB    int64     `json:"mb"`
	MaxMemoryMB int64     `json:"mx"`
	Status      string    `json:"s"`
}

func (r receipt) public() api.Receipt {
	return api.Receipt{RequestID: r.RequestID, Project: r.Project, Function: r.Function, FunctionID: r.FunctionID, Version: r.Version,
		StartedAt: r.StartedAt, BilledAt: r.BilledAt, Cold: r.Cold, DurationMs: millis(r.DurationUs), InitMs: millis(r.InitUs),
		BilledMs: r.BilledMs, MemoryMB: r.MemoryMB, MaxMemoryUsedMB: r.MaxMemoryMB, Status: r.Status}
}

// millis writes microseconds as a decimal of milliseconds.
func millis(us int64) string {
	s := strconv.FormatInt(us/1000, 10)
	if rest := us % 1000; rest != 0 {
		s += "." + strings.TrimRight(strconv.FormatInt(1000+rest, 10)[1:], "0")
	}
	return s
}

// journal implements functions.Journal: the receipt is the usage record too, so both are one commit.
type journal struct{ cp *ControlPlane }

func (j journal) Finish(ctx context.Context, r functions.Record) (api.Receipt, error) {
	stored := receipt{RequestID: r.RequestID, Project: r.Project, Function: r.Function, FunctionID: r.FunctionID, Version: r.Version,
		StartedAt: r.StartedAt.UTC(), BilledAt: j.cp.billingNow(), Cold: r.Cold, DurationUs: r.Duration.Microseconds(), InitUs: r.Init.Microseconds(),
		BilledMs: r.BilledMs, MemoryMB: r.MemoryMB, MaxMemoryMB: r.MaxMemoryMB, Status: string(r.Status)}
	book, err := j.cp.Books.Book("")
	if err != nil {
		return api.Receipt{}, err
	}
	rated, err := book.Receipt(stored.public())
	if err != nil {
		return rated, err
	}
	record, err := receiptLog.Record(stored)
	if err != nil {
		return rated, err
	}
	// The call has been made: it is charged even where the caller has gone.
	return rated, j.cp.Store.Append(context.WithoutCancel(ctx), record)
}

// httpFunction answers requests to a function's host name.
func (cp *ControlPlane) httpFunction(f api.Function) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, api.MaxPayloadBytes))
		if err != nil {
			http.Error(w, "cannot take the request: its body is over 6 MiB or broke off", http.StatusRequestEntityTooLarge)
			return
		}
		id := functions.NewRequestID()
		answer, err := cp.call(r.Context(), f, functions.Call{Payload: functions.HTTPEvent(r, body, id, cp.Now()), ContentType: "application/json", RequestID: id})
		if err != nil {
			writeCallError(w, err)
			return
		}
		h := w.Header()
		h.Set("Nuage-Request-Id", id)
		h.Set("Nuage-Billed-Ms", strconv.FormatInt(answer.Receipt.BilledMs, 10))
		if answer.Receipt.Cold {
			h.Set("Nuage-Init-Ms", answer.Receipt.InitMs)
		}
		functions.WriteHTTP(w, answer.Payload, answer.FunctionError)
	})
}

// writeCallError answers for a call that did not take place.
func writeCallError(w http.ResponseWriter, err error) {
	status := http.StatusBadGateway
	switch {
	case errors.Is(err, api.Exhausted):
		w.Header().Set("Retry-After", "1")
		status = http.StatusTooManyRequests
	case errors.Is(err, api.Unavailable):
		status = http.StatusServiceUnavailable
	case errors.Is(err, api.Invalid):
		status = http.StatusBadRequest
	}
	http.Error(w, err.Error(), status)
}
