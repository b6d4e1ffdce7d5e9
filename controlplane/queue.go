package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nuage/api"
	"nuage/storage"
)

// queues adds the numbers of messages to what Get, List and Wait answer.
type queues struct {
	resource[api.Queue, api.QueueSpec]
}

func (cp *ControlPlane) queues() resource[api.Queue, api.QueueSpec] {
	return resource[api.Queue, api.QueueSpec]{
		cp: cp, noun: "queue", prefix: "q", table: queueTable,
		status: func(q *api.Queue) *api.Status { return &q.Status.Status },
		spec:   func(q *api.Queue) *api.QueueSpec { return &q.Spec },
		check:  checkQueue,
		admit:  cp.admitQueue,
		retire: func(tx *storage.Tx, q *api.Queue) (bool, error) { return true, inUse(tx, "queue", &q.Meta) },
		verb:   func(old, next *api.Queue) (string, string) { return createOrUpdate(old == nil), queueText(next.Spec) },
		done:   func(context.Context, *api.Queue) { cp.events.wake() },
	}
}

func createOrUpdate(fresh bool) string {
	if fresh {
		return "create"
	}
	return "update"
}

func queueText(s api.QueueSpec) string {
	text := fmt.Sprintf("messages come again after %s", time.Duration(s.VisibilitySeconds)*time.Second)
	if s.DeadLetter != "" {
		text += fmt.Sprintf(", after %d receives they go to queue %s", s.MaxReceives, s.DeadLetter)
	}
	return text
}

// checkQueue fills in the defaults.
func checkQueue(_ context.Context, _, next *api.Queue) error {
	s := &next.Spec
	if s.VisibilitySeconds == 0 {
		s.VisibilitySeconds = api.DefaultVisibilitySeconds
	}
	if s.RetentionSeconds == 0 {
		s.RetentionSeconds = api.DefaultRetentionSeconds
	}
	if s.DeadLetter != "" && s.MaxReceives == 0 {
		s.MaxReceives = api.DefaultDeadLetterReceives
	}
	switch {
	case s.VisibilitySeconds < 0 || s.VisibilitySeconds > api.MaxVisibilitySeconds:
		return api.Errorf(api.Invalid, "cannot hide messages of queue %q for %d s: 1 s to 12 hours is possible", next.Name, s.VisibilitySeconds)
	case s.DelaySeconds < 0 || s.DelaySeconds > api.MaxDelaySeconds:
		return api.Errorf(api.Invalid, "cannot delay messages of queue %q by %d s: 0 s to 15 minutes is possible", next.Name, s.DelaySeconds)
	case s.RetentionSeconds < api.MinRetentionSeconds || s.RetentionSeconds > api.MaxRetentionSeconds:
		return api.Errorf(api.Invalid, "cannot keep messages of queue %q for %d s: a minute to 14 days is possible", next.Name, s.RetentionSeconds)
	case s.DeadLetter == "" && s.MaxReceives != 0:
		return api.Errorf(api.Invalid, "cannot bound the receives of queue %q: name the queue that gets dead letters", next.Name)
	case s.MaxReceives < 0 || s.MaxReceives > api.MaxDeadLetterReceives:
		return api.Errorf(api.Invalid, "cannot give up messages of queue %q after %d receives: 1 to %d are possible", next.Name, s.MaxReceives, api.MaxDeadLetterReceives)
	case s.DeadLetter == next.Name:
		return api.Errorf(api.Invalid, "cannot make queue %q its own dead-letter queue: name another one", next.Name)
	}
	return nil
}

// admitQueue begins the state of a new queue. A chain of dead-letter queues never comes back to its start.
func (cp *ControlPlane) admitQueue(tx *storage.Tx, _ api.Actor, old, next *api.Queue) error {
	for at, hops := next.Spec.DeadLetter, 0; at != ""; hops++ {
		q, err := cp.queues().find(tx, next.Project, at)
		switch {
		case err != nil:
			return err
		case q.Name == next.Name || hops > 100:
			return api.Errorf(api.Invalid, "cannot use queue %q for dead letters of queue %q: its own end up there", next.Spec.DeadLetter, next.Name)
		}
		at = q.Spec.DeadLetter
	}
	ready(&next.Status.Status, next.Generation, "takes and gives messages")
	if old != nil {
		return nil
	}
	return errors.Join(admitOne(tx, "queue", &next.Meta, true, api.Quota{Queues: 1}), queueStateTable.Insert(tx, queueState{ID: next.ID, Project: next.Project}))
}

func (q queues) Get(ctx context.Context, project, name string) (api.Queue, error) {
	return q.counted(q.resource.Get(ctx, project, name))
}

func (q queues) Create(ctx context.Context, project, name string, spec api.QueueSpec) (api.Queue, error) {
	return q.counted(q.resource.Create(ctx, project, name, spec))
}

func (q queues) Update(ctx context.Context, project, name string, spec api.QueueSpec, generation int64) (api.Queue, error) {
	return q.counted(q.resource.Update(ctx, project, name, spec, generation))
}

func (q queues) Wait(ctx context.Context, project, name string, limit time.Duration) (api.Queue, error) {
	return q.counted(q.resource.Wait(ctx, project, name, limit))
}

func (q queues) List(ctx context.Context, project string, page api.Page) (api.List[api.Queue], error) {
	all, err := q.resource.List(ctx, project, page)
	for i := range all.Items {
		if err == nil {
			all.Items[i], err = q.counted(all.Items[i], nil)
		}
	}
	return all, err
}

// counted adds the numbers of a queue's messages. They are never stored in its status: each message would change it.
func (q queues) counted(one api.Queue, err error) (api.Queue, error) {
	if err != nil {
		return one, err
	}
	return one, q.cp.Store.View(func(tx *storage.Tx) error { return countMessages(tx, &one, q.cp.Now()) })
}

// countMessages fills in what is in a queue at a time.
func countMessages(tx *storage.Tx, q *api.Queue, now time.Time) error {
	state, err := queueStateTable.Get(tx, q.ID)
	if err != nil {
		return ignoreGone(err)
	}
	s := &q.Status
	s.Bytes, s.InFlight, s.Delayed, s.OldestAt = state.Bytes, 0, 0, nil
	hidden, err := messageTable.ListBy(tx, "visible", storage.Query{Prefix: q.ID + "/", After: storage.TimeKey(now) + "\xff"})
	if err != nil {
		return err
	}
	for _, m := range hidden.Items {
		if m.Receives > 0 {
			s.InFlight++
		} else {
			s.Delayed++
		}
	}
	s.Messages = max(0, state.Messages-s.InFlight-s.Delayed)
	first, err := messageTable.List(tx, storage.Query{Prefix: q.ID + "/", Limit: 1})
	if err == nil && len(first.Items) > 0 {
		s.OldestAt = &first.Items[0].ArrivedAt
	}
	return err
}

func delayOf(q api.Queue) time.Duration { return time.Duration(q.Spec.DelaySeconds) * time.Second }

// inUse answers Conflict where something names a queue, topic or function as where its events come from or go to.
func inUse(tx *storage.Tx, noun string, m *api.Meta) error {
	used := func(what string, by *api.Meta) error {
		return api.Errorf(api.Conflict, "cannot delete %s %q: %s %q names it; change or delete that first", noun, m.Name, what, by.Name)
	}
	place := noun + ":" + m.Name
	return errors.Join(
		functionTable.EachBy(tx, "name", m.Project+"/", func(f api.Function) error {
			if f.ID != m.ID && (f.Spec.Async.OnFailure == place || f.Spec.Async.OnSuccess == place) {
				return used("function", &f.Meta)
			}
			return nil
		}),
		triggerTable.EachBy(tx, "name", m.Project+"/", func(t api.Trigger) error {
			if noun == "queue" && (t.Spec.Queue == m.Name || t.Spec.ToQueue == m.Name || t.Spec.DeadLetter == m.Name) || noun == "topic" && t.Spec.Topic == m.Name {
				return used("trigger", &t.Meta)
			}
			return nil
		}),
		queueTable.EachBy(tx, "name", m.Project+"/", func(q api.Queue) error {
			if noun == "queue" && q.Spec.DeadLetter == m.Name {
				return used("queue", &q.Meta)
			}
			return nil
		}))
}
