package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"nuage/api"
	"nuage/controlplane/events"
	"nuage/functions"
	"nuage/storage"
)

// asyncEvent is an accepted event that is not done yet.
type asyncEvent struct {
	ID          string    `json:"id"`       // of the request, the same for all attempts
	Function    string    `json:"function"` // id
	Project     string    `json:"project"`
	Payload     []byte    `json:"payload,omitempty"`
	ContentType string    `json:"contentType,omitempty"`
	Qualifier   string    `json:"qualifier,omitempty"` // what it names is looked up at each attempt
	AcceptedAt  time.Time `json:"acceptedAt"`
	NextAt      time.Time `json:"nextAt"`              // when it is to be called
	Attempts    int       `json:"attempts,omitempty"`  // calls that ended
	Begun       int       `json:"begun,omitempty"`     // how often the next call was begun; more than once where the process was killed
	Running     bool      `json:"running,omitempty"`   // it was handed to the function
	Throttled   int       `json:"throttled,omitempty"` // how often in a row there was no room for it
}

func (e asyncEvent) size() int64 { return int64(len(e.Payload)) }

// due orders the events of a function that wait.
func (e asyncEvent) due() string {
	if e.Running {
		return ""
	}
	return e.Function + "/" + storage.TimeKey(e.NextAt)
}

// asyncState is what all changes of a function's events share.
type asyncState struct {
	ID     string `json:"id"` // of the function
	Events int64  `json:"events"`
	Bytes  int64  `json:"bytes"`
}

// mostBegun is how often one attempt is begun: once, and once more where the process was killed in it.
const mostBegun = 2

// accept makes an asynchronous call durable and answers its request id.
func (cp *ControlPlane) accept(ctx context.Context, f api.Function, call api.Invocation) (api.Answer, error) {
	if len(call.Payload) > api.MaxEventBytes {
		return api.Answer{}, api.Errorf(api.Invalid, "cannot call function %q asynchronously: the payload has %d bytes, and %d is the most", f.Name, len(call.Payload), api.MaxEventBytes)
	}
	now := cp.Now().UTC()
	e := asyncEvent{ID: functions.NewRequestID(), Function: f.ID, Project: f.Project, Payload: call.Payload, ContentType: call.ContentType, Qualifier: call.Qualifier, AcceptedAt: now, NextAt: now}
	err := cp.Store.Commit(ctx, func(tx *storage.Tx) error {
		return errors.Join(addEvent(tx, e, false), cp.meterRequest(tx, asyncRequests, &f.Meta, int64(len(call.Payload))))
	})
	if err != nil {
		return api.Answer{}, err
	}
	cp.eventMetrics.accepted(&f.Meta)
	return api.Answer{Receipt: api.Receipt{RequestID: e.ID, Project: f.Project, Function: f.Name, FunctionID: f.ID}}, nil
}

// addEvent stores an event. NotFound: no such function. Exhausted: too many of its events wait, unless it is to be taken
// all the same, for it takes the place of another one.
func addEvent(tx *storage.Tx, e asyncEvent, always bool) error {
	f, err := functionTable.Get(tx, e.Function)
	if err != nil {
		return err
	}
	state, err := asyncStateTable.Get(tx, e.Function)
	if err = ignoreGone(err); err != nil {
		return err
	}
	if !always && (state.Events >= api.MaxFunctionEvents || state.Bytes+e.size() > api.MaxFunctionEventSize) {
		return api.Errorf(api.Exhausted, "cannot call function %q asynchronously: %d events with %d bytes wait for it, and %d with %d bytes are the most; try again later",
			f.Name, state.Events, state.Bytes, api.MaxFunctionEvents, api.MaxFunctionEventSize)
	}
	state.ID = e.Function
	state.Events++
	state.Bytes += e.size()
	return errors.Join(asyncTable.Insert(tx, e), asyncStateTable.Put(tx, state))
}

// dropEvent removes an event that is done.
func dropEvent(tx *storage.Tx, e asyncEvent) error {
	state, err := asyncStateTable.Get(tx, e.Function)
	if err != nil {
		return err
	}
	state.Events--
	state.Bytes -= e.size()
	if err := asyncTable.Delete(tx, e.ID); err != nil || state.Events > 0 {
		return errors.Join(err, asyncStateTable.Put(tx, state))
	}
	return asyncStateTable.Delete(tx, state.ID)
}

// Settings of asynchronous calls with their defaults.
func retriesOf(s api.AsyncSpec) int {
	if s.Retries == nil {
		return api.DefaultRetries
	}
	return *s.Retries
}

// retryDelay is the pause after so many failed calls: the first one, then twice that.
func retryDelay(s api.AsyncSpec, attempts int) time.Duration {
	ms := s.RetryDelayMs
	if ms == 0 {
		ms = api.DefaultRetryDelayMs
	}
	return time.Duration(ms) * time.Millisecond << max(0, attempts-1)
}

func maxAge(s api.AsyncSpec) time.Duration {
	if s.MaxAgeSeconds == 0 {
		return api.MaxEventAgeSeconds * time.Second
	}
	return time.Duration(s.MaxAgeSeconds) * time.Second
}

// throttleDelay is the pause after there was no room so many times in a row: a second, doubled up to five minutes.
func throttleDelay(times int) time.Duration {
	return min(time.Second<<min(max(times, 1)-1, 9), 5*time.Minute)
}

// place is a destination: what it is, and its name.
type eventPlace struct{ noun, name string }

// readPlaceName reads queue:NAME, topic:NAME or function:NAME. Invalid.
func readPlaceName(text string) (eventPlace, error) {
	noun, name, ok := strings.Cut(text, ":")
	if ok && name != "" && (noun == "queue" || noun == "topic" || noun == "function") {
		return eventPlace{noun, name}, nil
	}
	return eventPlace{}, api.Errorf(api.Invalid, "cannot send events to %q: give queue:NAME, topic:NAME or function:NAME", text)
}

// checkAsync refuses settings that can't be.
func checkAsync(name string, s api.AsyncSpec) error {
	switch {
	case retriesOf(s) < 0 || retriesOf(s) > api.DefaultRetries:
		return api.Errorf(api.Invalid, "cannot retry asynchronous calls of function %q %d times: 0 to %d is possible", name, retriesOf(s), api.DefaultRetries)
	case s.RetryDelayMs < 0 || s.RetryDelayMs > api.MaxRetryDelayMs:
		return api.Errorf(api.Invalid, "cannot retry asynchronous calls of function %q after %d ms: 15 minutes are the most", name, s.RetryDelayMs)
	case s.MaxAgeSeconds != 0 && (s.MaxAgeSeconds < api.MinEventAgeSeconds || s.MaxAgeSeconds > api.MaxEventAgeSeconds):
		return api.Errorf(api.Invalid, "cannot give up asynchronous calls of function %q at an age of %d s: a minute to 6 hours is possible", name, s.MaxAgeSeconds)
	}
	for _, text := range []string{s.OnSuccess, s.OnFailure} {
		if text == "" {
			continue
		}
		p, err := readPlaceName(text)
		if err != nil {
			return err
		}
		if p == (eventPlace{"function", name}) {
			return api.Errorf(api.Invalid, "cannot send what becomes of calls of function %q to itself: that has no end", name)
		}
	}
	return nil
}

// admitAsync makes sure that the destinations are there.
func (cp *ControlPlane) admitAsync(tx *storage.Tx, f *api.Function) error {
	for _, text := range []string{f.Spec.Async.OnSuccess, f.Spec.Async.OnFailure} {
		if text == "" {
			continue
		}
		p, err := readPlaceName(text)
		if err != nil {
			return err
		}
		if err := cp.placeExists(tx, f.Project, p); err != nil {
			return err
		}
	}
	return nil
}

// placeExists answers NotFound where there is no such queue or function.
func (cp *ControlPlane) placeExists(tx *storage.Tx, project string, p eventPlace) error {
	var err error
	switch p.noun {
	case "queue":
		_, err = cp.queues().find(tx, project, p.name)
	case "topic":
		_, err = cp.topics().find(tx, project, p.name)
	case "function":
		_, err = cp.functions().find(tx, project, p.name)
	}
	return err
}

// callEnd is how a call ended, as its receipt says, with its answer.
type callEnd = functions.Record

// outcome is what a change of an event means for the series, once it is durable.
type asyncOutcome struct {
	function   api.Meta
	condition  string // it is done; "": it is tried again
	undeliver  bool   // its record could not be delivered
	deadLetter bool   // its record was delivered as that of a failure
}

// eventEnded writes down what a call of an event came to: done, to be tried again, or given up.
func (cp *ControlPlane) eventEnded(tx *storage.Tx, id string, r callEnd) (asyncOutcome, error) {
	e, err := asyncTable.Get(tx, id)
	if err != nil {
		return asyncOutcome{}, ignoreGone(err) // its function was deleted meanwhile
	}
	f, err := functionTable.Get(tx, e.Function)
	if err != nil {
		return asyncOutcome{}, ignoreGone(err)
	}
	result := events.Result{Version: r.Version, Answer: r.Answer, Failed: r.Status != functions.OK}
	return cp.attemptEnded(tx, f, e, result)
}

// attemptEnded counts a call of an event.
func (cp *ControlPlane) attemptEnded(tx *storage.Tx, f api.Function, e asyncEvent, r events.Result) (asyncOutcome, error) {
	e.Attempts, e.Begun, e.Running, e.Throttled = e.Attempts+1, 0, false, 0
	now := cp.Now().UTC()
	switch {
	case !r.Failed:
		r.Condition = events.Success
	case e.Attempts > retriesOf(f.Spec.Async):
		r.Condition = events.RetriesExhausted
	default:
		e.NextAt = now.Add(retryDelay(f.Spec.Async, e.Attempts))
		return asyncOutcome{function: f.Meta}, asyncTable.Put(tx, e)
	}
	return cp.finishEvent(tx, f, e, r)
}

// finishEvent removes an event and sends its record to where such an end is to be told, in one commit.
func (cp *ControlPlane) finishEvent(tx *storage.Tx, f api.Function, e asyncEvent, r events.Result) (asyncOutcome, error) {
	r.At, r.RequestID, r.Function, r.Attempts, r.Payload = cp.Now(), e.ID, f.Name, e.Attempts, e.Payload
	out := asyncOutcome{function: f.Meta, condition: r.Condition}
	to := f.Spec.Async.OnFailure
	if r.Condition == events.Success {
		to = f.Spec.Async.OnSuccess
	}
	if err := dropEvent(tx, e); err != nil || to == "" {
		return out, err
	}
	err := cp.deliver(tx, f, to, events.Destination(r))
	out.undeliver = errors.Is(err, api.NotFound) || errors.Is(err, api.Invalid)
	out.deadLetter = err == nil && r.Condition != events.Success
	if out.undeliver {
		cp.log.Error("record of an event not delivered", "function", f.Name, "request", e.ID, "to", to, "error", err)
		err = nil // nobody can do anything about it: the event is done all the same
	}
	return out, err
}

// deliver sends a record to a destination of a function. NotFound: it is not there. It is taken even where the destination is
// full, for it takes the place of the event.
func (cp *ControlPlane) deliver(tx *storage.Tx, f api.Function, to string, record []byte) error {
	p, err := readPlaceName(to)
	if err != nil {
		return err
	}
	now := cp.Now().UTC()
	switch p.noun {
	case "queue":
		q, err := cp.queues().find(tx, f.Project, p.name)
		if err != nil {
			return err
		}
		m := message{ID: functions.NewRequestID(), Body: string(record), SentAt: now, VisibleAt: now.Add(delayOf(q)), From: f.Name}
		_, err = enqueue(tx, &q, m, now)
		return err
	case "topic":
		return cp.publishEnd(tx, f, p.name, record)
	default:
		next, err := cp.functions().find(tx, f.Project, p.name)
		if err != nil {
			return err
		}
		return addEvent(tx, asyncEvent{ID: functions.NewRequestID(), Function: next.ID, Project: f.Project, Payload: record, ContentType: "application/json", AcceptedAt: now, NextAt: now}, true)
	}
}

// publishEnd publishes the record of an event's end to a topic.
func (cp *ControlPlane) publishEnd(tx *storage.Tx, f api.Function, topic string, record []byte) error {
	t, err := cp.topics().find(tx, f.Project, topic)
	if err != nil {
		return err
	}
	e := api.CloudEvent{ID: functions.NewRequestID(), Source: "/projects/" + f.Project + "/functions/" + f.Name, Type: "nuage.function.ended",
		Subject: "function/" + f.Name, Time: cp.Now().UTC(), DataContentType: "application/json", Data: record}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = cp.fanOut(tx, t, e, text, true)
	return err
}
