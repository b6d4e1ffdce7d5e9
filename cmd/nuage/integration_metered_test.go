package main

import (
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testMetered stops and starts a machine with a disk. Each start and stop is on record; stopped, it costs its disk alone.
func testMetered(t *testing.T, c *liveCloud) {
	c.do(t, "volume", "create", "kept", "--size", "1GiB")
	c.machines(t, "meter --volume kept:/kept")
	id := show[api.Instance](t, c, "instance", "meter").ID
	first := c.only(t, id).State.StartedAt
	c.do(t, "instance", "stop", "meter")
	stopped := c.only(t, id).State
	want := map[string]time.Duration{"instance-hours:nano": stopped.FinishedAt.Sub(first), "public-address-hours": stopped.FinishedAt.Sub(first)}
	c.checkMetered(t, "meter", want, false)
	volume := c.metered(t, "kept")
	c.checkMetered(t, "meter", want, false)
	if again := c.metered(t, "kept"); len(volume.open) != 1 || again.total["volume-storage"] <= volume.total["volume-storage"] {
		t.Errorf("beside a stopped machine its disk is metered as %+v, then %+v", volume, again)
	}
	c.do(t, "instance", "start", "meter")
	c.checkMetered(t, "meter", want, true)
	c.do(t, "instance", "delete", "meter")
	c.do(t, "volume", "delete", "kept")
}

// meterReading is what was metered of one thing.
type meterReading struct {
	total map[string]int64 // by meter, of all runs, in the meter's unit
	runs  map[string]int
	open  []string // meters that count now
}

func (c *liveCloud) metered(t *testing.T, resource string) meterReading {
	t.Helper()
	var usage api.List[api.Usage]
	if err := c.read("/v1/usage?limit=1000&resource="+resource, &usage); err != nil {
		t.Fatal(err)
	}
	m := meterReading{map[string]int64{}, map[string]int{}, nil}
	for _, u := range usage.Items {
		if u.Resource != resource {
			continue
		}
		m.total[u.Meter] += u.Quantity
		m.runs[u.Meter]++
		if u.Open {
			m.open = append(m.open, u.Meter)
		}
	}
	return m
}

// checkMetered compares closed runs with the engine's clock; running says whether another run is open beside them.
func (c *liveCloud) checkMetered(t *testing.T, name string, closed map[string]time.Duration, running bool) {
	t.Helper()
	m := c.metered(t, name)
	now := time.Now()
	for meter, want := range closed {
		runs := 1
		if running {
			id := show[api.Instance](t, c, "instance", name).ID
			want += now.Sub(c.only(t, id).State.StartedAt)
			runs++
		}
		if got := time.Duration(m.total[meter]) * time.Millisecond; (got-want).Abs() > time.Second || m.runs[meter] != runs {
			t.Errorf("%s: %s of %s in %d runs, want %s in %d", name, got, meter, m.runs[meter], want, runs)
		}
	}
	if got := strings.Count(strings.Join(m.open, " "), ":nano"); (got == 1) != running {
		t.Errorf("%s: open are %v, running is %v", name, m.open, running)
	}
}
