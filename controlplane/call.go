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

func (r functionVerbs) Invoke(ctx context.Context, project, name string, call api.Invocation) (api.Answer, error) {
	if _, err := r.cp.authorize(ctx, project); err != nil {
		return api.Answer{}, err
	}
	f, err := r.cp.callable.get(project+"/"+name, func() (api.Function, error) { return r.Get(ctx, project, name) })
	if err != nil {
		return api.Answer{}, err
	}
	version, err := r.cp.version(f, call.Qualifier)
	if err != nil {
		return api.Answer{}, err
	}
	if call.Type == api.DryRun {
		return r.cp.dryRun(f, version, call)
	}
	if call.Type == api.Async {
		return r.cp.accept(ctx, f, call)
	}
	return r.cp.call(ctx, f, functions.Call{Payload: call.Payload, ContentType: call.ContentType, Version: version})
}

// dryRun says whether a call would be made, without making it: its version in the receipt, and nothing else.
func (cp *ControlPlane) dryRun(f api.Function, version int, call api.Invocation) (api.Answer, error) {
	if version == 0 {
		version = f.Status.Version
	}
	switch {
	case f.Status.Phase == api.Failed && version == f.Status.Version:
		return api.Answer{}, deployFailed(f)
	case len(call.Payload) > api.MaxPayloadBytes:
		return api.Answer{}, functions.PayloadTooLarge(f.Name, len(call.Payload))
	}
	return api.Answer{Receipt: api.Receipt{Function: f.Name, FunctionID: f.ID, Project: f.Project, Version: version, Status: "ok"}}, nil
}

func deployFailed(f api.Function) error {
	return api.Errorf(api.Unavailable, "cannot call function %q: its deploy failed: %s", f.Name, f.Status.LastError)
}

// callQualified runs what the qualifier names now.
func (cp *ControlPlane) callQualified(ctx context.Context, f api.Function, qualifier string, c functions.Call) (api.Answer, error) {
	version, err := cp.version(f, qualifier)
	if err != nil {
		return api.Answer{}, err
	}
	c.Version = version
	return cp.call(ctx, f, c)
}

// call runs a function. One that the invoker does not have yet, as right after a start, is deployed first.
func (cp *ControlPlane) call(ctx context.Context, f api.Function, c functions.Call) (api.Answer, error) {
	if err := cp.books.mayCall(&f); err != nil {
		return api.Answer{}, err
	}
	if f.Status.Phase == api.Failed && c.Version == 0 {
		return api.Answer{}, deployFailed(f)
	}
	answer, err := cp.invoker.Invoke(ctx, f.ID, c)
	if !errors.Is(err, api.NotFound) {
		return answer, err
	}
	if c.Version != 0 {
		err = cp.deployVersion(ctx, f, c.Version)
	} else {
		f, err = cp.deployFunction(ctx, f.ID)
	}
	if err != nil {
		return api.Answer{}, err
	}
	return cp.invoker.Invoke(ctx, f.ID, c)
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
	Attempt     int       `json:"t,omitempty"` // of an asynchronous call
}

// appendJSON appends r as encoding/json writes it.
func (r receipt) appendJSON(b []byte) []byte {
	b = api.AppendText(append(b, `{"id":`...), r.RequestID)
	b = api.AppendText(append(b, `,"p":`...), r.Project)
	b = api.AppendText(append(b, `,"n":`...), r.Function)
	b = api.AppendText(append(b, `,"f":`...), r.FunctionID)
	b = strconv.AppendInt(append(b, `,"v":`...), int64(r.Version), 10)
	b = api.AppendTime(append(b, `,"at":`...), r.StartedAt)
	b = api.AppendTime(append(b, `,"b":`...), r.BilledAt)
	if r.Cold {
		b = append(b, `,"c":true`...)
	}
	b = strconv.AppendInt(append(b, `,"d":`...), r.DurationUs, 10)
	if r.InitUs != 0 {
		b = strconv.AppendInt(append(b, `,"i":`...), r.InitUs, 10)
	}
	b = strconv.AppendInt(append(b, `,"ms":`...), r.BilledMs, 10)
	b = strconv.AppendInt(append(b, `,"mb":`...), r.MemoryMB, 10)
	b = strconv.AppendInt(append(b, `,"mx":`...), r.MaxMemoryMB, 10)
	b = api.AppendText(append(b, `,"s":`...), r.Status)
	if r.Attempt != 0 {
		b = strconv.AppendInt(append(b, `,"t":`...), int64(r.Attempt), 10)
	}
	return append(b, '}')
}

func (r receipt) public() api.Receipt {
	return api.Receipt{RequestID: r.RequestID, Project: r.Project, Function: r.Function, FunctionID: r.FunctionID, Version: r.Version,
		StartedAt: r.StartedAt, BilledAt: r.BilledAt, Cold: r.Cold, DurationMs: millis(r.DurationUs), InitMs: millis(r.InitUs),
		BilledMs: r.BilledMs, MemoryMB: r.MemoryMB, MaxMemoryUsedMB: r.MaxMemoryMB, Status: r.Status, Attempt: r.Attempt}
}

// attempt is the receipt under an id of its own, as usage needs: all attempts of an asynchronous call have one request id.
func (r receipt) attempt() api.Receipt {
	p := r.public()
	if r.Attempt > 1 {
		p.RequestID += "/" + itoa(r.Attempt)
	}
	return p
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
		BilledMs: r.BilledMs, MemoryMB: r.MemoryMB, MaxMemoryMB: r.MaxMemoryMB, Status: string(r.Status), Attempt: settlingOf(ctx).attempt}
	book, err := j.cp.Books.Book("")
	if err != nil {
		return api.Receipt{}, err
	}
	rated, err := book.Receipt(stored.public())
	if err != nil {
		return rated, err
	}
	record, err := receiptLog.Encoded(stored, stored.appendJSON(make([]byte, 0, 512)))
	if err != nil {
		return rated, err
	}
	records := []storage.Record{record}
	if r.Cold && r.Status == functions.OK { // the platform's work is in the same commit: it costs no other fsync
		m := api.Meta{Project: r.Project, Name: r.Function}
		load, err := activityLog.Record(j.cp.activity(platform("invoker"), "function", &m, "load", "a cold start: "+millis(stored.InitUs)+" ms"))
		if err != nil {
			return rated, err
		}
		records = append(records, load)
	}
	// The call has been made: it is charged even where the caller has gone.
	return rated, j.commit(context.WithoutCancel(ctx), r, records)
}

// commit stores the receipt of a call together with what becomes of the event it was for.
func (j journal) commit(ctx context.Context, r functions.Record, records []storage.Record) error {
	s := settlingOf(ctx)
	if s.ended == nil {
		return j.cp.Store.Append(ctx, records...)
	}
	err := j.cp.Store.Commit(ctx, func(tx *storage.Tx) error { return s.ended(tx, r) }, records...)
	if err == nil {
		s.after()
	}
	return err
}

// httpFunction answers requests to a function's host name, by the function as it is when the request comes, or by what the
// qualifier names.
func (cp *ControlPlane) httpFunction(id, qualifier string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := cp.functionByID(id)
		if err != nil {
			writeCallError(w, err)
			return
		}
		version, err := cp.version(f, qualifier)
		if err != nil {
			writeCallError(w, err)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, api.MaxPayloadBytes))
		if err != nil {
			http.Error(w, "cannot take the request: its body is over 6 MiB or broke off", http.StatusRequestEntityTooLarge)
			return
		}
		request := functions.NewRequestID()
		answer, err := cp.call(r.Context(), f, functions.Call{Payload: functions.HTTPEvent(r, body, request, cp.Now()), ContentType: "application/json", RequestID: request, Version: version})
		if err != nil {
			writeCallError(w, err)
			return
		}
		h := w.Header()
		h.Set("Nuage-Request-Id", request)
		h.Set("Nuage-Billed-Ms", strconv.FormatInt(answer.Receipt.BilledMs, 10))
		if answer.Receipt.Cold {
			h.Set("Nuage-Init-Ms", answer.Receipt.InitMs)
		}
		functions.WriteHTTP(w, answer.ContentType, answer.Payload, answer.FunctionError)
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
	case errors.Is(err, api.NotFound):
		status = http.StatusNotFound
	}
	http.Error(w, err.Error(), status)
}
