package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nuage/api"
	"nuage/compute/sim"
	"nuage/functions"
	"nuage/storage"
)

// versions is a runtime whose programs answer with their version. Opening takes a time, and can fail.
type versions struct {
	mu      sync.Mutex
	err     error
	takes   time.Duration
	opening int // at once, now
	most    int // at once, at most
	opened  []string
}

func (r *versions) Check(context.Context, functions.Deployment) error { return nil }
func (r *versions) Close() error                                      { return nil }

func (r *versions) Open(_ context.Context, d functions.Deployment) (functions.Program, error) {
	r.mu.Lock()
	r.opening++
	r.most = max(r.most, r.opening)
	err, takes := r.err, r.takes
	r.mu.Unlock()
	time.Sleep(takes)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opening--
	if err == nil {
		r.opened = append(r.opened, fmt.Sprint(d.Name, " ", d.Version))
	}
	return answers(fmt.Sprint("version ", d.Version)), err
}

func (r *versions) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// answers is a program that always answers the same.
type answers string

func (a answers) Close() error { return nil }
func (a answers) Call(context.Context, functions.Event) (functions.Outcome, error) {
	return functions.Outcome{Payload: []byte(a), Status: functions.OK, Duration: time.Millisecond}, nil
}

// deployed is a plane in fake time with a function f, made by a script.
func deployed(t *testing.T, r *versions, script func(t *testing.T, s *scene, spec api.FunctionSpec)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{setup: setup{dir: dir, host: sim.NewState(), python: r}}
		var err error
		s.plane, err = s.setup.start()
		must(t, err)
		script(t, s, api.FunctionSpec{Runtime: "python", Source: s.source(t, "main.py", "pass"), Handler: "main.handler"})
		must(t, s.stop())
	})
}

func (p *plane) invoke() string {
	answer, err := p.cloud.Functions.Invoke(asCustomer(), "default", "f", api.Invocation{Type: api.Sync})
	if err != nil {
		return err.Error()
	}
	return string(answer.Payload)
}

// TestCallRightAfterAStart waits for the deploy and does not answer that there is no such function.
func TestCallRightAfterAStart(t *testing.T) {
	r := &versions{}
	deployed(t, r, func(t *testing.T, s *scene, spec api.FunctionSpec) {
		_, err := s.cloud.Functions.Create(asCustomer(), "default", "f", spec)
		must(t, err)
		r.mu.Lock()
		r.takes = 5 * time.Second
		r.mu.Unlock()
		for _, kill := range []bool{false, true} {
			must(t, s.restart(kill))
			began := time.Now()
			if got := s.invoke(); got != "version 1" || time.Since(began) != 5*time.Second {
				t.Errorf("after a start the call answers %q after %s, want version 1 after 5s", got, time.Since(began))
			}
		}
		s.sim.Faults().Gone(true) // the loop can't make a pass
		must(t, s.restart(false))
		if got := s.invoke(); got != "version 1" {
			t.Errorf("with the engine gone the call answers %q", got)
		}
		s.sim.Faults().Gone(false)
	})
}

// TestDeployCutOff: committed, and then the process ended before the code was in service.
func TestDeployCutOff(t *testing.T) {
	r := &versions{}
	deployed(t, r, func(t *testing.T, s *scene, spec api.FunctionSpec) {
		_, err := s.cloud.Functions.Create(asCustomer(), "default", "f", spec)
		must(t, err)
		must(t, s.Store.Update(func(tx *storage.Tx) error {
			f, err := functionTable.GetBy(tx, "name", "default/f")
			if err != nil {
				return err
			}
			f.Generation, f.Status.Version, f.Status.Phase = 2, 2, api.Pending
			return functionTable.Put(tx, f)
		}))
		must(t, s.restart(true))
		f, err := s.cloud.Functions.Wait(asCustomer(), "default", "f", time.Minute)
		must(t, err)
		if !api.Settled(f.Meta, f.Status.Status) || f.Status.Phase != api.Running || s.invoke() != "version 2" {
			t.Errorf("after the start it is %s at generation %d and answers %q", f.Status.Phase, f.Status.Status.Generation, s.invoke())
		}
	})
}

// TestDeployWaitsForTheEngine: pending while it does not answer, failed only for what the code does wrong.
func TestDeployWaitsForTheEngine(t *testing.T) {
	r := &versions{}
	deployed(t, r, func(t *testing.T, s *scene, spec api.FunctionSpec) {
		r.fail(api.Errorf(api.Unavailable, "cannot reach the engine"))
		f, err := s.cloud.Functions.Create(asCustomer(), "default", "f", spec)
		must(t, err)
		if f.Status.Phase != api.Pending || f.Status.Reason != "cannot reach the engine" {
			t.Errorf("without the engine it is %s (%s)", f.Status.Phase, f.Status.Reason)
		}
		time.AfterFunc(20*time.Second, func() { r.fail(nil) })
		f, err = s.cloud.Functions.Wait(asCustomer(), "default", "f", 5*time.Minute)
		must(t, err)
		if f.Status.Phase != api.Running || f.Status.LastError != "" || s.invoke() != "version 1" {
			t.Errorf("with the engine back it is %s (%s)", f.Status.Phase, f.Status.Reason)
		}
		r.fail(api.Errorf(api.Invalid, "cannot find handler \"main.handler\""))
		spec.TimeoutMs = 5000
		f, err = s.cloud.Functions.Update(asCustomer(), "default", "f", spec, 0)
		must(t, err)
		if f.Status.Phase != api.Failed || f.Status.LastError != `cannot find handler "main.handler"` || f.Status.Status.Generation != 2 {
			t.Errorf("with bad code it is %+v", f.Status)
		}
		if want := `cannot call function "f": its deploy failed: cannot find handler "main.handler"`; s.invoke() != want {
			t.Errorf("a call answers %q, want %q", s.invoke(), want)
		}
		r.fail(nil)
		if f, err = s.cloud.Functions.Update(asCustomer(), "default", "f", spec, 0); err != nil || f.Status.Phase != api.Running {
			t.Errorf("deployed again as it is, it is %s (%s): %v", f.Status.Phase, f.Status.Reason, err)
		}
	})
}

// TestLastDeployWins, though the deploys of several versions and of the loop meet.
func TestLastDeployWins(t *testing.T) {
	r := &versions{takes: time.Second}
	deployed(t, r, func(t *testing.T, s *scene, spec api.FunctionSpec) {
		_, err := s.cloud.Functions.Create(asCustomer(), "default", "f", spec)
		must(t, err)
		must(t, s.restart(false))
		var all sync.WaitGroup
		for n := range 5 {
			all.Go(func() {
				next := spec
				next.TimeoutMs = int64(1000 + n)
				_, err := s.cloud.Functions.Update(asCustomer(), "default", "f", next, 0)
				if err != nil && !errors.Is(err, api.Conflict) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		f, err := s.cloud.Functions.Get(asCustomer(), "default", "f")
		must(t, err)
		if want := fmt.Sprint("version ", f.Status.Version); s.invoke() != want || f.Status.Phase != api.Running || f.Status.Status.Generation != f.Generation {
			t.Errorf("it answers %q and is %s at generation %d of %d, want %s", s.invoke(), f.Status.Phase, f.Status.Status.Generation, f.Generation, want)
		}
		must(t, s.cloud.Functions.Delete(asCustomer(), "default", "f", 0))
		if want := `cannot find function "f" in project "default"`; s.invoke() != want {
			t.Errorf("after its deletion a call answers %q, want %q", s.invoke(), want)
		}
		if _, err := s.invoker.Invoke(context.Background(), f.ID, functions.Call{}); !errors.Is(err, api.NotFound) {
			t.Errorf("after its deletion its code answers %v", err)
		}
	})
}

// TestDeploysAfterAStartAreBounded: a machine with two cores does not compile everything at once.
func TestDeploysAfterAStartAreBounded(t *testing.T) {
	r := &versions{}
	deployed(t, r, func(t *testing.T, s *scene, spec api.FunctionSpec) {
		for n := range 20 {
			_, err := s.cloud.Functions.Create(asCustomer(), "default", fmt.Sprint("f", n), spec)
			must(t, err)
		}
		r.mu.Lock()
		r.takes, r.most, r.opened = time.Second, 0, nil
		r.mu.Unlock()
		must(t, s.restart(false))
		time.Sleep(time.Minute)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.most != deploysAtOnce || len(r.opened) != 20 {
			t.Errorf("%d were deployed, %d at once; want 20, %d at once", len(r.opened), r.most, deploysAtOnce)
		}
	})
}

// TestFunctionsByHost: the edge calls the function as it is when the request comes.
func TestFunctionsByHost(t *testing.T) {
	r := &versions{}
	p := newPlane(t, setup{python: r})
	ctx := asCustomer()
	ask := func() string {
		w := httptest.NewRecorder()
		p.Edge.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://f.fn.localhost/", strings.NewReader("")))
		return fmt.Sprint(w.Code, " ", w.Body)
	}
	spec := api.FunctionSpec{Runtime: "python", Source: p.source(t, "main.py", "pass"), Handler: "main.handler"}
	_, err := p.cloud.Functions.Create(ctx, "default", "f", spec)
	must(t, err)
	_, err = p.cloud.Triggers.Create(ctx, "default", "t", api.TriggerSpec{Function: "f", HTTP: true})
	must(t, err)
	f, err := p.cloud.Functions.Get(ctx, "default", "f")
	must(t, err)
	if f.Status.URL != "http://f.fn.localhost:7080" {
		t.Errorf("its URL is %q", f.Status.URL)
	}
	eventually(t, "version 1 answers", func() bool { return ask() == "200 version 1" })
	spec.TimeoutMs = 5000
	_, err = p.cloud.Functions.Update(ctx, "default", "f", spec, 0)
	must(t, err)
	if got := ask(); got != "200 version 2" {
		t.Errorf("after a deploy the edge answers %q", got)
	}
	r.fail(api.Errorf(api.Invalid, "cannot load it"))
	spec.TimeoutMs = 6000
	_, err = p.cloud.Functions.Update(ctx, "default", "f", spec, 0)
	must(t, err)
	if got, want := ask(), "503 cannot call function \"f\": its deploy failed: cannot load it\n"; got != want {
		t.Errorf("after a deploy that failed the edge answers %q, want %q", got, want)
	}
	must(t, p.cloud.Triggers.Delete(ctx, "default", "t", 0))
	eventually(t, "the route is gone", func() bool { return strings.HasPrefix(ask(), "404") })
	f, err = p.cloud.Functions.Get(ctx, "default", "f")
	must(t, err)
	if f.Status.URL != "" {
		t.Errorf("without a trigger its URL is %q", f.Status.URL)
	}
}
