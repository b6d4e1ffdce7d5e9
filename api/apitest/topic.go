package apitest

import (
	"strings"
	"testing"

	"nuage/api"
)

func topics() kind[api.Topic, api.TopicSpec] {
	return kind[api.Topic, api.TopicSpec]{
		noun:     "topic",
		resource: func(c api.Cloud) api.Resource[api.Topic, api.TopicSpec] { return c.Topics },
		spec:     func(*testing.T, *suite, string, string) api.TopicSpec { return api.TopicSpec{} },
		change: func(s api.TopicSpec) api.TopicSpec {
			s.Description = "what happens"
			return s
		},
		bad:  []bad[api.TopicSpec]{{"a long description", api.TopicSpec{Description: strings.Repeat("x", 501)}, api.Invalid}},
		meta: func(v *api.Topic) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

// publish hands events to queues: all to one, those that pass its filter to another.
func (s *suite) publish(t *testing.T) {
	project := s.project(t)
	_, err := s.Cloud.Topics.Create(s.Context, project, "news", api.TopicSpec{})
	must(t, "create a topic", err)
	for name, filter := range map[string]map[string]any{"all": nil, "red": {"color": []any{"red"}}} {
		_, err := s.Cloud.Queues.Create(s.Context, project, name, api.QueueSpec{})
		must(t, "create a queue", err)
		_, err = s.Cloud.Triggers.Create(s.Context, project, name, api.TriggerSpec{Topic: "news", ToQueue: name, Filter: filter})
		must(t, "subscribe", err)
	}
	wants(t, "delete a topic with subscribers", s.Cloud.Topics.Delete(s.Context, project, "news", 0), api.Conflict)
	plain, err := s.Cloud.Topics.Publish(s.Context, project, "news", api.CloudEvent{Data: []byte("hello"), DataContentType: "text/plain", Extensions: map[string]string{"color": "red"}})
	must(t, "publish", err)
	if plain.ID == "" || plain.Type != "nuage.topic.message" || string(plain.Data) != "hello" || plain.Time.IsZero() {
		t.Errorf("plain data became %+v", plain)
	}
	whole, err := s.Cloud.Topics.Publish(s.Context, project, "news", api.CloudEvent{ID: "1", Source: "/me", Type: "test.event", Data: []byte(`{"a":1}`)})
	must(t, "publish a CloudEvent", err)
	if whole.ID != "1" || whole.Source != "/me" || whole.Type != "test.event" || string(whole.Data) != `{"a":1}` {
		t.Errorf("the CloudEvent became %+v", whole)
	}
	for queue, want := range map[string]int{"all": 2, "red": 1} {
		got, err := s.Cloud.Messages.Receive(s.Context, project, queue, api.ReceiveQuery{Max: 10})
		must(t, "receive", err)
		if len(got.Items) != want {
			t.Errorf("queue %s got %d events, want %d", queue, len(got.Items), want)
		}
	}
	for why, e := range map[string]api.CloudEvent{
		"too much": {Data: make([]byte, api.MaxEventBytes+1)}, "a bad attribute": {Data: []byte("x"), Extensions: map[string]string{"Not Good": "x"}},
		"no id": {Type: "x", Source: "/me"},
	} {
		_, err := s.Cloud.Topics.Publish(s.Context, project, "news", e)
		wants(t, "publish "+why, err, api.Invalid)
	}
	_, err = s.Cloud.Topics.Publish(s.Context, project, "nobody", api.CloudEvent{})
	wants(t, "publish to nobody", err, api.NotFound)
	for _, name := range []string{"all", "red"} {
		must(t, "delete the trigger", s.Cloud.Triggers.Delete(s.Context, project, name, 0))
		must(t, "delete the queue", s.Cloud.Queues.Delete(s.Context, project, name, 0))
	}
	must(t, "delete the topic", s.Cloud.Topics.Delete(s.Context, project, "news", 0))
}
