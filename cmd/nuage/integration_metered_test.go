package main

import (
	"testing"
	"time"

	"nuage/api"
)

// testMetered stops, starts and kills a machine with a disk, and the cloud between. Each start and stop is on record to the
// millisecond of the engine's clock; stopped, the machine costs its disk alone.
func testMetered(t *testing.T, c *liveCloud) {
	c.do(t, "volume", "create", "kept", "--size", "1GiB")
	c.machines(t, "meter --volume kept:/kept")
	id := show[api.Instance](t, c, "instance", "meter").ID
	var runs []time.Duration // that have ended
	began := c.only(t, id).State.StartedAt
	ended := func() { runs = append(runs, c.only(t, id).State.FinishedAt.Sub(began)) }
	c.do(t, "instance", "exec", "meter", "--", "sleep 1")
	c.do(t, "instance", "stop", "meter")
	ended()
	c.checkMetered(t, "meter", runs, 0)
	c.kill()
	c.up(t)
	disk := c.metered(t, "kept", "volume-storage")
	c.checkMetered(t, "meter", runs, 0)
	if later := c.metered(t, "kept", "volume-storage"); disk.runs != 1 || disk.open != 1 || later.total <= disk.total {
		t.Errorf("beside a stopped machine its disk is metered as %+v, then %+v", disk, later)
	}
	c.do(t, "instance", "start", "meter")
	began = c.only(t, id).State.StartedAt
	c.kill()
	dockerCLI(t, "kill", c.only(t, id).ID)
	ended()
	c.up(t)
	eventually(t, 20*time.Second, "the machine is back", c.running("meter", 1))
	c.checkMetered(t, "meter", runs, time.Since(c.only(t, id).State.StartedAt))
	c.do(t, "instance", "delete", "meter")
	c.do(t, "volume", "delete", "kept")
}

// meterReading is what was metered of one thing under one meter.
type meterReading struct {
	total      int64 // in the meter's unit
	runs, open int
}

func (c *liveCloud) metered(t *testing.T, resource, meter string) meterReading {
	t.Helper()
	var usage api.List[api.Usage]
	if err := c.read("/v1/usage?limit=1000&resource="+resource, &usage); err != nil {
		t.Fatal(err)
	}
	var m meterReading
	for _, u := range usage.Items {
		if u.Meter == meter {
			m.total += u.Quantity
			m.runs++
			if u.Open {
				m.open++
			}
		}
	}
	return m
}

// checkMetered compares what is metered of a machine and of its public address with the engine's clock; since is how long its
// last run goes on, 0 for a stopped machine.
func (c *liveCloud) checkMetered(t *testing.T, name string, ended []time.Duration, since time.Duration) {
	t.Helper()
	want, runs := since, len(ended)
	for _, d := range ended {
		want += d
	}
	open := 0
	if since > 0 {
		open = 1
	}
	for _, meter := range []string{"instance-hours:nano", "public-address-hours"} {
		m := c.metered(t, name, meter)
		if got := time.Duration(m.total) * time.Millisecond; (got-want).Abs() > 400*time.Millisecond || m.runs != runs+open || m.open != open {
			t.Errorf("%s: %s in %d runs of which %d are open, want %s in %d and %d", meter, got, m.runs, m.open, want, runs+open, open)
		}
	}
}
