package sim

import (
	"time"

	"nuage/compute"
)

// Faults makes things go wrong in an engine's State, for every Engine that shares it. Verbs are named info,
// create, start, stop, remove, update, list, watch, network, volume, copy, image, commit, stats and removeall.
type Faults struct{ engine *Engine }

// Fail makes the next call of verb do nothing and answer err. Calls add up.
func (f *Faults) Fail(verb string, err error) {
	f.locked(func(s *State) { s.fail[verb] = append(s.fail[verb], err) })
}

// Lose makes the next call of verb succeed and answer err all the same, as when a connection breaks.
func (f *Faults) Lose(verb string, err error) {
	f.locked(func(s *State) { s.lose[verb] = append(s.lose[verb], err) })
}

// Crash ends a running workload with an exit status.
func (f *Faults) Crash(id string, exit int) {
	f.box(id, func(b *box) { f.engine.end(b, exit, false) })
}

// OutOfMemory ends a running workload as the kernel would.
func (f *Faults) OutOfMemory(id string) {
	f.box(id, func(b *box) { f.engine.end(b, 137, true) })
}

// Kill makes a workload dead: half removed.
func (f *Faults) Kill(id string) {
	f.box(id, func(b *box) {
		f.engine.end(b, 137, false)
		b.state = compute.StateDead
	})
}

// Vanish removes a workload behind the control plane's back.
func (f *Faults) Vanish(id string) {
	f.locked(func(*State) { f.engine.destroy(id) })
}

// Latency makes every verb take d. The wait is a timer, so it takes no time in a synctest bubble.
func (f *Faults) Latency(d time.Duration) {
	f.locked(func(s *State) { s.latency = d })
}

// LoseEvents stops all events, or lets them through again.
func (f *Faults) LoseEvents(on bool) {
	f.locked(func(s *State) { s.deaf = on })
}

// Gone makes every verb answer Unavailable. When the engine comes back, watchers get the event "lost".
func (f *Faults) Gone(on bool) {
	f.locked(func(s *State) {
		back := s.gone && !on
		s.gone = on
		if back {
			f.engine.emit("", "lost")
		}
	})
}

// Load sets what a workload uses from now on: counters grow by that much a second of the engine's clock while it runs,
// memory and processes are as given. CPUNanos 500_000_000 is half a CPU. It stays over stop and start.
func (f *Faults) Load(id string, perSecond compute.Stats) {
	f.box(id, func(b *box) {
		now := f.engine.clock()
		b.load = load{since: now, before: b.stats(now), rate: perSecond}
	})
}

// Drop removes a network behind the control plane's back, whoever is in it.
func (f *Faults) Drop(network string) {
	f.locked(func(s *State) { delete(s.networks, f.engine.key(network)) })
}

// Fill sets what VolumeBytes answers.
func (f *Faults) Fill(volume string, bytes int64) {
	f.locked(func(s *State) { s.filled[f.engine.key(volume)] = bytes })
}

func (f *Faults) locked(act func(*State)) {
	f.engine.state.mu.Lock()
	defer f.engine.state.mu.Unlock()
	act(f.engine.state)
}

func (f *Faults) box(id string, act func(*box)) {
	f.locked(func(s *State) {
		if b := s.boxes[f.engine.key(id)]; b != nil {
			act(b)
		}
	})
}
