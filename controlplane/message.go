package controlplane

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"nuage/api"
	"nuage/functions"
	"nuage/storage"
)

// message is a stored message. Its key keeps the order of arrival.
type message struct {
	Queue      string            `json:"q"` // id
	Number     int               `json:"n"` // of the queue's messages
	ID         string            `json:"id"`
	Body       string            `json:"b"`
	Attributes map[string]string `json:"a,omitempty"`
	SentAt     time.Time         `json:"at"`
	ArrivedAt  time.Time         `json:"in"` // in this queue
	VisibleAt  time.Time         `json:"v"`
	Receives   int               `json:"r,omitempty"`
	FirstAt    *time.Time        `json:"f,omitempty"`
	Handle     string            `json:"h,omitempty"`  // of the last receive
	FromID     string            `json:"fi,omitempty"` // queue that it is a dead letter of
	From       string            `json:"fn,omitempty"` // its name, or that of the function
}

func messageKey(queue string, number int) string { return queue + "/" + pad(number) }

func (m message) key() string { return messageKey(m.Queue, m.Number) }

// size is what a message counts for.
func (m message) size() int64 {
	n := len(m.Body)
	for k, v := range m.Attributes {
		n += len(k) + len(v)
	}
	return int64(n)
}

func (m message) public() api.Message {
	return api.Message{ID: m.ID, Body: m.Body, Attributes: m.Attributes, SentAt: m.SentAt, VisibleAt: m.VisibleAt, Receives: m.Receives,
		FirstReceivedAt: m.FirstAt, ReceiptHandle: m.Handle, DeadLetterOf: m.From}
}

// queueState is what all changes of a queue's messages share. It goes after the last message.
type queueState struct {
	ID       string `json:"id"`
	Project  string `json:"project"`
	Next     int    `json:"next"` // number of the next message
	Messages int64  `json:"messages"`
	Bytes    int64  `json:"bytes"`
}

// enqueue puts a message into a queue. Exhausted: it is full; a dead letter is taken all the same, for it takes the place of
// what it was made from.
func enqueue(tx *storage.Tx, q *api.Queue, m message, now time.Time) (message, error) {
	state, err := queueStateTable.Get(tx, q.ID)
	if err != nil {
		return m, err
	}
	if m.From == "" && (state.Messages >= api.MaxQueueMessages || state.Bytes+m.size() > api.MaxQueueBytes) {
		return m, api.Errorf(api.Exhausted, "cannot send to queue %q: it holds %d messages with %d bytes, and %d with %d bytes are the most; receive or purge some",
			q.Name, state.Messages, state.Bytes, api.MaxQueueMessages, api.MaxQueueBytes)
	}
	m.Queue, m.Number, m.ArrivedAt, m.Receives, m.FirstAt, m.Handle = q.ID, state.Next, now, 0, nil, ""
	state.Next++
	state.Messages++
	state.Bytes += m.size()
	return m, errors.Join(messageTable.Insert(tx, m), queueStateTable.Put(tx, state))
}

// dequeue removes a message of a queue for good.
func dequeue(tx *storage.Tx, m message) error {
	state, err := queueStateTable.Get(tx, m.Queue)
	if err != nil {
		return err
	}
	state.Messages--
	state.Bytes -= m.size()
	return errors.Join(messageTable.Delete(tx, m.key()), queueStateTable.Put(tx, state))
}

// messages implements api.Messages.
type messages struct{ cp *ControlPlane }

// queue finds a queue for somebody who may act on its project.
func (v messages) queue(ctx context.Context, project, name string) (api.Queue, error) {
	return v.cp.queues().Get(ctx, project, name)
}

func (v messages) Send(ctx context.Context, project, queue string, n api.NewMessage) (api.Message, error) {
	q, err := v.queue(ctx, project, queue)
	if err != nil {
		return api.Message{}, err
	}
	now := v.cp.Now().UTC()
	m := message{ID: functions.NewRequestID(), Body: n.Body, Attributes: n.Attributes, SentAt: now}
	if err := checkMessage(q.Name, m, n); err != nil {
		return api.Message{}, err
	}
	delay := q.Spec.DelaySeconds
	if n.DelaySeconds != nil {
		delay = *n.DelaySeconds
	}
	m.VisibleAt = now.Add(time.Duration(delay) * time.Second)
	var sent message
	err = v.cp.Store.Commit(ctx, func(tx *storage.Tx) (err error) {
		if q, err = v.cp.queues().find(tx, project, queue); err != nil {
			return err
		}
		if sent, err = enqueue(tx, &q, m, now); err != nil {
			return err
		}
		return v.cp.meterRequest(tx, queueRequests, &q.Meta, m.size())
	})
	if err == nil {
		v.cp.eventMetrics.sent(&q.Meta, 1)
	}
	return sent.public(), err
}

func checkMessage(queue string, m message, n api.NewMessage) error {
	refuse := func(format string, args ...any) error {
		return api.Errorf(api.Invalid, "cannot send to queue %q: "+format, append([]any{queue}, args...)...)
	}
	switch {
	case !utf8.ValidString(m.Body):
		return refuse("the body is no UTF-8 text; send bytes in base64")
	case m.size() > api.MaxEventBytes:
		return refuse("the message has %d bytes, and %d are the most", m.size(), api.MaxEventBytes)
	case len(m.Attributes) > api.MaxMessageAttributes:
		return refuse("the message has %d attributes, and %d are the most", len(m.Attributes), api.MaxMessageAttributes)
	case n.DelaySeconds != nil && (*n.DelaySeconds < 0 || *n.DelaySeconds > api.MaxDelaySeconds):
		return refuse("a delay of %d s is not possible, 0 s to 15 minutes is", *n.DelaySeconds)
	}
	for k, v := range m.Attributes {
		if k == "" || len(k) > 256 || strings.ContainsFunc(k, func(r rune) bool { return r <= ' ' || r > '~' }) || !utf8.ValidString(v) {
			return refuse("the attribute %q is none: a name has 1 to 256 printable ASCII characters, a value is text", k)
		}
	}
	return nil
}

func (v messages) Receive(ctx context.Context, project, queue string, r api.ReceiveQuery) (api.List[api.Message], error) {
	out := api.List[api.Message]{Items: []api.Message{}}
	q, err := v.queue(ctx, project, queue)
	if err != nil {
		return out, err
	}
	hide, err := checkReceive(q, &r)
	if err != nil {
		return out, err
	}
	var got []message
	deadline := v.cp.Now().Add(time.Duration(r.WaitSeconds) * time.Second)
	for {
		arrived := v.cp.events.arrived.next()
		if got, err = v.cp.receive(ctx, q, receiving{most: r.Max, bytes: api.MaxPayloadBytes, hide: hide, metered: true}); err != nil || len(got) > 0 {
			break
		}
		if !v.cp.waitForMessage(ctx, q.ID, arrived, deadline) {
			err = v.cp.Store.Commit(context.WithoutCancel(ctx), func(tx *storage.Tx) error { return v.cp.meterRequest(tx, queueRequests, &q.Meta, 0) })
			break
		}
	}
	for _, m := range got {
		out.Items = append(out.Items, m.public())
	}
	return out, err
}

func checkReceive(q api.Queue, r *api.ReceiveQuery) (hide time.Duration, err error) {
	if r.Max == 0 {
		r.Max = 1
	}
	seconds := q.Spec.VisibilitySeconds
	if r.VisibilitySeconds != nil {
		seconds = *r.VisibilitySeconds
	}
	switch {
	case r.Max < 0 || r.Max > api.MaxReceive:
		err = api.Errorf(api.Invalid, "cannot receive %d messages of queue %q at once: 1 to %d are possible", r.Max, q.Name, api.MaxReceive)
	case r.WaitSeconds < 0 || r.WaitSeconds > api.MaxReceiveWaitSeconds:
		err = api.Errorf(api.Invalid, "cannot wait %d s for a message of queue %q: 0 to %d s are possible", r.WaitSeconds, q.Name, api.MaxReceiveWaitSeconds)
	case seconds < 0 || seconds > api.MaxVisibilitySeconds:
		err = api.Errorf(api.Invalid, "cannot hide messages of queue %q for %d s: 0 s to 12 hours is possible", q.Name, seconds)
	}
	return time.Duration(seconds) * time.Second, err
}

// readHandle takes the number of a message out of a receipt handle. Invalid: it is none.
func readHandle(handle string) (number int, err error) {
	text, _, ok := strings.Cut(handle, "-")
	if number, err = strconv.Atoi(text); !ok || err != nil || number < 0 || pad(number) != text {
		return 0, api.Errorf(api.Invalid, "cannot use receipt handle %q: give one that a receive answered", handle)
	}
	return number, nil
}

// held finds the message that a handle names. NotFound: it is gone. Conflict: it was received again since.
func (v messages) held(tx *storage.Tx, project, queue, handle string) (message, api.Queue, error) {
	q, err := v.cp.queues().find(tx, project, queue)
	if err != nil {
		return message{}, q, err
	}
	number, err := readHandle(handle)
	if err != nil {
		return message{}, q, err
	}
	m, err := messageTable.Get(tx, messageKey(q.ID, number))
	switch {
	case errors.Is(err, api.NotFound):
		err = api.Errorf(api.NotFound, "cannot find the message of receipt handle %q in queue %q: it was acknowledged, or is too old", handle, queue)
	case err == nil && m.Handle != handle:
		err = api.Errorf(api.Conflict, "cannot use receipt handle %q: message %s of queue %q was received again since; use the newest handle", handle, m.ID, queue)
	}
	return m, q, err
}

func (v messages) Acknowledge(ctx context.Context, project, queue, handle string) error {
	q, err := v.queue(ctx, project, queue)
	if err != nil {
		return err
	}
	removed := false
	err = v.cp.Store.Commit(ctx, func(tx *storage.Tx) error {
		m, q, err := v.held(tx, project, queue, handle)
		removed = err == nil
		if errors.Is(err, api.NotFound) && q.ID != "" {
			return v.cp.meterRequest(tx, queueRequests, &q.Meta, 0)
		}
		if err != nil {
			return err
		}
		return errors.Join(dequeue(tx, m), v.cp.meterRequest(tx, queueRequests, &q.Meta, 0))
	})
	if err == nil && removed {
		v.cp.eventMetrics.deleted(&q.Meta, 1)
	}
	return err
}

func (v messages) Extend(ctx context.Context, project, queue, handle string, seconds int64) (api.Message, error) {
	q, err := v.queue(ctx, project, queue)
	if err != nil {
		return api.Message{}, err
	}
	if seconds < 0 || seconds > api.MaxVisibilitySeconds {
		return api.Message{}, api.Errorf(api.Invalid, "cannot hide messages of queue %q for %d s: 0 s to 12 hours is possible", q.Name, seconds)
	}
	var m message
	err = v.cp.Store.Commit(ctx, func(tx *storage.Tx) (err error) {
		if m, q, err = v.held(tx, project, queue, handle); err != nil {
			return err
		}
		m.VisibleAt = v.cp.Now().UTC().Add(time.Duration(seconds) * time.Second)
		return errors.Join(messageTable.Put(tx, m), v.cp.meterRequest(tx, queueRequests, &q.Meta, 0))
	})
	return m.public(), err
}
