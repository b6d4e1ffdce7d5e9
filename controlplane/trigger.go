package controlplane

import (
	"context"
	"fmt"
	"strings"
	"time"

	"nuage/api"
	"nuage/controlplane/events"
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

// triggerText says what calls what.
func triggerText(s api.TriggerSpec) string {
	to := "call function " + s.Function
	if s.ToQueue != "" {
		to = "go to queue " + s.ToQueue
	}
	switch {
	case s.HTTP:
		return "HTTP calls function " + s.Function
	case s.Queue != "":
		return fmt.Sprintf("messages of queue %s %s", s.Queue, to)
	case s.Topic != "":
		return fmt.Sprintf("events of topic %s %s", s.Topic, to)
	case s.Schedule != "":
		return fmt.Sprintf("ticks of %q %s", s.Schedule, to)
	}
	return fmt.Sprintf("events %s %s", strings.Join(s.Events, ", "), to)
}

// sourcesOf is how many kinds of events a trigger names.
func sourcesOf(s api.TriggerSpec) (n int) {
	for _, named := range []bool{s.HTTP, s.Queue != "", s.Topic != "", s.Schedule != "", len(s.Events) > 0} {
		if named {
			n++
		}
	}
	return n
}

// checkTrigger takes an alias or a version as part of the function's name too, as hello:live.
func checkTrigger(_ context.Context, old, next *api.Trigger) error {
	s := &next.Spec
	if name, qualifier, ok := strings.Cut(s.Function, ":"); ok {
		s.Function, s.Qualifier = name, qualifier
	}
	refuse := func(why string) error { return api.Errorf(api.Invalid, "cannot create trigger %q: %s", next.Name, why) }
	switch {
	case sourcesOf(*s) != 1:
		return refuse("say what triggers it, one of http, queue, topic, schedule and events")
	case (s.Function == "") == (s.ToQueue == ""):
		return refuse("say where its events go, to a function or a queue")
	case s.ToQueue != "" && (s.HTTP || s.Queue != ""):
		return refuse("requests and messages of queues go to functions only")
	case s.Queue == "" && (s.Batch != 0 || s.WindowMs != 0 || s.Concurrency != 0):
		return refuse("batch, window and concurrency are for queues")
	case s.DeadLetter != "" && (s.HTTP || s.Queue != ""):
		return refuse("a dead-letter queue is for topics, schedules and the life of things; a queue has its own")
	case s.DeadLetter != "" && s.DeadLetter == s.ToQueue:
		return refuse("its events go to that very queue: name another one for dead letters")
	case s.Topic == "" && len(s.Filter) > 0:
		return refuse("a filter is for topics")
	case s.Schedule == "" && s.Clock != "":
		return refuse("clock is for schedules")
	case s.Schedule == "" && s.Missed != "":
		return refuse("missed is for schedules")
	case old != nil && (old.Spec.Function != s.Function || old.Spec.ToQueue != s.ToQueue || old.Spec.HTTP != s.HTTP || old.Spec.Queue != s.Queue || old.Spec.Topic != s.Topic || (old.Spec.Schedule == "") != (s.Schedule == "")):
		return api.Errorf(api.Conflict, "cannot change what trigger %q is between: create another trigger", next.Name)
	}
	return checkSourceOf(next.Name, s)
}

// checkSourceOf looks closer at the kind of events, and fills in its defaults.
func checkSourceOf(name string, s *api.TriggerSpec) error {
	switch {
	case s.Queue != "":
		return checkBatch(name, s)
	case s.Topic != "":
		_, err := events.ParseFilter(s.Filter)
		return err
	case s.Schedule != "":
		if s.Missed == "" {
			s.Missed = missedOnce
		}
		if s.Missed != missedOnce && s.Missed != missedSkip {
			return api.Errorf(api.Invalid, "cannot create trigger %q: missed is once or skip", name)
		}
		if s.Clock == "" {
			s.Clock = api.RealClock
		}
		if s.Clock != api.RealClock && s.Clock != api.BillingClock {
			return api.Errorf(api.Invalid, "cannot create trigger %q: clock is %s or %s", name, api.RealClock, api.BillingClock)
		}
		_, err := events.ParseSchedule(s.Schedule)
		return err
	}
	for _, pattern := range s.Events {
		if err := events.CheckPattern(pattern); err != nil {
			return err
		}
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

func (cp *ControlPlane) admitTrigger(tx *storage.Tx, _ api.Actor, old, next *api.Trigger) error {
	s := next.Spec
	if err := admitOne(tx, "trigger", &next.Meta, old == nil, api.Quota{Triggers: 1}); err != nil {
		return err
	}
	if s.DeadLetter != "" {
		if _, err := cp.queues().find(tx, next.Project, s.DeadLetter); err != nil {
			return err
		}
	}
	f, err := cp.targetOf(tx, next)
	if err != nil {
		return err
	}
	switch {
	case s.HTTP:
		return cp.admitHTTP(tx, next)
	case s.Queue != "":
		return cp.admitBatch(tx, next, f)
	case s.Schedule != "":
		return cp.admitSchedule(tx, old, next)
	case s.Topic != "":
		_, err = cp.topics().find(tx, next.Project, s.Topic)
	}
	ready(&next.Status.Status, next.Generation, "events are handed on")
	return err
}

// targetOf finds where a trigger's events go. NotFound.
func (cp *ControlPlane) targetOf(tx *storage.Tx, t *api.Trigger) (f api.Function, err error) {
	if t.Spec.ToQueue != "" {
		_, err = cp.queues().find(tx, t.Project, t.Spec.ToQueue)
		return f, err
	}
	if f, err = cp.functions().find(tx, t.Project, t.Spec.Function); err == nil {
		_, err = cp.resolve(tx, f, t.Spec.Qualifier)
	}
	return f, err
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
		return true, erase(tx, tickTable, t.ID)
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
