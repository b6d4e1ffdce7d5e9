package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

// targets is a repeatable flag INSTANCE:PORT or group:GROUP:PORT.
type targets []api.Target

func (t *targets) String() string { return "" }
func (t *targets) Type() string   { return "I:PORT" }
func (t *targets) Set(s string) error {
	at := strings.LastIndexByte(s, ':')
	port, err := portNumber(s[at+1:])
	if at <= 0 || err != nil {
		return fmt.Errorf("it must look like INSTANCE:PORT, as web:8080, or group:GROUP:PORT")
	}
	target := api.Target{Instance: s[:at], Port: port}
	if group, ok := strings.CutPrefix(target.Instance, "group:"); ok {
		target.Instance, target.Group = "", group
	}
	*t = append(*t, target)
	return nil
}

// targetText is web:8080 or group:fleet:8080.
func targetText(t api.Target) string {
	if t.Group != "" {
		return "group:" + t.Group + ":" + strconv.Itoa(t.Port)
	}
	return t.Instance + ":" + strconv.Itoa(t.Port)
}

func targetsText(all []api.Target) string {
	if len(all) == 0 {
		return "no targets"
	}
	var words []string
	for _, t := range all {
		words = append(words, targetText(t))
	}
	return strings.Join(words, ", ")
}

// healthFlags say when a target or a member of a group is healthy. Only what was given changes a check.
type healthFlags struct {
	path              string
	port              int
	interval, timeout span
}

// declare adds the flags; path and port say what the first two are for.
func (h *healthFlags) declare(cmd *cobra.Command, path, port string) {
	f := cmd.Flags()
	f.StringVar(&h.path, "health", "", path)
	f.IntVar(&h.port, "health-port", 0, port)
	h.interval, h.timeout = span(2*time.Second), span(2*time.Second)
	f.Var(&h.interval, "health-interval", "time between two checks, 1s to 300s")
	f.Var(&h.timeout, "health-timeout", "how long an answer may take, 1s to 60s")
}

func (h *healthFlags) apply(check *api.HealthCheck, given func(string) bool) error {
	interval, err := wholeSeconds("health-interval", h.interval)
	if err != nil {
		return err
	}
	timeout, err := wholeSeconds("health-timeout", h.timeout)
	if err != nil {
		return err
	}
	for flag, set := range map[string]func(){
		"health":          func() { check.Path = h.path },
		"health-port":     func() { check.Port = h.port },
		"health-interval": func() { check.IntervalSeconds = interval },
		"health-timeout":  func() { check.TimeoutSeconds = timeout },
	} {
		if given(flag) {
			set()
		}
	}
	return nil
}

// wholeSeconds is a flag's duration in seconds, which is what the API counts in.
func wholeSeconds(flag string, s span) (int, error) {
	d := time.Duration(s)
	if d < time.Second || d%time.Second != 0 {
		return 0, usagef("cannot use --%s %s: give whole seconds, as 10s", flag, d)
	}
	return int(d / time.Second), nil
}

func secondsText(n int) string { return (time.Duration(n) * time.Second).String() }

// healthText is GET /ready on port 8080 every 2s, connecting to port 8080 every 2s.
func healthText(h api.HealthCheck) string {
	text := "connecting"
	if h.Path != "" {
		text = "GET " + h.Path
	}
	if h.Port > 0 {
		text += " on port " + strconv.Itoa(h.Port)
	}
	return text + " every " + secondsText(cmp.Or(h.IntervalSeconds, 2)) + ", answer within " + secondsText(cmp.Or(h.TimeoutSeconds, 2))
}
