package functions

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"nuage/api"
)

// NewRequestID returns a random UUID version 4.
func NewRequestID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: see crypto/rand
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	text := make([]byte, 0, 36)
	for n, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if n > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return string(text)
}

// Invoke calls a function and waits for its answer. The answer leaves only after the Journal has the receipt. A
// caller that goes away does not stop the call: it runs on and is charged. What the function does wrong is in
// Answer.FunctionError.
// NotFound: not deployed, or that version is not. Invalid: payload over api.MaxPayloadBytes, or one the runtime can not take. Exhausted: too
// many calls at once. Unavailable: the engine or the journal does not answer, or the cloud is stopping.
func (i *Invoker) Invoke(ctx context.Context, functionID string, c Call) (api.Answer, error) {
	f, v, err := i.acquire(functionID, c.Version)
	if err != nil {
		return api.Answer{}, err
	}
	defer i.release(v)
	if len(c.Payload) > api.MaxPayloadBytes {
		return api.Answer{}, PayloadTooLarge(v.Name, len(c.Payload))
	}
	free, err := i.enter(f, v)
	if err != nil {
		v.series.throttles.Inc()
		return api.Answer{}, err
	}
	defer free()
	if c.RequestID == "" {
		c.RequestID = NewRequestID()
	}
	return i.run(context.WithoutCancel(ctx), f, v, c)
}

// PayloadTooLarge is the error for an event over api.MaxPayloadBytes.
func PayloadTooLarge(function string, size int) error {
	return api.Errorf(api.Invalid, "cannot call function %q: the payload has %d bytes, and %d is the most", function, size, api.MaxPayloadBytes)
}

// enter takes a slot of the function, one of its project and one of the whole.
func (i *Invoker) enter(f *function, v *version) (func(), error) {
	if !f.slots.take() {
		return nil, api.Errorf(api.Exhausted, "cannot call function %q: its %d calls at once are under way; try again, or raise its concurrency",
			v.Name, f.slots.limit.Load())
	}
	if !v.project.take() {
		f.slots.give()
		return nil, api.Errorf(api.Exhausted, "cannot call function %q: the %d calls at once of project %q are under way; try again, or raise its concurrency",
			v.Name, v.project.limit.Load(), v.Project)
	}
	if !i.slots.take() {
		v.project.give()
		f.slots.give()
		return nil, api.Errorf(api.Exhausted, "cannot call function %q: the cloud's %d calls at once are under way; try again",
			v.Name, i.options.MaxConcurrency)
	}
	v.series.concurrent.Inc()
	return func() {
		v.series.concurrent.Dec()
		i.slots.give()
		v.project.give()
		f.slots.give()
	}, nil
}

// run is one call from its first to its last log line.
func (i *Invoker) run(ctx context.Context, f *function, v *version, c Call) (api.Answer, error) {
	started := i.options.Now()
	log := newCallLog(f.log, c.RequestID)
	log.start(c.RequestID, v.Version)
	outcome, err := i.call(v, c, log)
	if err != nil {
		log.failed(c.RequestID, err)
		if api.CodeOf(err) == api.Exhausted {
			v.series.throttles.Inc()
		}
		return api.Answer{}, err
	}
	outcome = finish(outcome, v, c)
	record := newRecord(v, c, outcome, started)
	log.report(record)
	receipt, err := i.options.Journal.Finish(ctx, record)
	if err != nil {
		i.options.Logger.Error("cannot store a receipt", "request", c.RequestID, "function", v.Name, "error", err)
		return api.Answer{}, unreceipted(v, c, err)
	}
	v.series.observe(record)
	return api.Answer{
		Payload: outcome.Payload, ContentType: outcome.ContentType, FunctionError: functionError(outcome.Status),
		Log: log.tail(), Receipt: receipt,
	}, nil
}

// call runs the code until it ends or the Invoker does.
func (i *Invoker) call(v *version, c Call, log *callLog) (Outcome, error) {
	return v.program.Call(i.base, Event{
		RequestID: c.RequestID, Payload: c.Payload, ContentType: c.ContentType,
		Timeout: time.Duration(v.TimeoutMs) * time.Millisecond, Log: log,
	})
}

// finish makes an outcome fit to leave: documents for the endings the code could not describe.
func finish(o Outcome, v *version, c Call) Outcome {
	limit := time.Duration(v.TimeoutMs) * time.Millisecond
	switch {
	case o.Status == Timeout && len(o.Payload) == 0:
		o.Payload, o.Duration = TimedOut(c.RequestID, limit), min(o.Duration, limit)
	case len(o.Payload) > api.MaxPayloadBytes:
		o.Status, o.Payload = Error, TooLarge(c.RequestID)
	}
	if o.Status != OK || o.ContentType == "" {
		o.ContentType = "application/json"
	}
	return o
}

func functionError(s Status) string {
	if s == OK {
		return ""
	}
	return "Unhandled"
}

func newRecord(v *version, c Call, o Outcome, started time.Time) Record {
	r := Record{
		RequestID: c.RequestID, Project: v.Project, Function: v.Name, FunctionID: v.FunctionID, Version: v.Version,
		StartedAt: started, Cold: o.Cold, Status: o.Status,
		Duration: o.Duration.Truncate(time.Microsecond), Init: o.Init.Truncate(time.Microsecond),
		MemoryMB: v.MemoryMB, MaxMemoryMB: o.MaxMemoryMB,
		PayloadBytes: int64(len(c.Payload)), AnswerBytes: int64(len(o.Payload)), Answer: o.Payload,
	}
	r.BilledMs = billedMs(r.Init + r.Duration)
	return r
}

// billedMs rounds up to whole milliseconds, at least one.
func billedMs(d time.Duration) int64 {
	return max(1, int64((d+time.Millisecond-1)/time.Millisecond))
}

func unreceipted(v *version, c Call, err error) error {
	code := api.CodeOf(err)
	if code != api.Internal {
		code = api.Unavailable
	}
	return api.Errorf(code, "cannot answer request %s of function %q: its receipt could not be stored: %w", c.RequestID, v.Name, err)
}
