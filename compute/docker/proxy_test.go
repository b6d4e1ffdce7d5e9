package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"nuage/api"
	"nuage/compute"
)

// TestEngineGoesAway talks through a proxy that can be cut.
func TestEngineGoesAway(t *testing.T) {
	needEngine(t)
	p := newProxy(t)
	e := open(t, Options{Host: "unix://" + p.path})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	events, err := e.Watch(ctx)
	ok(t, err)
	p.cut()
	_, err = e.List(ctx)
	const want = "cannot list workloads: the Docker engine does not answer; start Docker, or run `make engine`"
	if !errors.Is(err, api.Unavailable) || err.Error() != want {
		t.Errorf("List answers %v", err)
	}
	if _, err := e.Watch(ctx); !errors.Is(err, api.Unavailable) {
		t.Errorf("Watch answers %v", err)
	}
	if _, err := New(ctx, Options{CloudID: "c1", Host: "unix://" + p.path}); !errors.Is(err, api.Unavailable) {
		t.Errorf("New answers %v", err)
	}
	p.serve(t)
	if ev := <-events; ev.What != "lost" {
		t.Errorf("after a cut comes %+v", ev)
	}
	ok(t, e.Create(ctx, compute.Workload{ID: "w", Image: tiny}))
	if ev := <-events; ev.What != "create" || ev.ID != "w" {
		t.Errorf("after a creation comes %+v", ev)
	}
}

// proxy passes a Unix socket on to the engine's.
type proxy struct {
	path string
	mu   sync.Mutex
	l    net.Listener
	all  []net.Conn
}

func newProxy(t *testing.T) *proxy {
	p := &proxy{path: filepath.Join(t.TempDir(), "s")}
	p.serve(t)
	t.Cleanup(p.cut)
	return p
}

func (p *proxy) serve(t *testing.T) {
	l, err := net.Listen("unix", p.path)
	ok(t, err)
	p.mu.Lock()
	p.l = l
	p.mu.Unlock()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", "/var/run/docker.sock")
			if err != nil {
				t.Error(err)
				return
			}
			p.mu.Lock()
			p.all = append(p.all, in, out)
			p.mu.Unlock()
			go pipe(in, out)
			go pipe(out, in)
		}
	}()
}

// pipe copies until either side is cut.
func pipe(dst, src net.Conn) {
	_, err := io.Copy(dst, src)
	if c, is := dst.(*net.UnixConn); is && err == nil {
		_ = c.CloseWrite() // the other side may have been cut
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.l.Close() // a second cut closes it again
	for _, c := range p.all {
		_ = c.Close()
	}
	p.all = nil
}
