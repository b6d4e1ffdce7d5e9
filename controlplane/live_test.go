package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/sim"
)

// live is the simulator with programs that really answer HTTP, so that health checks and the edge have something to talk
// to. What a program does is in its environment: BEHAVE is ok, ill (answers its health path with 503), down (accepts
// nothing), crash (ends at once with status 3).
type live struct {
	*sim.Engine
	mu      sync.Mutex
	made    map[string]compute.Workload
	serving map[string]*program
	hold    chan struct{}  // requests of /slow wait for it
	asked   map[string]int // requests, by workload
	built   []string
	removed []string
	tagged  []string // image and tag
	spoilt  string   // workloads with this in their ids crash
}

// program is one run of a workload.
type program struct {
	engine string // its container and start
	port   int
	close  func()
}

func newLive(e *sim.Engine) *live {
	return &live{Engine: e, made: map[string]compute.Workload{}, serving: map[string]*program{}, asked: map[string]int{}, hold: make(chan struct{})}
}

func (l *live) Info(ctx context.Context) (compute.Info, error) {
	info, err := l.Engine.Info(ctx)
	info.Real = true
	return info, err
}

func (l *live) Create(ctx context.Context, w compute.Workload) error {
	l.mu.Lock()
	l.made[w.ID] = w
	l.mu.Unlock()
	return l.Engine.Create(ctx, w)
}

func (l *live) Start(ctx context.Context, id string) error {
	err := l.Engine.Start(ctx, id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made[id].Env["BEHAVE"] == "crash" || l.spoilt != "" && strings.Contains(id, l.spoilt) {
		l.Faults().Crash(id, 3)
	}
	return err
}

// List adds where the running programs are reached; those that do not run any more are closed.
func (l *live) List(ctx context.Context) ([]compute.Observed, error) {
	all, err := l.Engine.List(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	runs := map[string]bool{}
	for i, o := range all {
		w := l.made[o.ID]
		if o.State != compute.StateRunning || len(w.Ports) == 0 {
			continue
		}
		runs[o.ID] = true
		all[i].Endpoints = map[int]compute.Endpoint{w.Ports[0]: {Host: "127.0.0.1", Port: l.serve(o, w)}}
	}
	for id, p := range l.serving {
		if !runs[id] {
			p.close()
			delete(l.serving, id)
		}
	}
	return all, err
}

func (l *live) serve(o compute.Observed, w compute.Workload) int {
	start := o.Engine + o.StartedAt.String()
	p := l.serving[o.ID]
	if p != nil && p.engine == start {
		return p.port
	}
	if p != nil {
		p.close()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	p = &program{engine: start, port: listener.Addr().(*net.TCPAddr).Port, close: func() { listener.Close() }}
	l.serving[o.ID] = p
	if w.Env["BEHAVE"] == "down" {
		listener.Close()
		return p.port
	}
	server := &http.Server{Handler: l.answers(w)}
	p.close = func() { server.Close() }
	go server.Serve(listener)
	return p.port
}

func (l *live) answers(w compute.Workload) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			l.mu.Lock()
			l.asked[w.ID]++
			l.mu.Unlock()
		}
		switch {
		case r.URL.Path == "/health" && w.Env["BEHAVE"] == "ill":
			rw.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/slow":
			<-l.hold
		}
		fmt.Fprint(rw, "release ", w.Env["NUAGE_RELEASE"])
	})
}

// Logs is what every program has printed.
func (l *live) Logs(context.Context, string, compute.LogQuery) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("it begins\nit goes wrong\n")), nil
}

// Build makes an image of whatever has no file "broken".
func (l *live) Build(ctx context.Context, b compute.Build, source io.Reader, log io.Writer) (compute.Image, error) {
	content, err := io.ReadAll(source)
	if err != nil {
		return compute.Image{}, err
	}
	fmt.Fprintln(log, "Step 1/1 : FROM scratch")
	if bytes.Contains(content, []byte("broken")) {
		return compute.Image{}, api.Errorf(api.Invalid, "cannot build %q: it is broken", b.Name)
	}
	l.mu.Lock()
	l.built = append(l.built, b.Tag)
	l.mu.Unlock()
	return l.Image(ctx, b.Tag, 0)
}

func (l *live) TagImage(_ context.Context, id, tag string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tagged = append(l.tagged, id+" "+tag)
	return nil
}

func (l *live) RemoveImage(_ context.Context, ref string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removed = append(l.removed, ref)
	return nil
}

func (l *live) images() (built, removed []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.built...), append([]string{}, l.removed...)
}

func (l *live) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.serving {
		p.close()
	}
}

// newLivePlane starts a plane over programs that answer.
func newLivePlane(t *testing.T) (*plane, *live) {
	t.Helper()
	var l *live
	p := newPlane(t, setup{wrap: func(e *sim.Engine) compute.Engine {
		if l == nil {
			l = newLive(e)
		}
		return l
	}})
	t.Cleanup(l.shut)
	return p, l
}

// get asks the edge for a path of an app.
func (p *plane) get(app, path string) (int, string) {
	r := httptest.NewRequest(http.MethodGet, "http://"+app+".app.localhost"+path, nil)
	w := httptest.NewRecorder()
	p.Edge.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// serves waits until the edge answers for a release.
func (p *plane) serves(t *testing.T, app string, release int) {
	t.Helper()
	want := fmt.Sprint("release ", release)
	eventually(t, app+" answers "+want, func() bool { code, body := p.get(app, "/"); return code == http.StatusOK && body == want })
}

// appSettled waits until nothing of an app is under way.
func (p *plane) appSettled(t *testing.T, name string) api.App {
	t.Helper()
	a, err := p.cloud.Apps.Wait(asCustomer(), "default", name, 20*time.Second)
	must(t, err)
	if !api.Settled(a.Meta, a.Status.Status) {
		t.Fatalf("app %s is %s (%s) at generation %d of %d", name, a.Status.Phase, a.Status.Reason, a.Status.Status.Generation, a.Generation)
	}
	return a
}

// replicas is how many containers each release of an app has.
func (p *plane) replicas(t *testing.T, a api.App) map[int]int {
	t.Helper()
	list, err := p.Engine.List(context.Background())
	must(t, err)
	out := map[int]int{}
	for _, o := range list {
		if o.Owner == a.ID {
			out[releaseOf(a.ID, o.ID)]++
		}
	}
	return out
}
