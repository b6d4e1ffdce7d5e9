package main

import (
	"testing"
	"time"
)

func TestAgeText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 119 * time.Minute: "119m",
		2 * time.Hour: "2h", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 400 * 24 * time.Hour: "400d",
	} {
		if got := ageText(d); got != want {
			t.Errorf("ageText(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestMoney(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{amount("1.5", 6), "$1.500000"},
		{amount("0.0000125", 6), "$0.000012"}, // half to even
		{amount("0.0000135", 6), "$0.000014"},
		{amount("0.000000204167", 12), "$0.000000204167"},
		{amount("-2", 6), "$-2.000000"},
		{amount("", 6), ""},
		{price("0.0000166667"), "$0.0000166667"},
		{price("0.2"), "$0.200000"},
		{price("0.20000000"), "$0.200000"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 256 << 20: "256 MiB", 5 << 40: "5 TiB", 5 << 50: "5120 TiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %q, want %q", n, got, want)
		}
	}
	for text, want := range map[string]int64{"7": 7, "1GiB": 1 << 30, "512MiB": 512 << 20, "2G": 2 << 30, "10GB": 10e9, "1KiB": 1024, "512m": 512 << 20, "1gb": 1e9, "1.5GiB": 3 << 29, "0.5k": 512} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("parseBytes(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "+1", "1e3", "0x10", "Inf", "NaN", "1.5", ".3KiB", "1 GiB", "1PiB", "99999999999TiB", "1GiBB"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("parseBytes(%q) = %d, want an error", text, got)
		}
	}
}

func TestMeasuredText(t *testing.T) {
	times := []time.Duration{5, 1, 4, 2, 3}
	for p, want := range map[int]time.Duration{1: 1, 50: 3, 99: 5, 100: 5} {
		if got := percentile(times, p); got != want {
			t.Errorf("percentile %d = %d, want %d", p, got, want)
		}
	}
	if got := millis(12345678 * time.Nanosecond); got != "12.345" {
		t.Errorf("millis = %q", got)
	}
	if got := seconds(2 * time.Second); got != "2.000" {
		t.Errorf("seconds = %q", got)
	}
}

func TestFlagsOfTime(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "1h": time.Hour, "30d": 720 * time.Hour} {
		var s span
		if err := s.Set(text); err != nil || time.Duration(s) != want {
			t.Errorf("span %q = %s, %v, want %s", text, time.Duration(s), err, want)
		}
	}
	for _, text := range []string{"", "d", "-1h", "1y", "99999d"} {
		var s span
		if err := s.Set(text); err == nil {
			t.Errorf("span %q is taken as %s", text, time.Duration(s))
		}
	}
	for text, want := range map[string]string{"2026-02": "2026-02-01 00:00:00", "2026-02-03": "2026-02-03 00:00:00", "2026-02-03T04:05:06+01:00": "2026-02-03 03:05:06"} {
		var m moment
		if err := m.Set(text); err != nil || timeText(m.Time) != want {
			t.Errorf("moment %q = %s, %v, want %s", text, timeText(m.Time), err, want)
		}
	}
}
