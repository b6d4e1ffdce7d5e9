package controlplane

import (
	"context"
	"encoding/json"
	"errors"

	"nuage/api"
	"nuage/controlplane/events"
	"nuage/functions"
	"nuage/storage"
)

// topics adds publishing to the verbs of every noun.
type topics struct {
	resource[api.Topic, api.TopicSpec]
}

func (cp *ControlPlane) topics() resource[api.Topic, api.TopicSpec] {
	return resource[api.Topic, api.TopicSpec]{
		cp: cp, noun: "topic", prefix: "top", table: topicTable,
		status: func(t *api.Topic) *api.Status { return &t.Status.Status },
		spec:   func(t *api.Topic) *api.TopicSpec { return &t.Spec },
		check: func(_ context.Context, _, next *api.Topic) error {
			if len(next.Spec.Description) > 500 {
				return api.Errorf(api.Invalid, "cannot describe topic %q in %d bytes: 500 are the most", next.Name, len(next.Spec.Description))
			}
			return nil
		},
		admit: func(_ *storage.Tx, _ api.Actor, _, next *api.Topic) error {
			ready(&next.Status.Status, next.Generation, "hands on what is published")
			return nil
		},
		retire: func(tx *storage.Tx, t *api.Topic) (bool, error) { return true, inUse(tx, "topic", &t.Meta) },
	}
}

func (t topics) Publish(ctx context.Context, project, topic string, e api.CloudEvent) (api.CloudEvent, error) {
	found, err := t.Get(ctx, project, topic)
	if err != nil {
		return e, err
	}
	if e, err = t.cp.completeEvent(found, e); err != nil {
		return e, err
	}
	text, err := json.Marshal(e)
	if err != nil || len(text) > api.MaxEventBytes {
		return e, api.Errorf(api.Invalid, "cannot publish to topic %q: the event has %d bytes, and %d are the most", topic, len(text), api.MaxEventBytes)
	}
	var delivered, filtered int
	err = t.cp.Store.Commit(ctx, func(tx *storage.Tx) (err error) {
		if found, err = t.find(tx, project, topic); err != nil {
			return err
		}
		if delivered, filtered, err = t.cp.fanOut(tx, found, e, text, false); err != nil {
			return err
		}
		return t.cp.meterRequest(tx, topicRequests, &found.Meta, int64(len(text)))
	})
	if err == nil {
		t.cp.eventMetrics.published(&found.Meta, delivered, filtered)
	}
	return e, err
}

// completeEvent makes an event of the topic of plain data. Invalid: an attribute that is none.
func (cp *ControlPlane) completeEvent(t api.Topic, e api.CloudEvent) (api.CloudEvent, error) {
	if e.Type == "" {
		e.ID, e.Source, e.Type = functions.NewRequestID(), "/projects/"+t.Project+"/topics/"+t.Name, "nuage.topic.message"
	}
	if e.Time.IsZero() {
		e.Time = cp.Now().UTC()
	}
	text, err := json.Marshal(e)
	if err != nil {
		return e, api.Errorf(api.Invalid, "cannot publish to topic %q: %w", t.Name, err)
	}
	var again api.CloudEvent // a round trip finds what is no CloudEvent
	return e, again.UnmarshalJSON(text)
}

// fanOut hands an event to the triggers of a topic. always: even to those that are full.
func (cp *ControlPlane) fanOut(tx *storage.Tx, topic api.Topic, e api.CloudEvent, text []byte, always bool) (delivered, filtered int, err error) {
	attributes := e.Attributes()
	err = triggerTable.EachBy(tx, "name", topic.Project+"/", func(t api.Trigger) error {
		if t.Spec.Topic != topic.Name {
			return nil
		}
		filter, err := events.ParseFilter(t.Spec.Filter)
		if err != nil {
			return err
		}
		if !filter.Matches(attributes) {
			filtered++
			return nil
		}
		delivered++
		return cp.hand(tx, t, e, text, always)
	})
	return delivered, filtered, err
}

// hand gives an event to what a trigger names: a function, as an asynchronous call, or a queue, as a message.
// Exhausted: it is full, unless the event is to be taken all the same.
func (cp *ControlPlane) hand(tx *storage.Tx, t api.Trigger, e api.CloudEvent, text []byte, always bool) error {
	now := cp.Now().UTC()
	if t.Spec.ToQueue != "" {
		q, err := cp.queues().find(tx, t.Project, t.Spec.ToQueue)
		if err != nil {
			return err
		}
		m := message{ID: functions.NewRequestID(), Body: string(text), Attributes: e.Attributes(), SentAt: now, VisibleAt: now.Add(delayOf(q))}
		_, err = enqueue(tx, &q, m, now)
		return err
	}
	f, err := cp.functions().find(tx, t.Project, t.Spec.Function)
	if err != nil {
		return err
	}
	return addEvent(tx, asyncEvent{ID: functions.NewRequestID(), Function: f.ID, Project: t.Project, Payload: text, Qualifier: t.Spec.Qualifier,
		ContentType: api.CloudEventType, AcceptedAt: now, NextAt: now}, always)
}

// handOver is hand for events that nobody waits for: what can't be taken is logged and counted, and lost.
func (cp *ControlPlane) handOver(tx *storage.Tx, t api.Trigger, e api.CloudEvent) (lost bool, err error) {
	text, err := json.Marshal(e)
	if err != nil {
		return false, err
	}
	err = cp.hand(tx, t, e, text, false)
	if errors.Is(err, api.Exhausted) || errors.Is(err, api.NotFound) {
		cp.log.Error("event not delivered", "trigger", t.Name, "type", e.Type, "error", err)
		return true, nil
	}
	return false, err
}
