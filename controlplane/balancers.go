package controlplane

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/controlplane/ingress"
)

// loopback is where load balancers listen: for the laptop alone.
const loopback = "127.0.0.1"

// lastDrain is how long what is in flight may take to end when the control plane ends.
const lastDrain = 5 * time.Second

// balancers runs a listener for each load balancer, in this process.
type balancers struct {
	cp      *ControlPlane
	metrics *ingress.BalancerMetrics

	mu      sync.Mutex
	open    map[string]*balancer // by id
	closed  bool
	closing sync.WaitGroup
	ctx     context.Context // ends what is still in flight
	cut     context.CancelFunc
}

// balancer is one load balancer that listens.
type balancer struct {
	*ingress.Balancer
	meta  api.Meta
	tcp   bool
	asked int            // port asked for
	drain time.Duration  // of a removed target
	known map[string]aim // by backend: targets, and former ones that still end something
}

// balancing is what a pass knows of a load balancer that listens, or why it does not.
type balancing struct {
	endpoint *api.Endpoint
	trouble  error
	busy     []aim // those that something is in flight on, targets or not
	traffic  map[string]ingress.Traffic
}

func newBalancers(cp *ControlPlane) *balancers {
	b := &balancers{cp: cp, metrics: ingress.NewBalancerMetrics(cp.Metrics), open: map[string]*balancer{}}
	b.ctx, b.cut = context.WithCancel(context.Background())
	return b
}

// sync has every load balancer listen and pass on to its healthy targets, and closes those that are gone. Once it has
// returned nothing new goes to a target that this world has taken away.
func (m *balancers) sync(w *world) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.balancing = map[string]balancing{}
	wanted := map[string]bool{}
	for _, b := range w.balancers {
		if !w.real || m.closed {
			break
		}
		wanted[b.ID] = true
		if w.damaged[b.ID] {
			continue
		}
		one, err := m.ensure(b)
		if err != nil {
			w.balancing[b.ID] = balancing{trouble: err}
			continue
		}
		w.balancing[b.ID] = one.serve(w, b)
	}
	for id := range m.open {
		if !wanted[id] {
			m.release(id)
		}
	}
}

// ensure has a load balancer listen. The lock is held.
func (m *balancers) ensure(b api.LoadBalancer) (*balancer, error) {
	tcp := b.Spec.Protocol == balancerTCP
	one := m.open[b.ID]
	if one != nil && one.tcp == tcp && one.asked == b.Spec.Port {
		return one, nil
	}
	preferred := b.Spec.Port
	if b.Status.Endpoint != nil {
		preferred = b.Status.Endpoint.Port // as given before
	}
	m.release(b.ID)
	l, err := listen(m.ctx, preferred, b.Spec.Port, 0)
	if err != nil {
		return nil, api.Errorf(api.Unavailable, "cannot listen for load balancer %q: %w", b.Name, err)
	}
	one = &balancer{meta: b.Meta, tcp: tcp, asked: b.Spec.Port, known: map[string]aim{}}
	one.Balancer = ingress.OpenBalancer(l, ingress.BalancerOptions{
		Project: b.Project, Name: b.Name, TCP: tcp, Logger: m.cp.log, Now: m.cp.Now, Metrics: m.metrics, Sent: m.cp.Edge.Sent(),
		OnDead:    func(backend string, _ error) { m.cp.health.ask(checkupKey(b.ID, backend)) },
		OnDrained: m.cp.loop.wake,
	})
	m.open[b.ID] = one
	return one, nil
}

// listen takes the first of ports that is free and allowed; 0 is any.
func listen(ctx context.Context, ports ...int) (l net.Listener, err error) {
	for _, p := range ports {
		l, err = new(net.ListenConfig).Listen(ctx, "tcp4", net.JoinHostPort(loopback, strconv.Itoa(p)))
		if err == nil {
			return l, nil
		}
	}
	return nil, err
}

// serve passes on to the targets that are healthy now. What is in flight on a machine that does not run ends at once.
func (one *balancer) serve(w *world, b api.LoadBalancer) balancing {
	service := w.service(b)
	one.drain = service.Drain
	one.Serve(service)
	there := map[string]bool{}
	for _, a := range w.aims(b) {
		one.known[a.id], there[a.id] = a, true
	}
	out := balancing{endpoint: &api.Endpoint{Host: loopback, Port: one.Addr().Port}, traffic: one.Traffic()}
	for id, a := range one.known {
		machine, _, _ := strings.Cut(id, ":")
		if w.observed[machine].State != compute.StateRunning {
			one.Cut(id)
		}
		switch _, busy := out.traffic[id]; {
		case busy:
			out.busy = append(out.busy, a)
		case !there[id]:
			delete(one.known, id)
		}
	}
	return out
}

// drop stops a load balancer that is gone.
func (m *balancers) drop(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.release(id)
}

// release stops listening and lets what is in flight end. The lock is held.
func (m *balancers) release(id string) {
	one := m.open[id]
	if one == nil {
		return
	}
	delete(m.open, id)
	one.Unlisten()
	m.closing.Go(func() {
		ctx, cancel := context.WithTimeout(m.ctx, one.drain)
		defer cancel()
		one.Close(ctx)
		m.forget(one.meta)
	})
}

// forget ends the series of a load balancer unless another one has its name by now.
func (m *balancers) forget(gone api.Meta) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.open {
		if one.meta.Project == gone.Project && one.meta.Name == gone.Name {
			return
		}
	}
	m.metrics.Forget(gone.Project, gone.Name)
}

// close stops all listeners for good, and cuts off what has not ended within lastDrain.
func (m *balancers) close() {
	m.mu.Lock()
	m.closed = true
	for id := range m.open {
		m.release(id)
	}
	m.mu.Unlock()
	late := time.AfterFunc(lastDrain, m.cut)
	defer late.Stop()
	m.closing.Wait()
}

// count adds to the status what is in flight on each target now.
func (m *balancers) count(b api.LoadBalancer) api.LoadBalancer {
	m.mu.Lock()
	one := m.open[b.ID]
	m.mu.Unlock()
	if one == nil {
		return b
	}
	traffic := one.Traffic()
	flights := map[[2]string]int{}
	m.mu.Lock()
	for id, a := range one.known {
		flights[[2]string{a.instance, a.address}] = traffic[id].Count
	}
	m.mu.Unlock()
	for i, t := range b.Status.Targets {
		b.Status.Targets[i].Connections = flights[[2]string{t.Instance, t.Address}]
	}
	return b
}

// emptied tells that no load balancer has anything in flight on an instance.
func (w *world) emptied(instance string) bool {
	for _, b := range w.balancing {
		for id := range b.traffic {
			if strings.HasPrefix(id, instance+":") {
				return false
			}
		}
	}
	return true
}
