// Package sim is a compute engine in memory: the same verbs and answers as an engine that runs things, with
// nothing running. It makes the cloud usable where no engine can be had, and it is the tests' engine: it has a
// clock, knobs for faults, and a State that outlives the Engine as workloads outlive a control plane.
package sim

import (
	"context"
	"log/slog"
	"time"

	"nuage/compute"
)

// Options says what kind of engine to make. The zero value works.
type Options struct {
	CloudID string                   // the cloud whose things are seen and made
	Clock   func() time.Time         // nil: time.Now
	Logger  *slog.Logger             // nil: none
	State   *State                   // nil: a new one, lost with the Engine
	Images  map[string]compute.Image // by reference; nil: any well-formed reference is an image
}

// Engine is the simulator. It is safe for concurrent use.
type Engine struct {
	cloud  string
	clock  func() time.Time
	log    *slog.Logger
	state  *State
	images map[string]compute.Image
}

var (
	_ compute.Engine    = (*Engine)(nil)
	_ compute.Networks  = (*Engine)(nil)
	_ compute.Volumes   = (*Engine)(nil)
	_ compute.Images    = (*Engine)(nil)
	_ compute.Remover   = (*Engine)(nil)
	_ compute.Copier    = (*Engine)(nil)
	_ compute.Committer = (*Engine)(nil)
	_ compute.Stater    = (*Engine)(nil)
)

// New makes an engine. Nothing here can fail.
func New(o Options) *Engine {
	e := &Engine{cloud: o.CloudID, clock: o.Clock, log: o.Logger, state: o.State, images: normalized(o.Images)}
	if e.clock == nil {
		e.clock = time.Now
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.state == nil {
		e.state = NewState()
	}
	return e
}

// Info describes the simulator.
func (e *Engine) Info(ctx context.Context) (compute.Info, error) {
	err := e.do(ctx, "info", func() error { return nil })
	if err != nil {
		return compute.Info{}, err
	}
	return compute.Info{
		Name: "sim", Version: "1",
		Note: "a simulation: nothing really runs, nothing can be reached, and all is forgotten at the end of the process",
	}, nil
}

// Close does nothing: workloads stay in the State.
func (e *Engine) Close() error { return nil }

// Faults are the knobs of what goes wrong in the engine's State.
func (e *Engine) Faults() *Faults { return &Faults{engine: e} }

// do runs act under the state's lock, between the faults asked for: an outage, a failure of the verb, latency
// before it, or a success whose answer is lost.
func (e *Engine) do(ctx context.Context, verb string, act func() error) error {
	lost, err := e.state.enter(ctx, verb)
	if err != nil {
		return err
	}
	e.state.mu.Lock()
	defer e.state.mu.Unlock()
	if err := act(); err != nil {
		return err
	}
	return lost
}

func (e *Engine) key(id string) key { return key{e.cloud, id} }
