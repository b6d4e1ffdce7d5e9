package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/sim"
)

// machine makes an instance whose program behaves as said, and waits until it runs.
func (p *plane) machine(t *testing.T, name, behave string) api.Instance {
	t.Helper()
	_, err := p.cloud.Instances.Create(asCustomer(), "default", name, api.InstanceSpec{Type: "nano", Env: map[string]string{"BEHAVE": behave}})
	must(t, err)
	i, err := p.cloud.Instances.Wait(asCustomer(), "default", name, 20*time.Second)
	must(t, err)
	if i.Status.Phase != api.Running {
		t.Fatalf("instance %s is %s: %s", name, i.Status.Phase, i.Status.Reason)
	}
	return i
}

// freePort is a port that nothing listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// targets are machines at port 22, which is what the live engine lets the laptop reach.
func targets(names ...string) []api.Target {
	out := []api.Target{}
	for _, n := range names {
		out = append(out, api.Target{Instance: n, Port: 22})
	}
	return out
}

// front makes a load balancer and waits until it is settled.
func (p *plane) front(t *testing.T, spec api.LoadBalancerSpec) api.LoadBalancer {
	t.Helper()
	_, err := p.cloud.LoadBalancers.Create(asCustomer(), "default", "front", spec)
	must(t, err)
	return p.frontSettled(t)
}

func (p *plane) frontSettled(t *testing.T) api.LoadBalancer {
	t.Helper()
	b, err := p.cloud.LoadBalancers.Wait(asCustomer(), "default", "front", 20*time.Second)
	must(t, err)
	if !api.Settled(b.Meta, b.Status.Status) {
		t.Fatalf("the load balancer is %s: %s", b.Status.Phase, b.Status.Reason)
	}
	return b
}

func (p *plane) changeFront(t *testing.T, change func(*api.LoadBalancerSpec)) {
	t.Helper()
	b, err := p.cloud.LoadBalancers.Get(asCustomer(), "default", "front")
	must(t, err)
	change(&b.Spec)
	_, err = p.cloud.LoadBalancers.Update(asCustomer(), "default", "front", b.Spec, 0)
	must(t, err)
}

// says waits until the load balancer is as told: its phase, its reason, and of each target name, health, reason and connections.
func (p *plane) says(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	defer func() {
		if t.Failed() {
			t.Logf("the load balancer says (-want +got):\n%s", cmp.Diff(want, got))
		}
	}()
	eventually(t, "the load balancer says "+want[0], func() bool {
		b, err := p.cloud.LoadBalancers.Get(asCustomer(), "default", "front")
		must(t, err)
		got = []string{fmt.Sprintf("%s: %s", b.Status.Phase, b.Status.Reason)}
		for _, s := range b.Status.Targets {
			got = append(got, fmt.Sprintf("%s %s %d: %s", s.Instance, s.Health, s.Connections, s.Reason))
		}
		return cmp.Equal(got, want)
	})
}

// ask sends a request to a load balancer over a connection of its own.
func ask(b api.LoadBalancer, path string) (int, string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(fmt.Sprintf("http://%s:%d%s", b.Status.Endpoint.Host, b.Status.Endpoint.Port, path))
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

func TestABalancerPassesToHealthyTargetsAndSaysWhatIsWrongWithOthers(t *testing.T) {
	p, l := newLivePlane(t)
	good := p.machine(t, "good", "ok")
	p.machine(t, "shut", "down")
	p.machine(t, "sick", "ill")
	port := freePort(t)
	b := p.front(t, api.LoadBalancerSpec{Port: port, Targets: targets("good", "shut", "sick"), Health: api.HealthCheck{Path: "/health", IntervalSeconds: 1}})
	p.says(t, "degraded: 1 of 3 targets healthy; shut: nothing listens on port 22; sick: GET /health answers 503 Service Unavailable",
		"good healthy 0: answers", "shut unhealthy 0: nothing listens on port 22", "sick unhealthy 0: GET /health answers 503 Service Unavailable")
	if want := (api.Endpoint{Host: "127.0.0.1", Port: port}); *b.Status.Endpoint != want {
		t.Errorf("it listens on %+v, want %+v", *b.Status.Endpoint, want)
	}
	for range 4 {
		if status, _, err := ask(b, "/"); status != 200 || err != nil {
			t.Errorf("answered %d, %v", status, err)
		}
	}
	l.mu.Lock()
	if l.asked[good.ID] != 4 {
		t.Errorf("the healthy target was asked %d times, want 4", l.asked[good.ID])
	}
	l.mu.Unlock()
	p.changeFront(t, func(s *api.LoadBalancerSpec) { s.Targets = targets("sick") })
	p.says(t, "degraded: 0 of 1 targets healthy; sick: GET /health answers 503 Service Unavailable", "sick unhealthy 0: GET /health answers 503 Service Unavailable")
	want := "cannot reach load balancer \"front\": 0 of 1 targets healthy; sick: GET /health answers 503 Service Unavailable\n"
	if status, body, err := ask(b, "/"); status != 503 || body != want || err != nil {
		t.Errorf("without a healthy target it answers %d %q, %v", status, body, err)
	}
}

func TestReasonsOfFailedHealthChecks(t *testing.T) {
	m := target{port: 8080, path: "/up", gateway: "10.128.0.1", rhythm: rhythm{patience: 2 * time.Second}}
	dialled := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, c := range []struct {
		err       error
		connected bool
		want      string
	}{
		{dialled(os.ErrDeadlineExceeded), false, "port 8080 does not answer within 2s: does a security group allow tcp/8080 from the gateway 10.128.0.1?"},
		{context.DeadlineExceeded, false, "port 8080 does not answer within 2s: does a security group allow tcp/8080 from the gateway 10.128.0.1?"},
		{dialled(os.NewSyscallError("connect", syscall.ECONNREFUSED)), false, "nothing listens on port 8080"},
		{dialled(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), false, "port 8080 cannot be reached: its machine does not answer in its network"},
		{context.DeadlineExceeded, true, "port 8080 accepts a connection, and GET /up is not answered within 2s"},
		{io.EOF, true, "port 8080 accepts a connection, and breaks it off before GET /up is answered: does it speak HTTP?"},
	} {
		if got := m.unreached(c.err, c.connected, ""); got != c.want {
			t.Errorf("%v, connected %v: %q, want %q", c.err, c.connected, got, c.want)
		}
	}
	if got := (target{}).unreached(io.EOF, false, "not yet"); got != "not yet" {
		t.Errorf("of a replica it says %q", got)
	}
}

// TestAVerdictTakesAnswersInARow: 2 good ones make healthy, 2 bad ones end it, and what a request found dead counts.
func TestAVerdictTakesAnswersInARow(t *testing.T) {
	h := &health{cp: &ControlPlane{Options: Options{Now: time.Now}}}
	h.cp.loop = newLoop(h.cp)
	c := &checkup{target: target{rhythm: rhythm{every: 9 * time.Second, soon: time.Second, good: 2, bad: 2}}, doubt: make(chan struct{}, 1)}
	for n, step := range []struct {
		answer       string
		done, ok     bool
		wait         time.Duration
		reason, what string
	}{
		{"good", false, false, probeUnhealthy, "", ""},
		{"good", true, true, 9 * time.Second, "", ""},
		{"bad", true, true, time.Second, "", ""},
		{"good", true, true, 9 * time.Second, "", ""},
		{"bad", true, true, time.Second, "", ""},
		{"bad", true, false, time.Second, "no", ""},
		{"good", true, false, time.Second, "no", ""},
		{"good", true, true, 9 * time.Second, "", ""},
		{"suspect", true, true, 0, "", ""},
		{"bad", true, false, time.Second, "no", ""},
	} {
		var wait time.Duration
		switch step.answer {
		case "good":
			wait = h.write(c, probe{ok: true})
		case "bad":
			wait = h.write(c, probe{reason: "no"})
		default:
			h.suspect(c)
		}
		if c.done != step.done || c.result.ok != step.ok || wait != step.wait || c.result.reason != step.reason {
			t.Fatalf("after step %d (%s) the verdict is %v %+v, the next probe in %s; want %+v", n, step.answer, c.done, c.result, wait, step)
		}
	}
}

// TestABalancerSurvivesAKillUnderLoad: requests go on while one of two machines ends.
func TestABalancerSurvivesAKillUnderLoad(t *testing.T) {
	p, _ := newLivePlane(t)
	first := p.machine(t, "first", "ok")
	p.machine(t, "second", "ok")
	b := p.front(t, api.LoadBalancerSpec{Port: freePort(t), Targets: targets("first", "second")})
	p.says(t, "running: 2 of 2 targets healthy", "first healthy 0: answers", "second healthy 0: answers")
	var answered, failed atomic.Int64
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if status, _, err := ask(b, "/"); status != 200 || err != nil {
					failed.Add(1)
				} else {
					answered.Add(1)
				}
			}
		})
	}
	eventually(t, "load", func() bool { return answered.Load() > 50 })
	p.sim.Faults().Crash(first.ID, 137)
	eventually(t, "the machine is back and a target again", func() bool {
		b, err := p.cloud.LoadBalancers.Get(asCustomer(), "default", "front")
		must(t, err)
		i, err := p.cloud.Instances.Get(asCustomer(), "default", "first")
		must(t, err)
		return i.Status.Restarts == 1 && b.Status.Phase == api.Running
	})
	close(stop)
	callers.Wait()
	if failed.Load() > 4 {
		t.Errorf("%d of %d requests failed, want 4 in flight at most", failed.Load(), answered.Load())
	}
}

func TestADeletedInstanceStaysATargetThatIsNoSuchInstance(t *testing.T) {
	p, _ := newLivePlane(t)
	p.machine(t, "one", "ok")
	p.front(t, api.LoadBalancerSpec{Port: freePort(t), Targets: targets("one")})
	must(t, p.cloud.Instances.Delete(asCustomer(), "default", "one", 0))
	p.says(t, "degraded: 0 of 1 targets healthy; one: no such instance", "one unhealthy 0: no such instance")
	p.changeFront(t, func(s *api.LoadBalancerSpec) { s.Algorithm = "least-connections" }) // what it names already may stay
	p.machine(t, "one", "ok")
	p.says(t, "running: 1 of 1 targets healthy", "one healthy 0: answers")
}

func TestARemovedTargetEndsWhatItHasBegun(t *testing.T) {
	p, l := newLivePlane(t)
	p.machine(t, "one", "ok")
	p.machine(t, "two", "ok")
	b := p.front(t, api.LoadBalancerSpec{Port: freePort(t), Targets: targets("one")})
	answers := make(chan int, 1)
	go func() {
		status, _, err := ask(b, "/slow")
		if err != nil {
			t.Error(err)
		}
		answers <- status
	}()
	p.says(t, "running: 1 of 1 targets healthy", "one healthy 1: answers")
	p.changeFront(t, func(s *api.LoadBalancerSpec) { s.Targets = targets("two") })
	p.says(t, "running: 1 of 1 targets healthy", "two healthy 0: answers", "one draining 1: no target any more; what it has begun may end")
	close(l.hold)
	if got := <-answers; got != 200 {
		t.Errorf("what was in flight is answered %d", got)
	}
	p.says(t, "running: 1 of 1 targets healthy", "two healthy 0: answers")
}

func TestABalancerKeepsItsPort(t *testing.T) {
	s := setup{dir: t.TempDir(), host: sim.NewState()}
	var l *live
	s.wrap = func(e *sim.Engine) compute.Engine {
		next := newLive(e)
		if l != nil {
			next.made = l.made
		}
		l = next
		return l
	}
	p, err := s.start()
	must(t, err)
	p.machine(t, "one", "ok")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	asked := taken.Addr().(*net.TCPAddr).Port
	b := p.front(t, api.LoadBalancerSpec{Port: asked, Targets: []api.Target{}})
	given := b.Status.Endpoint.Port
	want := fmt.Sprintf("it has no targets yet; port %d was not free on this laptop, so it listens on %d", asked, given)
	if given == asked || b.Status.Reason != want || b.Status.Phase != api.Running {
		t.Errorf("the load balancer is %s: %q, want running: %q", b.Status.Phase, b.Status.Reason, want)
	}
	must(t, taken.Close())
	must(t, p.stop())
	l.shut()
	if _, err := net.DialTimeout("tcp", fmt.Sprint("127.0.0.1:", given), time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the end of the control plane its port answers %v", err)
	}
	again := newPlane(t, s)
	t.Cleanup(func() { l.shut() })
	eventually(t, "it listens where it did", func() bool { status, _, _ := ask(b, "/"); return status == 503 })
	if b = again.frontSettled(t); b.Status.Endpoint.Port != given {
		t.Errorf("after a restart it listens on %d, before on %d", b.Status.Endpoint.Port, given)
	}
	again.changeFront(t, func(s *api.LoadBalancerSpec) { s.Port = freePort(t) })
	eventually(t, "it listens on the new port", func() bool {
		b := again.frontSettled(t)
		return b.Status.Endpoint != nil && b.Status.Endpoint.Port == b.Spec.Port
	})
	b = again.frontSettled(t)
	again.changeFront(t, func(s *api.LoadBalancerSpec) { s.Protocol, s.Targets = "tcp", targets("one") })
	eventually(t, "another protocol answers on the same port", func() bool { status, _, _ := ask(b, "/"); return status == 200 })
	if err := again.cloud.LoadBalancers.Delete(asCustomer(), "default", "front", 0); err != nil {
		t.Error(err)
	}
	if _, err := net.DialTimeout("tcp", fmt.Sprint("127.0.0.1:", b.Status.Endpoint.Port), time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after its deletion its port answers %v", err)
	}
	eventually(t, "its series are gone", func() bool {
		all, err := again.registry.Gather()
		must(t, err)
		for _, f := range all {
			if strings.HasPrefix(f.GetName(), "nuage_load_balancer_") {
				return false
			}
		}
		return true
	})
}

func TestAProjectWithABalancerIsNotDeleted(t *testing.T) {
	p := newPlane(t, setup{})
	_, err := p.cloud.Projects.Create(asCustomer(), "lab", api.ProjectSpec{})
	must(t, err)
	_, err = p.cloud.LoadBalancers.Create(asCustomer(), "lab", "front", api.LoadBalancerSpec{Port: 80, Targets: []api.Target{}})
	must(t, err)
	err = p.cloud.Projects.Delete(asCustomer(), "lab")
	if want := `cannot delete project "lab": it still has load balancer "front"; delete that first`; err == nil || err.Error() != want {
		t.Errorf("the deletion answers %v, want %s", err, want)
	}
}

// TestShutdownStopsListening: `nuage down` leaves no listener, and passes made after it open none.
func TestShutdownStopsListening(t *testing.T) {
	p, _ := newLivePlane(t)
	b := p.front(t, api.LoadBalancerSpec{Port: freePort(t), Targets: []api.Target{}})
	must(t, p.cloud.System.Shutdown(asCustomer()))
	p.loop.catchUp(context.Background())
	if _, err := net.DialTimeout("tcp", fmt.Sprint("127.0.0.1:", b.Status.Endpoint.Port), time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the end its port answers %v", err)
	}
}
