package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nuage/api"
)

// measureFlags are what compare measure can be told.
type measureFlags struct {
	url      string
	requests int
	connect  bool
	recovery bool
	load     bool
	rate     int
	lasting  span
	killCmd  string
	deadline span
}

// mostRequests bounds a measurement.
const mostRequests = 100_000

func (c *cli) measureCmd() *cobra.Command {
	flags := measureFlags{deadline: span(time.Minute), rate: 5, lasting: span(3 * time.Second)}
	cmd := &cobra.Command{
		Use:   "measure SUBJECT --url URL",
		Short: "Measure a subject from outside and keep the figures for the comparison",
		Long: "Measure an instance, app or function from outside, as its users see it, and keep the figures; nuage compare shows the\n" +
			"newest of each.\n\n" +
			"Without --recovery it asks the URL until it answers well (a status below 400), then sends --requests requests one after\n" +
			"the other and keeps \"first answer\", \"latency p50\" and \"latency p99\" in ms. Connections are kept open, as browsers\n" +
			"do; with --connect each request makes its own.\n\n" +
			"With --recovery it asks every 20 ms, runs --kill-cmd if there is one (else: kill the subject now), waits for the first\n" +
			"failure and then for the next good answer, and keeps \"recovery after kill\" in seconds: 0 where no request failed in\n" +
			"the 5 s after the kill. A command that also brings the subject back, as its owner would, is measured with it.\n\n" +
			"With --load it sends --rate requests a second for a while, then ten and fifty times as many, whether it is answered or not, and\n" +
			"keeps of each how many of a hundred failed and how long the others took, counted from when they were due.",
		Example: lines("nuage compare measure shop --url http://shop.app.localhost:7080/ --requests 200",
			"nuage compare measure shop --url http://shop.app.localhost:7080/ --load --rate 10",
			`nuage compare measure vm --url http://127.0.0.1:32801/ --recovery --kill-cmd "nuage ssh vm -- pkill python3"`),
		Args: takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			return c.measure(ctx, s, args[0], flags)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&flags.url, "url", "", "address to ask; it must be given; default: none")
	f.IntVar(&flags.requests, "requests", 200, "how many requests")
	f.BoolVar(&flags.connect, "connect", false, "make a new connection for each request; default: keep them open")
	f.BoolVar(&flags.recovery, "recovery", false, "measure how long the subject is gone after a kill; default: measure answers")
	f.StringVar(&flags.killCmd, "kill-cmd", "", "with --recovery: shell command that kills the subject; default: you do it meanwhile")
	f.BoolVar(&flags.load, "load", false, "measure answers at 1, 10 and 50 times the rate; default: one request after the other")
	flags.declareLoad(f)
	f.Var(&flags.deadline, "deadline", "how long to wait for a good answer, or a failure, at most")
	return cmd
}

func (f *measureFlags) declareLoad(flags *pflag.FlagSet) {
	flags.IntVar(&f.rate, "rate", f.rate, "requests a second of ordinary load; ten and fifty times as many are sent too")
	flags.Var(&f.lasting, "lasting", "how long each load lasts")
}

func (f measureFlags) check() error {
	u, err := url.Parse(f.url)
	switch {
	case f.url == "":
		return usagef("cannot measure without --url")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return usagef("cannot measure --url %q: it is no http address", f.url)
	case f.requests < 1 || f.requests > mostRequests:
		return usagef("cannot send %d requests: give a number from 1 to %d", f.requests, mostRequests)
	case f.killCmd != "" && !f.recovery:
		return usagef("cannot use --kill-cmd without --recovery")
	case f.recovery && f.load:
		return usagef("cannot measure --recovery and --load at once")
	case f.rate < 1 || f.rate > 200 || f.lasting < span(time.Second) || f.lasting > span(time.Minute):
		return usagef("cannot send %d requests a second for %s: give a rate from 1 to 200 and a time from 1s to 1m", f.rate, time.Duration(f.lasting))
	case f.deadline <= 0:
		return usagef("cannot use --deadline 0: give a duration such as 60s")
	}
	return nil
}

func (c *cli) measure(ctx context.Context, s session, subject string, flags measureFlags) error {
	figures, err := c.measureOne(ctx, s, subject, flags)
	if err != nil {
		return err
	}
	return printList(c, measurements(), api.List[api.Measurement]{Items: figures})
}

// measureOne measures a subject and stores the figures.
func (c *cli) measureOne(ctx context.Context, s session, subject string, flags measureFlags) ([]api.Measurement, error) {
	if err := flags.check(); err != nil {
		return nil, err
	}
	trust, err := c.trusting()
	if err != nil {
		return nil, err
	}
	p := newProbe(flags.url, flags.connect, trust, c.now)
	defer p.close()
	var figures []api.Measurement
	switch {
	case flags.recovery:
		figures, err = c.measureRecovery(ctx, p, flags)
	case flags.load:
		figures, err = c.measureLoad(ctx, p, flags)
	default:
		figures, err = c.measureAnswers(ctx, p, flags)
	}
	if err != nil {
		return nil, err
	}
	for i := range figures {
		figures[i].Subject, figures[i].At = subject, c.now().UTC()
		if err := s.cloud.Comparisons.Measure(ctx, s.project, figures[i]); err != nil {
			return nil, err
		}
	}
	return figures, nil
}

func measurements() kind[api.Measurement] {
	return kind[api.Measurement]{
		word: "measurement",
		name: func(m *api.Measurement) string { return m.Name },
		columns: []column[api.Measurement]{
			{head: "SUBJECT", cell: func(m api.Measurement) string { return m.Subject }},
			{head: "MEASURE", cell: func(m api.Measurement) string { return m.Name }},
			{head: "VALUE", cell: func(m api.Measurement) string { return m.Value }},
			{head: "UNIT", cell: func(m api.Measurement) string { return m.Unit }},
		},
	}
}

// measureAnswers times the first good answer and then a number of requests.
func (c *cli) measureAnswers(ctx context.Context, p *probe, flags measureFlags) ([]api.Measurement, error) {
	t := c.progress("measure")
	defer t.stop()
	t.show("waiting for the first answer")
	first, err := p.firstAnswer(ctx, time.Duration(flags.deadline))
	if err != nil {
		return nil, err
	}
	t.show(fmt.Sprintf("%d requests", flags.requests))
	times, err := p.times(ctx, flags.requests, func(n int) { t.part(int64(n), int64(flags.requests)) })
	if err != nil {
		return nil, err
	}
	return []api.Measurement{
		{Name: "first answer", Unit: "ms", Value: millis(first)},
		{Name: "latency p50", Unit: "ms", Value: millis(percentile(times, 50))},
		{Name: "latency p99", Unit: "ms", Value: millis(percentile(times, 99))},
	}, nil
}

// measureRecovery times how long the subject is gone.
func (c *cli) measureRecovery(ctx context.Context, p *probe, flags measureFlags) ([]api.Measurement, error) {
	t := c.progress("measure")
	defer t.stop()
	t.show("waiting for the first answer")
	deadline := time.Duration(flags.deadline)
	if _, err := p.firstAnswer(ctx, deadline); err != nil {
		return nil, err
	}
	t.show("waiting for the subject to fail")
	var kill func(context.Context) error
	if flags.killCmd != "" {
		kill = func(ctx context.Context) error { return c.kill(ctx, flags.killCmd) }
	}
	gone, err := p.outage(ctx, deadline, kill, t.show)
	if err != nil {
		return nil, err
	}
	return []api.Measurement{{Name: "recovery after kill", Unit: "s", Value: seconds(gone)}}, nil
}
