package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"time"

	"nuage/api"
)

const (
	probePause   = 20 * time.Millisecond
	probeTimeout = 10 * time.Second
	outageLimit  = time.Second // a subject that takes longer is gone, as far as recovery goes
	// noOutageAfter is how long after a kill no request must fail to say that there was no outage.
	noOutageAfter = 5 * time.Second
)

// probe asks one address from outside.
type probe struct {
	url    string
	client *http.Client
	now    func() time.Time
}

// newProbe makes a probe; with fresh each request makes its own connection. trust nil: as the system does.
func newProbe(url string, fresh bool, trust *tls.Config, now func() time.Time) *probe {
	t := &http.Transport{DialContext: dialLocalhost, DisableKeepAlives: fresh, TLSClientConfig: trust, MaxIdleConnsPerHost: 1}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &probe{url: url, client: &http.Client{Transport: t, CheckRedirect: stay}, now: now}
}

// dialLocalhost dials names under localhost on this laptop (RFC 6761), whatever its resolver thinks of them.
func dialLocalhost(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func (p *probe) close() { p.client.CloseIdleConnections() }

// ask sends one request and reads the whole answer. A status of 400 and above is an error.
func (p *probe) ask(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= 400 {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}

// firstAnswer asks until the answer is good and returns how long that took.
func (p *probe) firstAnswer(ctx context.Context, deadline time.Duration) (time.Duration, error) {
	start := p.now()
	err := p.until(ctx, deadline, func() (bool, error) {
		err := p.ask(ctx, probeTimeout)
		return err == nil, err
	})
	if err != nil {
		return 0, api.Errorf(api.Unavailable, "cannot get an answer from %s within %s: %w", p.url, deadline, err)
	}
	return p.now().Sub(start), nil
}

// until calls try every 20 ms until it is done. After the deadline it returns the last error of try.
func (p *probe) until(ctx context.Context, deadline time.Duration, try func() (bool, error)) error {
	tick := time.NewTicker(probePause)
	defer tick.Stop()
	end := p.now().Add(deadline)
	for {
		done, err := try()
		switch {
		case done:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case p.now().After(end):
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// times sends n requests one after the other and returns how long each took. The first bad answer ends it.
func (p *probe) times(ctx context.Context, n int, progress func(int)) ([]time.Duration, error) {
	times := make([]time.Duration, 0, n)
	for i := range n {
		start := p.now()
		if err := p.ask(ctx, probeTimeout); err != nil {
			return nil, api.Errorf(api.Unavailable, "cannot measure %s: request %d of %d failed: %w", p.url, i+1, n, err)
		}
		times = append(times, p.now().Sub(start))
		progress(i + 1)
	}
	return times, nil
}

// outage runs kill, waits for the first failure and returns how long it took from there to the next good answer. Where
// no request failed for a while after kill had ended, that is 0. kill nil means that somebody else does it.
func (p *probe) outage(ctx context.Context, deadline time.Duration, kill func(context.Context) error, show func(string)) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k := p.start(ctx, kill)
	bad := func() (bool, error) {
		if done, err := k.over(); done {
			return true, err
		}
		return p.ask(ctx, outageLimit) != nil, fmt.Errorf("it answered all the time")
	}
	if err := p.until(ctx, deadline, bad); err != nil {
		return 0, api.Errorf(api.Unavailable, "cannot measure the recovery of %s: no failure within %s: %w", p.url, deadline, err)
	}
	if done, err := k.over(); done {
		return 0, err
	}
	start := p.now()
	show("gone; waiting for it to answer again")
	good := func() (bool, error) {
		err := p.ask(ctx, outageLimit)
		return err == nil, err
	}
	if err := p.until(ctx, deadline, good); err != nil {
		return 0, api.Errorf(api.Unavailable, "cannot measure the recovery of %s: it did not answer within %s; nothing is kept: %w", p.url, deadline, err)
	}
	gone := p.now().Sub(start)
	k.wait(ctx, show)
	return gone, nil
}

// killing is a kill command under way.
type killing struct {
	now   func() time.Time
	begun bool
	done  chan error
	ended time.Time
	err   error
}

// wait lets a kill command that brings the subject back end by itself. The outage was seen: how it ended is only told.
func (k *killing) wait(ctx context.Context, show func(string)) {
	if !k.begun || !k.ended.IsZero() {
		return
	}
	select {
	case k.err = <-k.done:
	case <-ctx.Done():
		k.err = ctx.Err()
	}
	if k.err != nil {
		show(k.err.Error())
	}
}

func (p *probe) start(ctx context.Context, kill func(context.Context) error) *killing {
	k := &killing{now: p.now, begun: kill != nil, done: make(chan error, 1)}
	if kill != nil {
		go func() { k.done <- kill(ctx) }()
	}
	return k
}

// over reports whether there is no failure to be waited for any more: the kill failed, or it is long past.
func (k *killing) over() (bool, error) {
	select {
	case k.err = <-k.done:
		k.ended = k.now()
	default:
	}
	if k.ended.IsZero() {
		return false, nil
	}
	return k.err != nil || k.now().Sub(k.ended) > noOutageAfter, k.err
}

// kill runs the command that kills the subject. Its output goes to stderr.
func (c *cli) kill(ctx context.Context, line string) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Stdout, cmd.Stderr = c.err, c.err
	if err := cmd.Run(); err != nil {
		return api.Errorf(api.Unavailable, "cannot kill the subject: %q failed: %w", line, err)
	}
	return nil
}

// percentile is the smallest time that at least p of 100 times do not exceed.
func percentile(times []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}

// millis is a duration in ms, to the microsecond.
func millis(d time.Duration) string {
	us := d.Microseconds()
	return fmt.Sprintf("%d.%03d", us/1000, us%1000)
}

// seconds is a duration in s, to the millisecond.
func seconds(d time.Duration) string {
	ms := d.Milliseconds()
	return fmt.Sprintf("%d.%03d", ms/1000, ms%1000)
}
