package docker

import (
	"context"
	"time"

	"github.com/docker/docker/api/types/events"

	"nuage/compute"
)

const (
	watchBuffer    = 64
	firstReconnect = 100 * time.Millisecond
	longReconnect  = 5 * time.Second
)

// Watch passes the engine's container events on. When the connection breaks it connects again and then sends
// "lost", as events in between were.
func (e *Engine) Watch(ctx context.Context) (<-chan compute.Event, error) {
	stop, cancel := context.WithCancel(ctx)
	messages, errs := e.subscribe(stop)
	select {
	case err := <-errs:
		cancel()
		return nil, failed(err, "watch the engine")
	default:
	}
	out := make(chan compute.Event, watchBuffer)
	go func() {
		defer cancel()
		defer close(out)
		for {
			if err := e.pass(ctx, messages, errs, out); ctx.Err() == nil {
				e.log.Warn("lost the engine's events", "err", err)
			}
			if messages, errs = e.resubscribe(stop); messages == nil {
				return
			}
			if !send(ctx, out, compute.Event{What: "lost", Time: time.Now()}) {
				return
			}
		}
	}()
	return out, nil
}

func (e *Engine) subscribe(ctx context.Context) (<-chan events.Message, <-chan error) {
	f := e.ours()
	f.Add("type", string(events.ContainerEventType))
	for _, what := range passed() {
		f.Add("event", string(what))
	}
	return e.cli.Events(ctx, events.ListOptions{Filters: f})
}

// passed are the events worth a look.
func passed() []events.Action {
	return []events.Action{events.ActionCreate, events.ActionStart, events.ActionDie, events.ActionOOM, events.ActionDestroy}
}

// pass sends events until the subscription ends.
func (e *Engine) pass(ctx context.Context, messages <-chan events.Message, errs <-chan error, out chan<- compute.Event) error {
	for {
		select {
		case m := <-messages:
			ev := compute.Event{ID: m.Actor.Attributes[compute.LabelID], What: string(m.Action), Time: time.Unix(0, m.TimeNano).UTC()}
			if m.Action != events.ActionStart { // an engine tells of an end before its listing shows it
				e.seen.change(ev.ID)
			}
			if !send(ctx, out, ev) {
				return ctx.Err()
			}
		case err := <-errs:
			return err
		}
	}
}

// resubscribe tries until the engine answers. It returns nil when ctx ends.
func (e *Engine) resubscribe(ctx context.Context) (<-chan events.Message, <-chan error) {
	for wait := firstReconnect; ; wait = min(2*wait, longReconnect) {
		if sleep(ctx, wait) != nil {
			return nil, nil
		}
		if _, err := e.cli.Ping(ctx); err != nil {
			continue
		}
		return e.subscribe(ctx)
	}
}

func send(ctx context.Context, out chan<- compute.Event, ev compute.Event) bool {
	select {
	case out <- ev:
		return true
	case <-ctx.Done():
		return false
	}
}
