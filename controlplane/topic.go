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
		admit: func(tx *storage.Tx, _ api.Actor, old, next *api.Topic) error {
			ready(&next.Status.Status, next.Generation, "hands on what is published")
			return admitOne(tx, "topic", &next.Meta, old == nil, api.Quota{Topics: 1})
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
	var sum fannedOut
	err = t.cp.Store.Commit(ctx, func(tx *storage.Tx) (err error) {
		if found, err = t.find(tx, project, topic); err != nil {
			return err
		}
		if sum, err = t.cp.fanOut(tx, found, e, text, false); err != nil {
			return err
		}
		return t.cp.meterRequest(tx, topicRequests, &found.Meta, int64(len(text)))
	})
	if err == nil {
		t.cp.eventMetrics.published(&found.Meta, sum)
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

// fannedOut is what became of an event, by numbers of subscribers.
type fannedOut struct{ delivered, filtered, dead, lost int }

// fanOut hands an event to the triggers of a topic, to each on its own: one that can't take it keeps it from no other. always: even
// those that are full take it.
func (cp *ControlPlane) fanOut(tx *storage.Tx, topic api.Topic, e api.CloudEvent, text []byte, always bool) (sum fannedOut, err error) {
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
			sum.filtered++
			return nil
		}
		end, err := cp.handOver(tx, t, e, text, always)
		switch end {
		case handedOn:
			sum.delivered++
		case deadLettered:
			sum.dead++
		case lost:
			sum.lost++
		}
		return err
	})
	return sum, err
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

// handing is what became of an event at one trigger.
type handing int

const (
	handedOn handing = iota
	deadLettered
	lost
)

// handOver is hand where an event must not fail over one trigger: what its target can't take goes to the trigger's dead-letter queue,
// which takes it even when it is full itself. Without one it is logged, counted and lost.
func (cp *ControlPlane) handOver(tx *storage.Tx, t api.Trigger, e api.CloudEvent, text []byte, always bool) (handing, error) {
	err := cp.hand(tx, t, e, text, always)
	if !errors.Is(err, api.Exhausted) && !errors.Is(err, api.NotFound) {
		return handedOn, err
	}
	if t.Spec.DeadLetter != "" {
		q, missing := cp.queues().find(tx, t.Project, t.Spec.DeadLetter)
		if missing == nil {
			now := cp.Now().UTC()
			_, err = enqueue(tx, &q, message{ID: functions.NewRequestID(), Body: string(text), Attributes: e.Attributes(), SentAt: now, VisibleAt: now, From: t.Name}, now)
			return deadLettered, err
		}
		err = missing
	}
	cp.log.Error("event not delivered; it is lost", "trigger", t.Name, "type", e.Type, "error", err)
	return lost, nil
}

// tell is handOver for events that nobody has published.
func (cp *ControlPlane) tell(tx *storage.Tx, t api.Trigger, e api.CloudEvent) (handing, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return lost, err
	}
	return cp.handOver(tx, t, e, text, false)
}
