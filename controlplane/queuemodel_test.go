package controlplane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/functions"
)

// queueModel is what two queues hold, "q" and "dead" for its dead letters, as somebody would write it who need not be fast or durable.
type queueModel struct {
	next    map[string]int
	all     []*modelMessage
	handles []string // that were ever given
}

type modelMessage struct {
	queue, body    string
	number         int
	visible, since time.Time
	receives       int
	handle         string
	from           bool // a dead letter
}

const (
	modelHide    = 10 * time.Second
	modelMost    = 2         // receives
	modelKept    = time.Hour // longer than all the waits but one
	modelSeeds   = 5
	modelActions = 150
)

func (m *queueModel) put(queue, body string, delay time.Duration, from bool) *modelMessage {
	e := &modelMessage{queue: queue, body: body, number: m.next[queue], visible: time.Now().Add(delay), since: time.Now(), from: from}
	m.next[queue]++
	m.all = append(m.all, e)
	return e
}

func (m *queueModel) drop(e *modelMessage) {
	m.all = slices.DeleteFunc(m.all, func(o *modelMessage) bool { return o == e })
}

// inQueue are the messages of a queue, those first that can be received first.
func (m *queueModel) inQueue(queue string) (out []*modelMessage) {
	for _, e := range m.all {
		if e.queue == queue {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *modelMessage) int {
		if c := a.visible.Compare(b.visible); c != 0 {
			return c
		}
		return a.number - b.number
	})
	return out
}

// receive takes what can be received; what was received too often goes to the dead letters instead.
func (m *queueModel) receive(queue string, most int) (got []*modelMessage) {
	looked := 0
	for _, e := range m.inQueue(queue) {
		if e.visible.After(time.Now()) || looked == most {
			break
		}
		looked++
		if queue == "q" && e.receives >= modelMost {
			m.drop(e)
			m.put("dead", e.body, 0, true)
			continue
		}
		e.receives++
		e.visible = time.Now().Add(modelHide)
		got = append(got, e)
	}
	return got
}

func (m *queueModel) expire() {
	m.all = slices.DeleteFunc(m.all, func(e *modelMessage) bool { return !time.Now().Before(e.since.Add(modelKept)) })
}

// held finds the message that a handle is the newest one of, and the one that it once was of.
func (m *queueModel) held(queue, handle string) (now *modelMessage, known bool) {
	for _, e := range m.inQueue(queue) {
		if e.handle == handle {
			return e, true
		}
		if strings.HasPrefix(handle, pad(e.number)+"-") {
			known = true
		}
	}
	return nil, known
}

// count is what a queue says of itself.
func (m *queueModel) count(queue string) string {
	var visible, inFlight, delayed, bytes int64
	for _, e := range m.inQueue(queue) {
		bytes += int64(len(e.body))
		switch {
		case !e.visible.After(time.Now()):
			visible++
		case e.receives > 0:
			inFlight++
		default:
			delayed++
		}
	}
	return fmt.Sprint(visible, inFlight, delayed, bytes)
}

// TestQueuesAreAsTheModel does many things to queues, by chance and over ends of the control plane, and compares each answer and all that
// the queues hold with what a naive model says.
func TestQueuesAreAsTheModel(t *testing.T) {
	for seed := range uint64(modelSeeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			acted(t, func(int, functions.Event) (functions.Outcome, error) { return answersWith("") }, func(t *testing.T, s *scene, _ *actor) {
				hide, kept := int64(modelHide/time.Second), int64(modelKept/time.Second)
				s.queue(t, "dead", api.QueueSpec{VisibilitySeconds: hide, RetentionSeconds: kept})
				s.queue(t, "q", api.QueueSpec{VisibilitySeconds: hide, RetentionSeconds: kept, DeadLetter: "dead", MaxReceives: modelMost})
				m, r := &queueModel{next: map[string]int{}}, rand.New(rand.NewPCG(seed, 5))
				var done []string
				for range modelActions {
					act, want, got := s.queueAct(t, m, r)
					done = append(done, act)
					for _, queue := range []string{"q", "dead"} {
						q, err := s.cloud.Queues.Get(asCustomer(), "default", queue)
						must(t, err)
						st := q.Status
						want, got = want+"; "+m.count(queue), got+"; "+fmt.Sprint(st.Messages, st.InFlight, st.Delayed, st.Bytes)
					}
					if got != want {
						t.Fatalf("after %s\nthe queues say %s\nthe model says  %s", strings.Join(done, ", "), got, want)
					}
				}
			})
		})
	}
}

// queueAct does one thing, here and to the model.
func (s *scene) queueAct(t *testing.T, m *queueModel, r *rand.Rand) (act, want, got string) {
	t.Helper()
	ctx, v := asCustomer(), s.cloud.Messages
	queue := []string{"q", "q", "dead"}[r.IntN(3)]
	switch n := r.IntN(20); {
	case n < 6:
		body, delay := fmt.Sprint("m", m.next["q"]), int64(r.IntN(2)*r.IntN(20))
		_, err := v.Send(ctx, "default", "q", api.NewMessage{Body: body, DelaySeconds: &delay})
		m.put("q", body, time.Duration(delay)*time.Second, false)
		return fmt.Sprint("send with ", delay), "<nil>", fmt.Sprint(err)
	case n < 12:
		most := 1 + r.IntN(4)
		list, err := v.Receive(ctx, "default", queue, api.ReceiveQuery{Max: most})
		must(t, err)
		taken := m.receive(queue, most)
		for i, e := range taken {
			want += fmt.Sprint(e.body, ":", e.receives, " ")
			if i < len(list.Items) {
				e.handle = list.Items[i].ReceiptHandle
				m.handles = append(m.handles, e.handle)
			}
		}
		for _, e := range list.Items {
			got += fmt.Sprint(e.Body, ":", e.Receives, " ")
		}
		return fmt.Sprint("receive ", most, " of ", queue), want, got
	case n < 16 && len(m.handles) > 0:
		return s.handleAct(m, r, queue)
	case n < 18:
		pause := time.Duration(1+r.IntN(15)) * time.Second
		time.Sleep(pause)
		return fmt.Sprint("wait ", pause), "", ""
	}
	return s.rareAct(t, m, r, queue)
}

// handleAct acknowledges or extends by a handle that was given at some time, for this queue or another.
func (s *scene) handleAct(m *queueModel, r *rand.Rand, queue string) (act, want, got string) {
	handle := m.handles[r.IntN(len(m.handles))]
	if r.IntN(2) == 0 {
		handle = m.handles[len(m.handles)-1]
	}
	e, known := m.held(queue, handle)
	if r.IntN(3) > 0 {
		err := s.cloud.Messages.Acknowledge(asCustomer(), "default", queue, handle)
		want = "<nil>"
		switch {
		case e != nil:
			m.drop(e)
		case known:
			want = string(api.Conflict)
		}
		return "acknowledge in " + queue, want, codeOf(err)
	}
	_, err := s.cloud.Messages.Extend(asCustomer(), "default", queue, handle, 25)
	want = string(api.NotFound)
	switch {
	case e != nil:
		e.visible, want = time.Now().Add(25*time.Second), "<nil>"
	case known:
		want = string(api.Conflict)
	}
	return "extend in " + queue, want, codeOf(err)
}

func codeOf(err error) string {
	if err == nil {
		return "<nil>"
	}
	var code api.Code
	if errors.As(err, &code) {
		return string(code)
	}
	return string(api.CodeOf(err))
}

func (s *scene) rareAct(t *testing.T, m *queueModel, r *rand.Rand, queue string) (act, want, got string) {
	t.Helper()
	switch r.IntN(6) {
	case 0:
		removed, err := s.cloud.Messages.Purge(asCustomer(), "default", queue)
		must(t, err)
		n := 0
		for _, e := range m.inQueue(queue) {
			n++
			m.drop(e)
		}
		return "purge " + queue, fmt.Sprint(n), fmt.Sprint(removed)
	case 1, 2:
		moved, err := s.cloud.Messages.Redrive(asCustomer(), "default", "dead")
		must(t, err)
		n := 0
		for _, e := range slices.SortedFunc(slices.Values(m.inQueue("dead")), func(a, b *modelMessage) int { return a.number - b.number }) {
			if e.from && !e.visible.After(time.Now()) {
				n++
				m.drop(e)
				m.put("q", e.body, 0, false)
			}
		}
		return "redrive", fmt.Sprint(n), fmt.Sprint(moved)
	case 3:
		time.Sleep(modelKept + 2*sweepEvery)
		m.expire()
		return "wait until all is too old", "", ""
	}
	must(t, s.restart(r.IntN(2) == 0))
	return "restart", "", ""
}
