package controlplane

import (
	"context"
	"fmt"
	"strings"
	"time"

	"nuage/api"
	"nuage/storage"
)

func (cp *ControlPlane) triggers() resource[api.Trigger, api.TriggerSpec] {
	return resource[api.Trigger, api.TriggerSpec]{
		cp: cp, noun: "trigger", prefix: "tr", table: triggerTable,
		status: func(t *api.Trigger) *api.Status { return &t.Status.Status },
		spec:   func(t *api.Trigger) *api.TriggerSpec { return &t.Spec },
		check:  checkTrigger,
		admit:  cp.admitTrigger,
		retire: cp.retireTrigger,
		done:   func(ctx context.Context, _ *api.Trigger) { cp.loop.catchUp(ctx) },
		verb: func(old, next *api.Trigger) (string, string) {
			return createOrUpdate(old == nil), triggerText(next.Spec)
		},
	}
}

func triggerText(s api.TriggerSpec) string {
	if s.HTTP {
		return "HTTP calls function " + s.Function
	}
	return fmt.Sprintf("messages of queue %s call function %s", s.Queue, s.Function)
}

// checkTrigger takes an alias or a version as part of the function's name too, as hello:live.
func checkTrigger(_ context.Context, old, next *api.Trigger) error {
	s := &next.Spec
	if name, qualifier, ok := strings.Cut(s.Function, ":"); ok {
		s.Function, s.Qualifier = name, qualifier
	}
	switch {
	case s.HTTP == (s.Queue != ""):
		return api.Errorf(api.Invalid, "cannot create trigger %q: say what triggers it, one of http and queue", next.Name)
	case s.Queue == "" && (s.Batch != 0 || s.WindowMs != 0 || s.Concurrency != 0):
		return api.Errorf(api.Invalid, "cannot create trigger %q: batch, window and concurrency are for queues", next.Name)
	case old != nil && (old.Spec.Function != s.Function || old.Spec.HTTP != s.HTTP || old.Spec.Queue != s.Queue):
		return api.Errorf(api.Conflict, "cannot change what trigger %q is between: create another trigger", next.Name)
	}
	if s.Queue != "" {
		return checkBatch(next.Name, s)
	}
	return nil
}

// checkBatch fills in the defaults of a queue's trigger.
func checkBatch(name string, s *api.TriggerSpec) error {
	if s.Batch == 0 {
		s.Batch = api.DefaultBatch
	}
	if s.Concurrency == 0 {
		s.Concurrency = api.DefaultBatchConcurrency
	}
	switch {
	case s.Batch < 0 || s.Batch > api.MaxBatch:
		return api.Errorf(api.Invalid, "cannot create trigger %q with batches of %d messages: 1 to %d are possible", name, s.Batch, api.MaxBatch)
	case s.WindowMs < 0 || s.WindowMs > api.MaxBatchWindowMs:
		return api.Errorf(api.Invalid, "cannot create trigger %q with a window of %d ms: 5 minutes are the most", name, s.WindowMs)
	case s.Concurrency < 0 || s.Concurrency > api.MaxBatchConcurrency:
		return api.Errorf(api.Invalid, "cannot create trigger %q with %d calls at once: 1 to %d are possible", name, s.Concurrency, api.MaxBatchConcurrency)
	}
	return nil
}

func (cp *ControlPlane) admitTrigger(tx *storage.Tx, _ api.Actor, _, next *api.Trigger) error {
	f, err := cp.functions().find(tx, next.Project, next.Spec.Function)
	if err != nil {
		return err
	}
	if _, err := cp.resolve(tx, f, next.Spec.Qualifier); err != nil {
		return err
	}
	if next.Spec.HTTP {
		return cp.admitHTTP(tx, next)
	}
	return cp.admitBatch(tx, next, f)
}

// admitHTTP gives the function an address, which it can have once.
func (cp *ControlPlane) admitHTTP(tx *storage.Tx, next *api.Trigger) error {
	next.Status.URL = cp.url(next.Spec.Function, next.Project, "fn")
	if err := cp.setFunctionURL(tx, next, next.Status.URL); err != nil {
		return err
	}
	ready(&next.Status.Status, next.Generation, "requests to its URL call the function")
	return triggerTable.EachBy(tx, "name", next.Project+"/", func(t api.Trigger) error {
		if t.Spec.HTTP && t.Spec.Function == next.Spec.Function && t.ID != next.ID {
			return api.Errorf(api.Conflict, "cannot create trigger %q: trigger %q calls function %q by HTTP already", next.Name, t.Name, t.Spec.Function)
		}
		return nil
	})
}

// admitBatch makes sure that messages do not come again while a call is still dealing with them.
func (cp *ControlPlane) admitBatch(tx *storage.Tx, next *api.Trigger, f api.Function) error {
	q, err := cp.queues().find(tx, next.Project, next.Spec.Queue)
	if err != nil {
		return err
	}
	hidden, call := time.Duration(q.Spec.VisibilitySeconds)*time.Second, time.Duration(f.Spec.TimeoutMs)*time.Millisecond
	if hidden < call {
		return api.Errorf(api.Invalid, "cannot create trigger %q: messages of queue %q come again after %s, and a call of function %q may take %s; raise the visibility or lower the time-out",
			next.Name, q.Name, hidden, f.Name, call)
	}
	ready(&next.Status.Status, next.Generation, "messages of the queue call the function")
	return nil
}

func (cp *ControlPlane) retireTrigger(tx *storage.Tx, t *api.Trigger) (bool, error) {
	cp.eventMetrics.forget("trigger", &t.Meta)
	if !t.Spec.HTTP {
		return true, nil
	}
	return true, cp.setFunctionURL(tx, t, "")
}

// setFunctionURL tells in a function's status where its trigger is reached.
func (cp *ControlPlane) setFunctionURL(tx *storage.Tx, t *api.Trigger, url string) error {
	f, err := cp.functions().find(tx, t.Project, t.Spec.Function)
	if err != nil {
		return err
	}
	f.Status.URL = url
	return functionTable.Put(tx, f)
}
