package apitest

import (
	"strings"
	"testing"

	"nuage/api"
)

func queues() kind[api.Queue, api.QueueSpec] {
	return kind[api.Queue, api.QueueSpec]{
		noun:     "queue",
		resource: func(c api.Cloud) api.Resource[api.Queue, api.QueueSpec] { return c.Queues },
		spec:     func(*testing.T, *suite, string, string) api.QueueSpec { return api.QueueSpec{} },
		change: func(s api.QueueSpec) api.QueueSpec {
			s.VisibilitySeconds = 60
			return s
		},
		bad: []bad[api.QueueSpec]{
			{"a long visibility", api.QueueSpec{VisibilitySeconds: api.MaxVisibilitySeconds + 1}, api.Invalid},
			{"a long delay", api.QueueSpec{DelaySeconds: api.MaxDelaySeconds + 1}, api.Invalid},
			{"a short retention", api.QueueSpec{RetentionSeconds: api.MinRetentionSeconds - 1}, api.Invalid},
			{"a bound without a queue for dead letters", api.QueueSpec{MaxReceives: 3}, api.Invalid},
			{"an unknown queue for dead letters", api.QueueSpec{DeadLetter: "nobody"}, api.NotFound},
		},
		meta: func(v *api.Queue) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

// messages sends, receives and acknowledges, and asks for what is not possible.
func (s *suite) messages(t *testing.T) {
	x := trial[api.Queue, api.QueueSpec]{queues(), s, s.Context, s.project(t), s.Cloud.Queues}
	x.create(t, "one")
	all := s.Cloud.Messages
	sent, err := all.Send(x.ctx, x.project, "one", api.NewMessage{Body: "hello é", Attributes: map[string]string{"kind": "greeting"}})
	must(t, "send", err)
	hour := int64(3600)
	got, err := all.Receive(x.ctx, x.project, "one", api.ReceiveQuery{Max: 10, WaitSeconds: 1, VisibilitySeconds: &hour})
	must(t, "receive", err)
	if len(got.Items) != 1 || got.Items[0].ID != sent.ID || got.Items[0].Body != "hello é" || got.Items[0].Attributes["kind"] != "greeting" || got.Items[0].Receives != 1 || got.Items[0].ReceiptHandle == "" {
		t.Fatalf("received is %+v, sent was %+v", got.Items, sent)
	}
	if none, err := all.Receive(x.ctx, x.project, "one", api.ReceiveQuery{}); err != nil || none.Items == nil || len(none.Items) != 0 {
		t.Errorf("what is in flight is received: %+v, %v", none, err)
	}
	if q := x.settled(t, "one"); q.Status.Messages != 0 || q.Status.InFlight != 1 || q.Status.Bytes == 0 || q.Status.OldestAt == nil {
		t.Errorf("with a message in flight the queue says %+v", q.Status)
	}
	handle := got.Items[0].ReceiptHandle
	_, err = all.Extend(x.ctx, x.project, "one", handle, 0)
	must(t, "extend by nothing", err)
	again, err := all.Receive(x.ctx, x.project, "one", api.ReceiveQuery{})
	must(t, "receive again", err)
	if len(again.Items) != 1 || again.Items[0].Receives != 2 {
		t.Fatalf("received again is %+v", again.Items)
	}
	wants(t, "acknowledge by an older handle", all.Acknowledge(x.ctx, x.project, "one", handle), api.Conflict)
	must(t, "acknowledge", all.Acknowledge(x.ctx, x.project, "one", again.Items[0].ReceiptHandle))
	must(t, "acknowledge again", all.Acknowledge(x.ctx, x.project, "one", again.Items[0].ReceiptHandle))
	_, err = all.Extend(x.ctx, x.project, "one", again.Items[0].ReceiptHandle, 1)
	wants(t, "extend what is gone", err, api.NotFound)
	_, err = all.Send(x.ctx, x.project, "one", api.NewMessage{Body: "x"})
	must(t, "send", err)
	n, err := all.Purge(x.ctx, x.project, "one")
	if must(t, "purge", err); n != 1 {
		t.Errorf("a purge of one message removes %d", n)
	}
	if n, err = all.Redrive(x.ctx, x.project, "one"); err != nil || n != 0 {
		t.Errorf("a redrive of nothing moves %d, %v", n, err)
	}
	s.badMessages(t, x.project)
}

func (s *suite) badMessages(t *testing.T, project string) {
	t.Helper()
	all, long := s.Cloud.Messages, int64(api.MaxDelaySeconds+1)
	for why, m := range map[string]api.NewMessage{
		"too much": {Body: strings.Repeat("x", api.MaxEventBytes+1)}, "too late": {Body: "x", DelaySeconds: &long},
		"with a bad attribute": {Body: "x", Attributes: map[string]string{"a b": "c"}},
	} {
		_, err := all.Send(s.Context, project, "one", m)
		wants(t, "send "+why, err, api.Invalid)
	}
	_, err := all.Receive(s.Context, project, "one", api.ReceiveQuery{Max: 11})
	wants(t, "receive too many", err, api.Invalid)
	wants(t, "acknowledge no handle", all.Acknowledge(s.Context, project, "one", "nonsense"), api.Invalid)
	_, err = all.Send(s.Context, project, "nobody", api.NewMessage{Body: "x"})
	wants(t, "send to nobody", err, api.NotFound)
	_, err = all.Receive(s.Context, project, "nobody", api.ReceiveQuery{})
	wants(t, "receive from nobody", err, api.NotFound)
	_, err = all.Purge(s.Context, project, "nobody")
	wants(t, "purge nobody", err, api.NotFound)
	c, ctx := s.limited(t, s.project(t))
	_, err = c.Messages.Send(ctx, project, "one", api.NewMessage{Body: "x"})
	wants(t, "send with a token for another project", err, api.Forbidden)
	wants(t, "acknowledge with a token for another project", c.Messages.Acknowledge(ctx, project, "one", "0000000000-1"), api.Forbidden)
}

// asyncCalls calls a function without waiting: it runs by itself, and what comes of it goes where it was told.
func (s *suite) asyncCalls(t *testing.T) {
	project := s.project(t)
	_, err := s.Cloud.Queues.Create(s.Context, project, "won", api.QueueSpec{})
	must(t, "create a queue", err)
	defer func() { must(t, "delete the queue", s.Cloud.Queues.Delete(s.Context, project, "won", 0)) }()
	s.deploy(t, project, "echo", Echo())
	defer s.gone(t, project, "echo")
	f, err := s.Cloud.Functions.Get(s.Context, project, "echo")
	must(t, "get", err)
	f.Spec.Async.OnSuccess = "queue:won"
	_, err = s.Cloud.Functions.Update(s.Context, project, "echo", f.Spec, 0)
	must(t, "name a destination", err)
	taken, err := s.Cloud.Functions.Invoke(s.Context, project, "echo", api.Invocation{Type: api.Async, Payload: []byte(`{"n":1}`), ContentType: "application/json"})
	must(t, "call", err)
	got, err := s.Cloud.Messages.Receive(s.Context, project, "won", api.ReceiveQuery{WaitSeconds: 20})
	must(t, "receive the record", err)
	if id := taken.Receipt.RequestID; len(got.Items) != 1 || id == "" || !strings.Contains(got.Items[0].Body, `"requestId":"`+id+`"`) || !strings.Contains(got.Items[0].Body, `"responsePayload":{"n":1}`) {
		t.Errorf("the record of call %s is %+v", taken.Receipt.RequestID, got.Items)
	}
	_, err = s.Cloud.Functions.Invoke(s.Context, project, "nobody", api.Invocation{Type: api.Async})
	wants(t, "call nobody", err, api.NotFound)
	_, err = s.Cloud.Functions.Invoke(s.Context, project, "echo", api.Invocation{Type: api.Async, Payload: make([]byte, api.MaxEventBytes+1)})
	wants(t, "call with too much", err, api.Invalid)
}
