package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"nuage/api"
)

// testBalancer puts balancers in front of three machines under a steady load, and kills one, drains one.
func testBalancer(t *testing.T, c *liveCloud) {
	c.machines(t, "web-1 --image server --security-group open", "web-2 --image server --security-group open", "web-3 --image server --security-group open")
	http, tcp := freePort(t), freePort(t)
	together(t, map[string]func(*testing.T){
		"http": func(t *testing.T) {
			c.do(t, "load-balancer", "create", "site", "--port", http, "--target", "web-1:8080", "--target", "web-2:8080", "--target", "web-3:8080",
				"--health", "/ready", "--health-interval", "1s")
		},
		"tcp": func(t *testing.T) {
			c.do(t, "load-balancer", "create", "lines", "--port", tcp, "--protocol", "tcp", "--algorithm", "least-connections",
				"--target", "web-1:9090", "--target", "web-2:9090", "--target", "web-3:9090", "--health-interval", "1s")
		},
	})
	site, lines := c.balanced(t, "site", 3), c.balanced(t, "lines", 3)
	t.Run("turns", func(t *testing.T) { testTurns(t, site, lines) })
	t.Run("kill", func(t *testing.T) { testTargetKilled(t, c, site, lines) })
	t.Run("drain", func(t *testing.T) { testTargetDrained(t, c, site) })
	c.do(t, "load-balancer", "delete", "site", "lines")
	if err := closed(site); err != nil {
		t.Errorf("a deleted balancer: %v", err)
	}
	c.do(t, "instance", "delete", "web-1", "web-2", "web-3")
}

// freePort is one of this machine that nothing listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// balanced waits until so many targets of a balancer are healthy and returns where it listens.
func (c *liveCloud) balanced(t *testing.T, name string, healthy int) string {
	t.Helper()
	var b api.LoadBalancer
	eventually(t, 20*time.Second, "the targets are healthy", func() error {
		if err := c.read("/v1/projects/default/load-balancers/"+name, &b); err != nil {
			return err
		}
		n := 0
		for _, target := range b.Status.Targets {
			if target.Health == "healthy" {
				n++
			}
		}
		if n != healthy || b.Status.Endpoint == nil {
			return fmt.Errorf("%d of %d: %+v", n, healthy, b.Status)
		}
		return nil
	})
	return fmt.Sprintf("%s:%d", b.Status.Endpoint.Host, b.Status.Endpoint.Port)
}

// get asks a balancer and returns which machine answered.
func get(address, path string) (string, error) {
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + address + path)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	line, _ := bufio.NewReader(r.Body).ReadString('\n')
	if r.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", r.Status, line)
	}
	return line, nil
}

// greeted connects to a balancer and returns which machine took the connection.
func greeted(address string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, 20*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

// testTurns: all machines have their turn, and learn who asks.
func testTurns(t *testing.T, site, lines string) {
	turns := map[string]int{}
	for range 6 {
		for _, ask := range []func() (string, error){func() (string, error) { return get(site, "/") }, func() (string, error) { return greeted(lines) }} {
			who, err := ask()
			if err != nil {
				t.Fatal(err)
			}
			turns[who]++
		}
	}
	for n := 1; n <= 3; n++ {
		web := fmt.Sprintf("web-%d", n)
		if turns[web+" for 127.0.0.1"] != 2 || turns[web] == 0 {
			t.Errorf("six requests and six connections went to %v", turns)
		}
	}
}

// shot is one request of a load.
type shot struct {
	begun time.Time
	who   string
	err   error
}

// load asks without a rest, from several clients, until stop is closed, and returns all that was asked.
func load(clients int, stop <-chan struct{}, ask func() (string, error)) func() []shot {
	var all []shot
	var mu sync.Mutex
	var work sync.WaitGroup
	for range clients {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := shot{begun: time.Now()}
				s.who, s.err = ask()
				mu.Lock()
				all = append(all, s)
				mu.Unlock()
			}
		})
	}
	return func() []shot { work.Wait(); return all }
}

// testTargetKilled kills one of three machines under load: only what was in flight on it may fail.
func testTargetKilled(t *testing.T, c *liveCloud, site, lines string) {
	const clients = 4
	id := show[api.Instance](t, c, "instance", "web-2").ID
	stop := make(chan struct{})
	loads := map[string]func() []shot{
		"http": load(clients, stop, func() (string, error) { return get(site, "/slow?for=20ms") }),
		"tcp":  load(clients, stop, func() (string, error) { return greeted(lines) }),
	}
	time.Sleep(time.Second) // of load, as it is before
	dockerCLI(t, "kill", c.only(t, id).ID)
	killed := time.Now()
	eventually(t, 30*time.Second, "the killed machine is back", c.running("web-2", 1))
	c.balanced(t, "site", 3)
	close(stop)
	for name, wait := range loads {
		failed, after := 0, map[string]int{}
		for _, s := range wait() {
			switch {
			case s.err == nil && s.begun.After(killed):
				after[s.who]++
			case s.err != nil && s.begun.After(killed):
				t.Errorf("%s: what began %s after the kill failed: %v", name, s.begun.Sub(killed), s.err)
			case s.err != nil:
				failed++
			}
		}
		t.Logf("%s: %d failed; after the kill %v answered", name, failed, after)
		if failed > clients || after["web-1"] == 0 || after["web-3"] == 0 {
			t.Errorf("%s: %d failed with %d in flight; after the kill %v answered", name, failed, clients, after)
		}
	}
}

// testTargetDrained takes a machine away while a request is on it: that ends well, and nothing new gets there.
func testTargetDrained(t *testing.T, c *liveCloud, site string) {
	answers := make(chan shot, 3)
	for range 3 { // one on each
		go func() {
			who, err := get(site, "/slow?for=3s")
			answers <- shot{who: who, err: err}
		}()
	}
	target := func(name string) (found api.TargetStatus) {
		for _, s := range show[api.LoadBalancer](t, c, "load-balancer", "site").Status.Targets {
			if s.Instance == name {
				found = s
			}
		}
		return found
	}
	eventually(t, 2*time.Second, "a request is on web-1", func() error {
		if s := target("web-1"); s.Connections != 1 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	c.do(t, "load-balancer", "update", "site", "--remove-target", "web-1:8080", "--drain", "10s", "--no-wait")
	eventually(t, time.Second, "the removed target drains", func() error {
		if s := target("web-1"); s.Health != "draining" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	for range 8 {
		if who, err := get(site, "/"); err != nil || strings.HasPrefix(who, "web-1 ") {
			t.Errorf("with web-1 removed, %q answers: %v", who, err)
		}
	}
	served := map[string]bool{}
	for range 3 {
		s := <-answers
		if s.err != nil {
			t.Errorf("a request was cut off: %v", s.err)
		}
		served[s.who] = true
	}
	if !served["web-1"] {
		t.Errorf("the drained target did not end its request: %v", served)
	}
	eventually(t, 5*time.Second, "the drained target is gone", func() error {
		if s := target("web-1"); s.Instance != "" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}
