package sim

import (
	"context"

	"nuage/compute"
)

// watcher is one Watch. Its channel is bounded; what does not fit is lost, as a hint may be.
type watcher struct {
	cloud string
	ch    chan compute.Event
}

const watchBuffer = 256

// Watch sends the events of this cloud's workloads.
func (e *Engine) Watch(ctx context.Context) (<-chan compute.Event, error) {
	w := &watcher{cloud: e.cloud, ch: make(chan compute.Event, watchBuffer)}
	err := e.do(ctx, "watch", func() error {
		e.state.watchers[w] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() {
		e.state.mu.Lock()
		defer e.state.mu.Unlock()
		delete(e.state.watchers, w)
		close(w.ch)
	})
	return w.ch, nil
}

// emit tells the cloud's watchers. The state is locked.
func (e *Engine) emit(id, what string) {
	if e.state.deaf {
		return
	}
	ev := compute.Event{ID: id, What: what, Time: e.clock()}
	for w := range e.state.watchers {
		if w.cloud != e.cloud {
			continue
		}
		select {
		case w.ch <- ev:
		default:
			e.log.Debug("event lost: the watcher does not keep up", "id", id, "what", what)
		}
	}
}
