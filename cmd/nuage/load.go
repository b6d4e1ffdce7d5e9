package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"nuage/api"
)

// mostInFlight bounds the requests of a load that wait for an answer at the same time.
const mostInFlight = 512

// loadSteps are how many times the rate of ordinary load is sent.
func loadSteps() []int { return []int{1, 10, 50} }

// loaded is how a subject answered under a load.
type loaded struct {
	mu     sync.Mutex
	times  []time.Duration // of good answers, from when the request was due
	failed int
}

// load sends rate requests a second for a while, whether those before are answered or not, and waits for the answers. A request that can't be sent
// because too many wait has failed.
func (p *probe) load(ctx context.Context, rate int, lasting time.Duration) (*loaded, error) {
	var out loaded
	var all sync.WaitGroup
	places := make(chan struct{}, mostInFlight)
	start := p.now()
	for i := range int(lasting.Seconds() * float64(rate)) {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if err := p.sleep(ctx, due.Sub(p.now())); err != nil {
			all.Wait()
			return nil, err
		}
		select {
		case places <- struct{}{}:
		default:
			out.add(0, false)
			continue
		}
		all.Go(func() {
			defer func() { <-places }()
			err := p.ask(ctx, probeTimeout)
			out.add(p.now().Sub(due), err == nil)
		})
	}
	all.Wait()
	return &out, ctx.Err()
}

func (l *loaded) add(took time.Duration, good bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !good {
		l.failed++
		return
	}
	l.times = append(l.times, took)
}

func (p *probe) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// manyConnections lets a probe keep as many connections open as a load needs.
func (p *probe) manyConnections() {
	if t, ok := p.client.Transport.(*http.Transport); ok {
		t.MaxIdleConnsPerHost = mostInFlight
	}
}

// measureLoad sends once, ten and fifty times the rate.
func (c *cli) measureLoad(ctx context.Context, p *probe, flags measureFlags) ([]api.Measurement, error) {
	t := c.progress("measure")
	defer t.stop()
	p.manyConnections()
	if _, err := p.firstAnswer(ctx, time.Duration(flags.deadline)); err != nil {
		return nil, err
	}
	var out []api.Measurement
	for _, times := range loadSteps() {
		t.show(fmt.Sprintf("%d requests a second for %s", times*flags.rate, time.Duration(flags.lasting)))
		l, err := p.load(ctx, times*flags.rate, time.Duration(flags.lasting))
		if err != nil {
			return nil, err
		}
		out = append(out, l.figures(fmt.Sprintf(" at %dx load", times))...)
	}
	return out, nil
}

// figures are what a load showed: how fast the good answers were, and how many of a hundred were none.
func (l *loaded) figures(at string) []api.Measurement {
	sent := len(l.times) + l.failed
	perMille := l.failed * 1000 / max(1, sent)
	out := []api.Measurement{{Name: "failed" + at, Unit: "%", Value: fmt.Sprintf("%d.%d", perMille/10, perMille%10)}}
	if len(l.times) > 0 {
		out = append(out, api.Measurement{Name: "latency p50" + at, Unit: "ms", Value: millis(percentile(l.times, 50))},
			api.Measurement{Name: "latency p99" + at, Unit: "ms", Value: millis(percentile(l.times, 99))})
	}
	return out
}

// measureAll measures each subject that can be reached: its answers, and those under load.
func (c *cli) measureAll(ctx context.Context, s session, comparison api.Comparison, flags measureFlags) error {
	for _, subject := range comparison.Subjects {
		url, err := s.urlOf(ctx, subject)
		if err != nil {
			return err
		}
		if url == "" {
			c.note("%s is not measured: %s", subject.Name, howReached(subject.Noun))
			continue
		}
		flags.url, flags.load = url, false
		if _, err := c.measureOne(ctx, s, measuredName(subject), flags); err != nil {
			return err
		}
		flags.load = true
		if _, err := c.measureOne(ctx, s, measuredName(subject), flags); err != nil {
			return err
		}
	}
	return nil
}

// measuredName names a subject so that nothing else is meant.
func measuredName(s api.Subject) string {
	return s.Noun + "/" + strings.TrimPrefix(s.Name, s.Noun+"/")
}

// urlOf is where the laptop reaches a subject; "" where it does not.
func (s session) urlOf(ctx context.Context, subject api.Subject) (string, error) {
	name := strings.TrimPrefix(subject.Name, subject.Noun+"/")
	switch subject.Noun {
	case "app":
		a, err := s.cloud.Apps.Get(ctx, s.project, name)
		return a.Status.URL, err
	case "function":
		f, err := s.cloud.Functions.Get(ctx, s.project, name)
		return f.Status.URL, err
	case "instance":
		i, err := s.cloud.Instances.Get(ctx, s.project, name)
		for _, p := range i.Status.Ports {
			if p.Port != 22 {
				return fmt.Sprintf("http://%s/", net.JoinHostPort(p.Host, strconv.Itoa(p.HostPort))), err
			}
		}
		return "", err
	}
	return "", nil
}

func howReached(noun string) string {
	switch noun {
	case "instance":
		return "no port but that of SSH is open; nuage security-group allow opens one"
	case "function":
		return "it has no HTTP trigger; nuage trigger create makes one"
	}
	return "it has no address"
}
