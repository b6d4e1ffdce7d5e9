package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"nuage/api"
)

// choice is a flag that takes one of a few words.
type choice struct {
	value   *string
	allowed []string
}

// newChoice sets *value to the first word and allows all.
func newChoice(value *string, allowed ...string) *choice {
	*value = allowed[0]
	return &choice{value, allowed}
}

// optional is newChoice for a flag whose default is not to be set.
func optional(value *string, allowed ...string) *choice { return &choice{value, allowed} }

func (f *choice) String() string { return *f.value }
func (f *choice) Type() string   { return "word" }
func (f *choice) Set(s string) error {
	if !slices.Contains(f.allowed, s) {
		return fmt.Errorf("it must be one of %s", strings.Join(f.allowed, ", "))
	}
	*f.value = s
	return nil
}

// pairs is a repeatable flag K=V.
type pairs map[string]string

func (p pairs) String() string { return "" }
func (p pairs) Type() string   { return "K=V" }
func (p pairs) Set(s string) error {
	k, v, ok := strings.Cut(s, "=")
	if !ok || k == "" {
		return fmt.Errorf("it must look like NAME=VALUE")
	}
	p[k] = v
	return nil
}

// into returns m with p's pairs on top; nil where both are empty.
func (p pairs) into(m map[string]string) map[string]string {
	for k, v := range p {
		if m == nil {
			m = map[string]string{}
		}
		m[k] = v
	}
	return m
}

// size is a flag of a number of bytes, as 1GiB.
type size int64

func (s *size) String() string {
	if *s == 0 {
		return ""
	}
	return bytesText(int64(*s))
}
func (s *size) Type() string { return "size" }
func (s *size) Set(text string) error {
	n, err := parseBytes(text)
	*s = size(n)
	return err
}

// parseBytes reads 512MiB, 1.5GiB, 10GB, 512m or a plain number of bytes. M is MiB, as Docker has it; MB is a million.
func parseBytes(text string) (int64, error) {
	digits := strings.TrimRightFunc(text, unicode.IsLetter)
	unit, ok := map[string]float64{
		"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "kb": 1e3, "m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
		"g": 1 << 30, "gib": 1 << 30, "gb": 1e9, "t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
	}[strings.ToLower(text[len(digits):])]
	n, err := strconv.ParseFloat(digits, 64)
	whole := n * unit
	if err != nil || !ok || strings.ContainsAny(digits, "eExX_+-") || whole > 1<<62 || whole != math.Trunc(whole) {
		return 0, fmt.Errorf("it must be a size such as 512MiB or 1GiB")
	}
	return int64(whole), nil
}

// vcpus is a flag of a number of vCPUs in thousandths, as 2 or 0.5.
type vcpus int64

func (v *vcpus) String() string { return vcpuText(int64(*v)) }
func (v *vcpus) Type() string   { return "vCPU" }
func (v *vcpus) Set(text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 1e6 || math.IsNaN(n) {
		return fmt.Errorf("it must be a number of vCPUs such as 4 or 0.5")
	}
	*v = vcpus(math.Round(n * 1000))
	return nil
}

// moment is a flag of a time: RFC 3339, YYYY-MM-DD or YYYY-MM, UTC.
type moment struct{ time.Time }

func (m *moment) String() string { return "" }
func (m *moment) Type() string   { return "time" }
func (m *moment) Set(s string) error {
	for _, layout := range []string{time.RFC3339, time.DateOnly, "2006-01"} {
		if t, err := time.Parse(layout, s); err == nil {
			m.Time = t.UTC()
			return nil
		}
	}
	return fmt.Errorf("it must look like 2026-01-31 or 2026-01-31T12:00:00Z")
}

// span is a flag of a duration that knows days: 90s, 1h, 30d.
type span time.Duration

func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return time.Duration(*s).String()
}
func (s *span) Type() string { return "duration" }

// seconds is the duration in whole seconds, none of it lost.
func (s span) seconds() int { return int((time.Duration(s) + time.Second - 1) / time.Second) }

func (s *span) Set(text string) error {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return fmt.Errorf("it must be a duration such as 90s, 1h or 30d")
		}
		*s = span(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("it must be a duration such as 90s, 1h or 30d")
	}
	*s = span(d)
	return nil
}

func sizeNames() []string {
	var names []string
	for _, s := range api.Sizes() {
		names = append(names, s.Name)
	}
	return names
}

// noWaitFlag gives a verb that changes something the flag --no-wait.
func (c *cli) noWaitFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.flags.noWait, "no-wait", false, "answer at once instead of waiting until it is done; default: wait")
	return cmd
}
