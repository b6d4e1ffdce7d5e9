package controlplane

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"nuage/compute"
)

const (
	probeUnhealthy = 150 * time.Millisecond // between probes of what is not healthy yet
	probeHealthy   = 2 * time.Second
	probeTimeout   = 3 * time.Second
	probeFailures  = 3 // in a row make what was healthy unhealthy
)

// health asks replicas and databases from outside whether they serve.
type health struct {
	cp   *ControlPlane
	mu   sync.Mutex
	open map[string]*checkup // by workload
	wg   sync.WaitGroup
	http *http.Client
}

// checkup probes one start of one workload.
type checkup struct {
	target target
	cancel context.CancelFunc
	result probe
	done   bool // a result is there
}

// target is what to ask. It is comparable: another target is another checkup.
type target struct {
	id, boot   string
	port       int    // of the container
	host, path string // host and port; path of an HTTP probe, "" for TCP
	postgres   string // URL of a database
}

// probe is the newest result.
type probe struct {
	ok      bool
	reason  string
	refused bool   // nothing accepts connections
	stray   string // what is wrong with where the program listens
	version string // of a database
	bytes   int64
}

func newHealth(cp *ControlPlane) *health {
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &health{cp: cp, open: map[string]*checkup{}, http: &http.Client{Timeout: probeTimeout, CheckRedirect: refuse}}
}

func (h *health) results() map[string]probe {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]probe{}
	for id, c := range h.open {
		if c.done {
			out[id] = c.result
		}
	}
	return out
}

// sync probes what runs now and nothing else.
func (h *health) sync(ctx context.Context, w *world) {
	wanted := w.targets()
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, c := range h.open {
		if t, ok := wanted[id]; !ok || t != c.target {
			c.cancel()
			delete(h.open, id)
		}
	}
	for id, t := range wanted {
		if h.open[id] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		c := &checkup{target: t, cancel: cancel}
		h.open[id] = c
		h.wg.Go(func() { h.keep(ctx, c) })
	}
}

// targets lists the running replicas and databases that a program on the laptop can reach.
func (w *world) targets() map[string]target {
	out := map[string]target{}
	if !w.real {
		return out
	}
	add := func(id string, port int, fill func(*target)) {
		o := w.observed[id]
		e, ok := o.Endpoints[port]
		if o.State != compute.StateRunning || !ok {
			return
		}
		t := target{id: id, boot: o.Engine + o.StartedAt.String(), port: port, host: net.JoinHostPort(e.Host, strconv.Itoa(e.Port))}
		fill(&t)
		out[id] = t
	}
	for _, a := range w.apps {
		for _, l := range w.planApp(a) {
			r := w.releases[releaseKey(a.ID, releaseOf(a.ID, l.ID))]
			add(l.ID, r.Spec.Port, func(t *target) { t.path = r.Spec.Health })
		}
	}
	for _, d := range w.databases {
		if l, ok := w.logins[d.ID]; ok && d.DeletedAt == nil {
			e := w.observed[d.ID].Endpoints[postgresPort]
			add(d.ID, postgresPort, func(t *target) { t.postgres = l.url(e.Host, e.Port) })
		}
	}
	return out
}

// releaseOf reads the release's number out of a replica's id.
func releaseOf(app, replica string) int {
	rest := strings.TrimPrefix(replica, app+"-r")
	number, _, _ := strings.Cut(rest, "-")
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return n
}

func (h *health) close() {
	h.mu.Lock()
	for id, c := range h.open {
		c.cancel()
		delete(h.open, id)
	}
	h.mu.Unlock()
	h.wg.Wait()
}

// keep probes until ctx ends.
func (h *health) keep(ctx context.Context, c *checkup) {
	s := search{cp: h.cp, target: c.target}
	for failures := 0; ; {
		result := h.probe(ctx, c.target)
		if ctx.Err() != nil {
			return
		}
		if failures++; result.ok {
			failures = 0
		}
		result.stray = s.after(ctx, result.refused)
		h.write(c, result, failures)
		wait := probeUnhealthy
		if result.ok {
			wait = probeHealthy
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// write keeps a result and wakes the loop where it says something new. One lost probe does not make the healthy unhealthy.
func (h *health) write(c *checkup, result probe, failures int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.done && c.result.ok && !result.ok && failures < probeFailures {
		return
	}
	changed := !c.done || c.result != result
	c.result, c.done = result, true
	if changed {
		h.cp.loop.wake()
	}
}

func (h *health) probe(ctx context.Context, t target) probe {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	switch {
	case t.postgres != "":
		return probePostgres(ctx, t.postgres)
	case t.path != "":
		return h.probeHTTP(ctx, "http://"+t.host+t.path)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.host)
	if err != nil {
		return probe{reason: "it does not accept connections yet", refused: true}
	}
	conn.Close()
	return probe{ok: true}
}

func (h *health) probeHTTP(ctx context.Context, url string) probe {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return probe{reason: err.Error()}
	}
	resp, err := h.http.Do(req)
	if err != nil {
		return probe{reason: "its health path does not answer yet", refused: true}
	}
	resp.Body.Close()
	if resp.StatusCode >= 400 {
		return probe{reason: fmt.Sprintf("its health path answers %s", resp.Status)}
	}
	return probe{ok: true}
}

func probePostgres(ctx context.Context, url string) probe {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return probe{reason: "the server does not accept connections yet"}
	}
	defer conn.Close(context.WithoutCancel(ctx))
	p := probe{ok: true}
	err = conn.QueryRow(ctx, "select current_setting('server_version'), pg_database_size(current_database())").Scan(&p.version, &p.bytes)
	if err != nil {
		return probe{reason: "the server does not answer queries yet"}
	}
	return p
}
