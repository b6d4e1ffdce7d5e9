package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
)

// Create notes the workload down, stopped.
func (e *Engine) Create(ctx context.Context, w compute.Workload) error {
	return e.do(ctx, "create", func() error { return e.create(w) })
}

func (e *Engine) create(w compute.Workload) error {
	k, template := e.key(w.ID), w.Template()
	if b := e.state.boxes[k]; b != nil {
		return e.same(w, b.template, template)
	}
	img, err := e.check(w)
	if err != nil {
		return err
	}
	address, err := e.address(w)
	if err != nil {
		return err
	}
	e.state.serial++
	e.state.boxes[k] = &box{
		spec: w, template: template, image: img.ID, engine: fmt.Sprintf("sim-%012d", e.state.serial), address: address,
		limits: w.Limits, state: compute.StateCreated, joined: map[string]bool{},
	}
	e.emit(w.ID, "create")
	return nil
}

func (e *Engine) same(w compute.Workload, is, want string) error {
	if is == want {
		return nil
	}
	return api.Errorf(api.Conflict, "cannot create %q: it exists with other settings; remove it first", w.ID)
}

// check refuses what an engine would refuse, and finds the image.
func (e *Engine) check(w compute.Workload) (compute.Image, error) {
	if err := w.Check(); err != nil {
		return compute.Image{}, err
	}
	for _, m := range w.Mounts {
		if _, ok := e.state.volumes[e.key(m.Volume)]; m.Volume != "" && !ok {
			return compute.Image{}, api.Errorf(api.NotFound, "cannot create %q: there is no volume %q", w.ID, m.Volume)
		}
	}
	return e.lookup(w.Image)
}

// Start makes it run.
func (e *Engine) Start(ctx context.Context, id string) error {
	return e.do(ctx, "start", func() error {
		b, err := e.find("start", id)
		if err != nil || b.state == compute.StateRunning {
			return err
		}
		if b.state == compute.StateDead {
			return api.Errorf(api.Conflict, "cannot start %q: it is half removed; remove it and make it again", id)
		}
		if _, ok := e.state.networks[e.key(b.spec.Network)]; b.spec.Network != "" && !ok {
			return api.Errorf(api.NotFound, "cannot start %q in network %q: there is no network %s", id, b.spec.Network, b.spec.Network)
		}
		maps.DeleteFunc(b.joined, func(id string, _ bool) bool { _, there := e.state.networks[e.key(id)]; return !there })
		b.state, b.exit, b.oom, b.started = compute.StateRunning, 0, false, e.clock()
		b.load.since, b.load.before = b.started, compute.Stats{}
		e.emit(id, "start")
		return nil
	})
}

// Stop ends it at once; grace is not used up.
func (e *Engine) Stop(ctx context.Context, id string, _ time.Duration) error {
	return e.do(ctx, "stop", func() error {
		if b := e.state.boxes[e.key(id)]; b != nil {
			e.end(b, 0, false)
		}
		return nil
	})
}

// end makes a running box an exited one.
func (e *Engine) end(b *box, exit int, oom bool) {
	if b.state != compute.StateRunning {
		return
	}
	b.state, b.exit, b.oom, b.finished = compute.StateExited, exit, oom, e.clock()
	if oom {
		e.emit(b.spec.ID, "oom")
	}
	e.emit(b.spec.ID, "die")
}

// Remove forgets it.
func (e *Engine) Remove(ctx context.Context, id string) error {
	return e.do(ctx, "remove", func() error {
		e.destroy(id)
		return nil
	})
}

func (e *Engine) destroy(id string) {
	b := e.state.boxes[e.key(id)]
	if b == nil {
		return
	}
	e.end(b, 137, false)
	delete(e.state.boxes, e.key(id))
	e.emit(id, "destroy")
}

// Update notes the limits down. A zero field is left as it is.
func (e *Engine) Update(ctx context.Context, id string, limits compute.Limits) error {
	return e.do(ctx, "update", func() error {
		b, err := e.find("update", id)
		if err != nil {
			return err
		}
		if err := limits.Check(); err != nil {
			return err
		}
		b.limits = limits.Over(b.limits)
		return nil
	})
}

func (e *Engine) find(verb, id string) (*box, error) {
	if b := e.state.boxes[e.key(id)]; b != nil {
		return b, nil
	}
	return nil, api.Errorf(api.NotFound, "cannot %s %q: the engine has no such workload", verb, id)
}

// List returns this cloud's workloads, by id.
func (e *Engine) List(ctx context.Context) ([]compute.Observed, error) {
	all := []compute.Observed{}
	err := e.do(ctx, "list", func() error {
		for k, b := range e.state.boxes {
			if k.cloud == e.cloud {
				all = append(all, b.observed())
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b compute.Observed) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

func (b *box) observed() compute.Observed {
	w := b.spec
	return compute.Observed{
		ID: w.ID, Owner: w.Owner, Kind: w.Kind, Project: w.Project, Name: w.Name, Generation: w.Generation,
		Template: b.template, Engine: b.engine, Image: w.Image, State: b.state, ExitCode: b.exit, OOMKilled: b.oom,
		StartedAt: b.started, FinishedAt: b.finished, Address: b.address, Limits: b.limits,
		Mounts: volumesOf(w.Mounts), Joined: slices.Sorted(maps.Keys(b.joined)),
	}
}

// volumesOf is the mounts that are volumes, by path.
func volumesOf(all []compute.Mount) []compute.Mount {
	var out []compute.Mount
	for _, m := range all {
		if m.Volume != "" {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b compute.Mount) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// RemoveAll forgets all that this cloud has.
func (e *Engine) RemoveAll(ctx context.Context) error {
	return e.do(ctx, "removeall", func() error {
		for k := range maps.Clone(e.state.boxes) {
			if k.cloud == e.cloud {
				e.destroy(k.id)
			}
		}
		ours := func(k key) bool { return k.cloud == e.cloud }
		maps.DeleteFunc(e.state.networks, func(k key, _ compute.Network) bool { return ours(k) })
		maps.DeleteFunc(e.state.volumes, func(k key, _ compute.Volume) bool { return ours(k) })
		maps.DeleteFunc(e.state.filled, func(k key, _ int64) bool { return ours(k) })
		return nil
	})
}
