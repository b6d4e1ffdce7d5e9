package controlplane

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nuage/api"
	"nuage/compute/sim"
	"nuage/storage"
)

// spotScene runs a script in fake time; chance is what Random answers where a rate is set.
func spotScene(t *testing.T, rate float64, chance func() float64, script func(t *testing.T, s *scene)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{truth: &truth{open: map[string]time.Time{}, ran: map[string]time.Duration{}}}
		s.setup = setup{dir: dir, host: sim.NewState(), spotRate: rate, chance: chance}
		var err error
		s.plane, err = s.setup.start()
		must(t, err)
		script(t, s)
		must(t, s.stop())
	})
}

// told are the activities of an instance with a verb.
func (p *plane) told(t *testing.T, verb string) string {
	t.Helper()
	list, err := p.cloud.Activities.List(asCustomer(), api.ActivityQuery{Page: api.Page{Limit: 1000}})
	must(t, err)
	var out []string
	for _, a := range list.Items {
		if a.Verb == verb {
			out = append(out, fmt.Sprintf("%s %s: %s %s %s: %s", a.Actor.Kind, a.Actor.Name, a.Verb, a.Noun, a.Resource, a.Detail))
		}
	}
	return strings.Join(out, "\n")
}

func TestReclaim(t *testing.T) {
	spotScene(t, 0, nil, func(t *testing.T, s *scene) {
		s.make(t, api.InstanceSpec{Type: "nano", Spot: true})
		began := time.Now()
		time.Sleep(time.Second)
		i, err := s.cloud.Instances.Reclaim(asCustomer(), "default", "x", 2*time.Minute)
		must(t, err)
		at := began.Add(121 * time.Second).UTC()
		if i.Status.Reclaim == nil || !i.Status.Reclaim.Equal(at) {
			t.Errorf("the answer says %v, want %v", i.Status.Reclaim, at)
		}
		time.Sleep(time.Second)
		i, err = s.cloud.Instances.Get(asCustomer(), "default", "x")
		must(t, err)
		want := "spot: taken back at " + clockText(at) + ", its volumes are kept; simulated: no guest, so no SSH"
		if i.Status.Phase != api.Running || i.Status.Reason != want {
			t.Errorf("the instance is %s (%s), want running (%s)", i.Status.Phase, i.Status.Reason, want)
		}
		w, err := s.read()
		must(t, err)
		if m := w.metadata(i); m.Reclaim == nil || !m.Reclaim.Equal(at) || !m.Spot {
			t.Errorf("its metadata says %+v", m)
		}
		must(t, s.restart(true)) // kill -9 keeps the notice
		time.Sleep(100 * time.Second)
		if _, err := s.cloud.Instances.Get(asCustomer(), "default", "x"); err != nil {
			t.Errorf("before its time it is gone: %v", err)
		}
		time.Sleep(20 * time.Second)
		if _, err := s.cloud.Instances.Get(asCustomer(), "default", "x"); api.CodeOf(err) != api.NotFound {
			t.Errorf("after its time it is still there: %v", err)
		}
		notice := "platform spot: reclaim-notice instance x: taken back at " + clockText(at) + ", asked for by me"
		if got := s.told(t, "reclaim-notice"); got != notice {
			t.Errorf("recorded is %q, want %q", got, notice)
		}
		if got, want := s.told(t, "reclaim"), "platform spot: reclaim instance x: its notice has ended; its volumes are kept"; got != want {
			t.Errorf("recorded is %q, want %q", got, want)
		}
		all, err := s.usage("")
		must(t, err)
		if got, want := spoken(all, began), "public-address-hours 0-121, spot-hours:nano 0-121"; got != want {
			t.Errorf("metered is %q, want %q", got, want)
		}
	})
}

// TestReclaimWhileAway: a notice that ends while no control plane runs is seen to by the next one.
func TestReclaimWhileAway(t *testing.T) {
	spotScene(t, 0, nil, func(t *testing.T, s *scene) {
		s.make(t, api.InstanceSpec{Type: "nano", Spot: true})
		time.Sleep(time.Second)
		_, err := s.cloud.Instances.Reclaim(asCustomer(), "default", "x", time.Minute)
		must(t, err)
		must(t, s.stop())
		time.Sleep(time.Hour)
		s.plane, err = s.setup.start()
		must(t, err)
		time.Sleep(time.Second)
		if _, err := s.cloud.Instances.Get(asCustomer(), "default", "x"); api.CodeOf(err) != api.NotFound {
			t.Errorf("it is still there: %v", err)
		}
	})
}

func TestReclaimRefusals(t *testing.T) {
	spotScene(t, 0, nil, func(t *testing.T, s *scene) {
		s.make(t, api.InstanceSpec{Type: "nano"})
		_, err := s.cloud.Instances.Create(asCustomer(), "default", "spot", api.InstanceSpec{Spot: true})
		must(t, err)
		time.Sleep(time.Second)
		for _, c := range []struct {
			name   string
			notice time.Duration
			code   api.Code
			text   string
		}{
			{"nobody", 0, api.NotFound, `cannot find instance "nobody" in project "default"`},
			{"x", 0, api.Conflict, `cannot reclaim instance "x": it is no spot instance`},
			{"spot", -1, api.Invalid, `cannot reclaim instance "spot" with a notice of -1ns: 0s to 1h0m0s is possible`},
			{"spot", 2 * time.Hour, api.Invalid, `cannot reclaim instance "spot" with a notice of 2h0m0s: 0s to 1h0m0s is possible`},
		} {
			_, err := s.cloud.Instances.Reclaim(asCustomer(), "default", c.name, c.notice)
			if api.CodeOf(err) != c.code || err.Error() != c.text {
				t.Errorf("%s %s: the answer is %v", c.name, c.notice, err)
			}
		}
		spec := api.InstanceSpec{Spot: false}
		if _, err := s.cloud.Instances.Update(asCustomer(), "default", "spot", spec, 0); api.CodeOf(err) != api.Conflict {
			t.Errorf("spot can be changed: %v", err)
		}
		// A longer notice changes nothing, a shorter one hastens it.
		for _, c := range []struct{ notice, want time.Duration }{{time.Minute, time.Minute}, {time.Hour, time.Minute}, {time.Second, time.Second}} {
			i, err := s.cloud.Instances.Reclaim(asCustomer(), "default", "spot", c.notice)
			must(t, err)
			if got := time.Until(*i.Status.Reclaim); got != c.want {
				t.Errorf("after a notice of %s it is taken back in %s, want %s", c.notice, got, c.want)
			}
		}
		if got := strings.Count(s.told(t, "reclaim-notice"), "\n") + 1; got != 2 {
			t.Errorf("%d notices are recorded, want 2", got)
		}
		must(t, s.cloud.Instances.Delete(asCustomer(), "default", "spot", 0))
		if _, err := s.cloud.Instances.Reclaim(asCustomer(), "default", "spot", 0); api.CodeOf(err) != api.Conflict {
			t.Errorf("of one that is being deleted the answer is %v", err)
		}
	})
}

// TestReclaimByChance: only running spot instances are drawn, once, with the chance that the rate says.
func TestReclaimByChance(t *testing.T) {
	for _, c := range []struct {
		rate   float64
		chance float64
		gone   bool
	}{{0, 0, false}, {3600, 0.99, true}, {36, 0.049, false}, {36, 0.048, true}} { // 36 an hour are 5% in 5 s: 1-exp(-0.05) = 0.0488
		drawn := 0
		spotScene(t, c.rate, func() float64 { drawn++; return c.chance }, func(t *testing.T, s *scene) {
			s.make(t, api.InstanceSpec{Type: "nano", Spot: true})
			for _, name := range []string{"plain", "off"} {
				_, err := s.cloud.Instances.Create(asCustomer(), "default", name, api.InstanceSpec{Spot: name == "off", Stopped: name == "off"})
				must(t, err)
			}
			time.Sleep(2 * time.Minute)
			if got := s.there(t); (got == "off plain") != c.gone || !c.gone && got != "off plain x" {
				t.Errorf("at %v an hour and a draw of %v there are %q", c.rate, c.chance, got)
			}
			if c.gone && drawn > 2 {
				t.Errorf("%d draws were made", drawn)
			}
			want := "the cloud needs its capacity back"
			if got := s.told(t, "reclaim-notice"); c.gone != strings.HasSuffix(got, want) {
				t.Errorf("recorded is %q", got)
			}
		})
	}
}

// there names the instances there are.
func (p *plane) there(t *testing.T) string {
	t.Helper()
	var names []string
	must(t, p.Store.View(func(tx *storage.Tx) error {
		return instanceTable.EachBy(tx, "name", "", func(i api.Instance) error { names = append(names, i.Name); return nil })
	}))
	return strings.Join(names, " ")
}
