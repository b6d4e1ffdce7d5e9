package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

// serveConfig says how a cloud is to run. serve runs one until its context ends or somebody shuts it down.
type serveConfig struct {
	Home           string  // absolute, exists
	Engine         string  // auto, docker or sim
	Listen         string  // control address, host:port; port 0 takes a free one
	Edge           string  // edge address, likewise
	EdgeTLS        bool    // the edge speaks HTTPS
	InsecureListen bool    // addresses that are not loopback are wanted, without TLS
	ClockSpeed     int64   // of the billing clock; 1 is real time
	SpotRate       float64 // how often a running spot instance is taken back, times an hour in the mean; 0: never by chance
	SpotNotice     time.Duration
	Prewarm        int           // sandboxes kept ready at least
	KeepAlive      time.Duration // of a function's idle sandbox
	Labs           string        // folder of further labs; "": none
	Log            *slog.Logger
}

func (c *cli) upCmd() *cobra.Command {
	var conf serveConfig
	var detached bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the cloud",
		Long: "Start the cloud and run it until Ctrl-C, or with --detach in the background. What should run runs again: instances, apps\n" +
			"and databases that a former nuage up left running are taken over, not restarted. Ctrl-C leaves them running; nuage down\n" +
			"stops them too.",
		Example: lines("nuage up --detach", "nuage up --engine sim", "nuage up --home /tmp/lab --listen 127.0.0.1:7170 --edge 127.0.0.1:7180 --detach"),
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := c.ensureHome()
			if err != nil {
				return err
			}
			conf.Home = home
			if conf.Labs != "" {
				if conf.Labs, err = filepath.Abs(conf.Labs); err != nil {
					return usagef("cannot use --labs %q: %s", conf.Labs, err)
				}
			}
			if err := conf.check(); err != nil {
				return err
			}
			if detached {
				return c.upDetached(cmd.Context(), conf)
			}
			conf.Log = slog.New(slog.NewTextHandler(c.err, nil))
			return serve(cmd.Context(), conf)
		},
	}
	conf.declare(cmd)
	cmd.Flags().BoolVarP(&detached, "detach", "d", false, "go to the background once the cloud is ready; its log is HOME/nuage.log; default: stay")
	return cmd
}

func (s *serveConfig) declare(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(newChoice(&s.Engine, "auto", "docker", "sim"), "engine", "what runs the workloads: docker, sim (nothing real but wasm functions), or auto: docker where one answers")
	f.StringVar(&s.Listen, "listen", defaultListen, "control address; port 0 takes a free one")
	f.StringVar(&s.Edge, "edge", defaultEdge, "edge address, where apps and functions are reached; port 0 takes a free one")
	f.BoolVar(&s.EdgeTLS, "edge-tls", false, "apps, functions and auth pools are served by HTTPS, with certificates of an authority of this home; default: plain HTTP")
	f.Int64Var(&s.ClockSpeed, "clock-speed", 1, "speed of the billing clock: 3600 makes a second of work cost an hour")
	f.Float64Var(&s.SpotRate, "spot-rate", 0, "how often the cloud takes a running spot instance back, by chance: times an hour, as 0.5 or 60; default: never")
	f.DurationVar(&s.SpotNotice, "spot-notice", 2*time.Minute, "notice that a spot instance then gets, up to 1h")
	f.IntVar(&s.Prewarm, "prewarm", 2, "sandboxes kept ready at least for each runtime, memory size and network that functions use; more follow recent demand; 0: none are made ahead")
	f.DurationVar(&s.KeepAlive, "keep-alive", 10*time.Minute, "how long a function's idle sandbox waits for its next call before it goes, up to 24h")
	f.StringVar(&s.Labs, "labs", "", "folder of further labs, whose checks you trust: some run commands on the students' computers; default: those that come with the cloud only")
	f.BoolVar(&s.InsecureListen, "insecure-listen", false, "allow addresses others can reach, without TLS: tokens can be read on the way; default: loopback only")
}

// maxSpotRate is the most reclaims an hour of one spot instance: one a second.
const maxSpotRate = 3600

// check refuses addresses that others can reach, unless that is wanted.
func (s *serveConfig) check() error {
	if s.ClockSpeed < 1 || s.ClockSpeed > 1_000_000 {
		return usagef("cannot use --clock-speed %d: give a number from 1 to 1000000", s.ClockSpeed)
	}
	if !(s.SpotRate >= 0 && s.SpotRate <= maxSpotRate) {
		return usagef("cannot use --spot-rate %g: give how many times an hour, from 0 (never) to %d", s.SpotRate, maxSpotRate)
	}
	if s.Prewarm < 0 || s.Prewarm > 16 {
		return usagef("cannot use --prewarm %d: give a number from 0 to 16", s.Prewarm)
	}
	if s.KeepAlive < time.Second || s.KeepAlive > 24*time.Hour {
		return usagef("cannot use --keep-alive %s: give a time from 1s to 24h", s.KeepAlive)
	}
	if s.SpotNotice < 0 || s.SpotNotice > time.Hour {
		return usagef("cannot use --spot-notice %s: give a time from 0s to 1h", s.SpotNotice)
	}
	for _, flag := range []struct{ name, address string }{{"listen", s.Listen}, {"edge", s.Edge}} {
		host, port, err := net.SplitHostPort(flag.address)
		if err != nil {
			return usagef("cannot use --%s %q: give an address as 127.0.0.1:7070", flag.name, flag.address)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return usagef("cannot use --%s %q: its port is no number from 0 to 65535", flag.name, flag.address)
		}
		if tls := flag.name == "edge" && s.EdgeTLS; !isLoopback(host) && !s.InsecureListen && !tls {
			return api.Errorf(api.Invalid, "cannot listen on %q: others could reach it, and there is no TLS; add --insecure-listen if that is what you want", flag.address)
		}
	}
	return nil
}

// args are the words of a command line that runs this cloud in the foreground.
func (s serveConfig) args() []string {
	words := []string{"up", "--home", s.Home, "--engine", s.Engine, "--listen", s.Listen, "--edge", s.Edge, "--clock-speed", strconv.FormatInt(s.ClockSpeed, 10),
		"--spot-rate", strconv.FormatFloat(s.SpotRate, 'g', -1, 64), "--spot-notice", s.SpotNotice.String(),
		"--prewarm", strconv.Itoa(s.Prewarm), "--keep-alive", s.KeepAlive.String()}
	if s.EdgeTLS {
		words = append(words, "--edge-tls")
	}
	if s.Labs != "" {
		words = append(words, "--labs", s.Labs)
	}
	if s.InsecureListen {
		words = append(words, "--insecure-listen")
	}
	return words
}

// upDetached starts the cloud in a process of its own and waits until it is ready.
func (c *cli) upDetached(ctx context.Context, conf serveConfig) error {
	child, err := c.startChild(conf)
	if err != nil {
		return err
	}
	defer child.log.Close()
	t := c.progress("cloud")
	defer t.stop()
	if err := child.waitReady(ctx, t.show); err != nil {
		return err
	}
	t.stop()
	return c.printUp(ctx, conf.Home)
}

// printUp tells where the cloud that has just become ready is.
func (c *cli) printUp(ctx context.Context, home string) error {
	conf, err := loadConfig(home)
	if err != nil {
		return err
	}
	status, err := c.dial(conf.URL, conf.Token).System.Status(ctx)
	if err != nil {
		return err
	}
	if done, err := c.encode(status); done {
		return err
	}
	rows := [][]string{{"engine", engineText(status)}, {"api", conf.URL}, {"docs", conf.URL + "/docs"}}
	rows = append(append(rows, c.edgeRows(status)...), [][]string{{"home", home}, {"log", filepath.Join(home, "nuage.log")}}...)
	if err := c.printTable(nil, rows); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, "the cloud is up; nuage status looks at it, nuage down stops it")
	return err
}

// logFile opens the log of detached clouds for appending.
func logFile(home string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(home, "nuage.log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, api.Errorf(api.Unavailable, "cannot write the log: %w", err)
	}
	return f, nil
}
