package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"nuage/compute"
)

const (
	probeUnhealthy = 150 * time.Millisecond // between probes of what is not healthy yet
	probeHealthy   = 2 * time.Second
	probeTimeout   = 3 * time.Second
	probeFailures  = 3 // in a row make what was healthy unhealthy
)

// health asks replicas, databases, and targets of load balancers and members of instance groups from outside whether they serve.
type health struct {
	cp   *ControlPlane
	mu   sync.Mutex
	open map[string]*checkup // by workload, or by the key of a machine's check
	wg   sync.WaitGroup
	http *http.Client
}

// checkup probes one start of one workload.
type checkup struct {
	target    target
	cancel    context.CancelFunc
	doubt     chan struct{} // something else found it dead
	result    probe
	done      bool // a result is there
	good, bad int  // answers in a row
}

// target is what to ask. It is comparable: another target is another checkup.
type target struct {
	id, boot   string
	port       int    // of the container
	host, path string // host and port; path of an HTTP probe, "" for TCP
	engine     string // of a database
	url        string // of a database
	rhythm     rhythm
	gateway    string // of a machine's network: asked is then a machine, which has a firewall of its own
}

// rhythm is how often and how patiently something is asked, and how many answers in a row make it healthy and end that.
type rhythm struct {
	every, soon, patience time.Duration // soon: while it is not healthy, or the last answer says something else
	good, bad             int
}

// workloadRhythm is that of replicas and databases: a deploy is waiting for them.
func workloadRhythm() rhythm {
	return rhythm{every: probeHealthy, soon: probeUnhealthy, patience: probeTimeout, good: 1, bad: probeFailures}
}

// probe is the newest result.
type probe struct {
	ok      bool
	since   time.Time // when ok became what it is
	once    bool      // it has been ok since its start
	reason  string
	refused bool   // nothing accepts connections
	stray   string // what is wrong with where the program listens
	version string // of a database
	bytes   int64
	clients int // connected, without the probe
	most    int // clients that it lets in
}

func newHealth(cp *ControlPlane) *health {
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &health{cp: cp, open: map[string]*checkup{}, http: &http.Client{CheckRedirect: refuse, Transport: &http.Transport{DisableKeepAlives: true}}}
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
	known := map[string]*checkup{} // of servers that are asked with other credentials from now on
	for id, c := range h.open {
		if t, ok := wanted[id]; !ok || t != c.target {
			c.cancel()
			delete(h.open, id)
			same := c.target
			if same.url = t.url; ok && same == t {
				known[id] = c
			}
		}
	}
	for id, t := range wanted {
		if h.open[id] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		c := &checkup{target: t, cancel: cancel, doubt: make(chan struct{}, 1)}
		if k := known[id]; k != nil {
			c.result, c.done = k.result, k.done
		}
		h.open[id] = c
		h.wg.Go(func() { h.keep(ctx, c) })
	}
}

// targets lists what runs and can be reached by a program on the laptop, and shall be asked.
func (w *world) targets() map[string]target {
	out := map[string]target{}
	if !w.real {
		return out
	}
	w.balancerTargets(out)
	w.fleetTargets(out)
	add := func(id string, port int, fill func(*target)) {
		o := w.observed[id]
		e, ok := o.Endpoints[port]
		if o.State != compute.StateRunning || !ok {
			return
		}
		t := target{id: id, boot: o.Engine + o.StartedAt.String(), port: port, host: net.JoinHostPort(e.Host, strconv.Itoa(e.Port)), rhythm: workloadRhythm()}
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
			add(d.ID, databasePort(d), func(t *target) { t.engine, t.url = d.Spec.Engine, databaseURL(d, l, t.host) })
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
	for {
		result := h.probe(ctx, c.target)
		if ctx.Err() != nil {
			return
		}
		result.stray = s.after(ctx, result.refused)
		wait := h.write(c, result)
		select {
		case <-ctx.Done():
			return
		case <-c.doubt:
			h.suspect(c)
		case <-time.After(wait):
		}
	}
}

// write keeps a result and wakes the loop where it says something new. One lost probe does not make the healthy unhealthy,
// and one good answer may not be enough for the opposite. It returns how long the next probe can wait.
func (h *health) write(c *checkup, result probe) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.count(result.ok)
	switch r := c.target.rhythm; {
	case !c.done && result.ok && c.good < r.good:
		return probeUnhealthy
	case c.result.ok && !result.ok && c.bad < r.bad, !c.result.ok && result.ok && c.good < r.good:
		return r.soon
	}
	result.since, result.once = c.result.since, c.result.once || result.ok
	if !c.done || c.result.ok != result.ok {
		result.since = h.cp.Now()
	}
	changed := !c.done || c.result != result
	c.result, c.done = result, true
	if changed {
		h.cp.loop.wake()
	}
	if result.ok {
		return c.target.rhythm.every
	}
	return c.target.rhythm.soon
}

// count takes in an answer. The lock is held.
func (c *checkup) count(ok bool) {
	if ok {
		c.good, c.bad = c.good+1, 0
		return
	}
	c.good, c.bad = 0, c.bad+1
}

// suspect counts as a bad answer what somebody else has seen.
func (h *health) suspect(c *checkup) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.count(false)
}

// ask has something probed at once that somebody else found dead.
func (h *health) ask(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.open[key]; c != nil {
		select {
		case c.doubt <- struct{}{}:
		default:
		}
	}
}

func (h *health) probe(ctx context.Context, t target) probe {
	ctx, cancel := context.WithTimeout(ctx, t.rhythm.patience)
	defer cancel()
	switch {
	case t.engine != "":
		return probeDatabase(ctx, t)
	case t.path != "":
		return h.probeHTTP(ctx, t)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.host)
	if err != nil {
		return probe{reason: t.unreached(err, false, "it does not accept connections yet"), refused: true}
	}
	conn.Close()
	return probe{ok: true}
}

func (h *health) probeHTTP(ctx context.Context, t target) probe {
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.host+t.path, nil)
	if err != nil {
		return probe{reason: err.Error()}
	}
	resp, err := h.http.Do(req)
	if err != nil {
		return probe{reason: t.unreached(err, connected.Load(), "its health path does not answer yet"), refused: true}
	}
	resp.Body.Close()
	if resp.StatusCode >= 400 {
		reason := "its health path answers " + resp.Status
		if t.gateway != "" {
			reason = fmt.Sprintf("GET %s answers %s", t.path, resp.Status)
		}
		return probe{reason: reason}
	}
	return probe{ok: true}
}

// unreached says why a target did not answer: of a machine what its owner can do about it.
func (t target) unreached(err error, connected bool, otherwise string) string {
	var slow net.Error
	late := errors.As(err, &slow) && slow.Timeout()
	switch {
	case t.gateway == "":
		return otherwise
	case connected && late:
		return fmt.Sprintf("port %d accepts a connection, and GET %s is not answered within %s", t.port, t.path, t.rhythm.patience)
	case connected:
		return fmt.Sprintf("port %d accepts a connection, and breaks it off before GET %s is answered: does it speak HTTP?", t.port, t.path)
	case late:
		return fmt.Sprintf("port %d does not answer within %s: does a security group allow tcp/%d from the gateway %s?", t.port, t.rhythm.patience, t.port, t.gateway)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing listens on port %d", t.port)
	}
	return fmt.Sprintf("port %d cannot be reached: its machine does not answer in its network", t.port)
}

func probeDatabase(ctx context.Context, t target) probe {
	engine, err := databaseEngineOf(t.engine)
	if err != nil {
		return probe{reason: err.Error()}
	}
	return engine.probe(ctx, t.url)
}
