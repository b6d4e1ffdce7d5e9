package controlplane

import (
	"context"
	"fmt"
	"math"
	"time"

	"nuage/api"
	"nuage/controlplane/ingress"
	"nuage/storage"
)

const (
	idleAfter     = 5 * time.Minute // without a request an app goes to zero, where it has no other time
	scaleCooldown = time.Minute
	holdMost      = 100 // requests that wait for an app that wakes
	holdFor       = 30 * time.Second
)

func checkScaling(name string, s *api.AppScaling) error {
	switch {
	case s == nil:
		return nil
	case s.Min < 0 || s.Max < max(1, s.Min) || s.Max > 50:
		return api.Errorf(api.Invalid, "cannot scale app %q between %d and %d replicas: 0 to 50 is possible, and max is at least 1 and min", name, s.Min, s.Max)
	case s.RPS < 0 || s.CPU < 0 || s.CPU > 100:
		return api.Errorf(api.Invalid, "cannot scale app %q by %d requests per second or %d%% cpu: give a number above 0, and cpu up to 100", name, s.RPS, s.CPU)
	case s.RPS > 0 && s.CPU > 0:
		return api.Errorf(api.Invalid, "cannot scale app %q by requests and by cpu: give one of them", name)
	case s.IdleSeconds < 0 || s.CooldownSeconds < 0 || s.CooldownSeconds > 3600:
		return api.Errorf(api.Invalid, "cannot scale app %q with idle %d s and cooldown %d s: give 0 or more, and cooldown up to an hour", name, s.IdleSeconds, s.CooldownSeconds)
	}
	return nil
}

// scalingText says how an app is scaled.
func scalingText(s api.AppSpec) string {
	switch c := s.Scaling; {
	case c == nil:
		return fmt.Sprintf("%d replicas", *s.Replicas)
	case c.RPS > 0:
		return fmt.Sprintf("%d to %d replicas by %d requests/s a replica", c.Min, c.Max, c.RPS)
	case c.CPU > 0:
		return fmt.Sprintf("%d to %d replicas by %d%% cpu", c.Min, c.Max, c.CPU)
	default:
		return fmt.Sprintf("%d to %d replicas by whether there are requests", c.Min, max(1, c.Min))
	}
}

// beginScaling sets the number of replicas that scaling starts from: what there are, within its bounds.
func beginScaling(old, next *api.App) {
	s := next.Spec.Scaling
	switch {
	case s == nil:
		next.Status.Desired, next.Status.ScaledAt = 0, nil
		return
	case old == nil || old.Spec.Scaling == nil:
		next.Status.Desired, next.Status.ScaledAt = *next.Spec.Replicas, nil
	}
	if next.Status.Desired > 0 || s.Min > 0 {
		next.Status.Desired = min(max(next.Status.Desired, s.Min), s.Max)
	}
}

// replicasOf is how many replicas each release of an app that serves shall have.
func replicasOf(a api.App) int {
	if a.Spec.Scaling != nil {
		return a.Status.Desired
	}
	return *a.Spec.Replicas
}

// sleeps tells that scaling left an app without replicas, until the next request.
func sleeps(a api.App) bool { return a.Spec.Scaling != nil && a.Status.Desired == 0 }

// appDemand is what an app's scaling looks at.
type appDemand struct {
	ingress.Demand
	cpu      float64 // of all replicas, in percent of one
	measured int     // replicas of which cpu is known
	up       int     // replicas that are healthy
}

// desiredReplicas is how many replicas there shall be, and why that is another number than before. It is a function of what it is given.
func desiredReplicas(a api.App, d appDemand, now time.Time) (n int, reason string) {
	s, was := a.Spec.Scaling, a.Status.Desired
	switch {
	case was == 0 && d.Held > 0:
		return max(1, s.Min), "a request waits"
	case was == 0:
		return s.Min, "min is " + itoa(s.Min)
	case s.Min == 0 && d.InFlight == 0 && !now.Before(d.Last.Add(idleTime(s))):
		return 0, fmt.Sprintf("no request for %s", idleTime(s))
	case s.RPS == 0 && s.CPU == 0:
		return max(1, s.Min), "without a target min is kept"
	}
	t := tracking{min: max(1, s.Min), max: s.Max, was: was, scaledAt: a.Status.ScaledAt, cooldown: cooldownOf(s)}
	load, target := "", ""
	if s.RPS > 0 {
		t.load, t.target, t.steady = d.Rate, float64(s.RPS), d.up >= was && now.Sub(d.Since) >= ingress.RateWindow
		load, target = rateText(d.Rate)+" requests/s", fmt.Sprintf("%d a replica, of %d", s.RPS, was)
	} else {
		if d.measured == 0 {
			return was, ""
		}
		t.load, t.target, t.steady = d.cpu, float64(s.CPU), d.measured == was && d.up >= was
		load, target = "cpu "+percentText(d.cpu/float64(d.measured), t.target), fmt.Sprintf("%d%% for 60 s", s.CPU)
	}
	n = t.next(now)
	return n, overOrUnder(n, was, load, target)
}

func rateText(rate float64) string {
	if rate >= 10 {
		return fmt.Sprintf("%.0f", rate)
	}
	return fmt.Sprint(math.Round(rate*10) / 10)
}

func idleTime(s *api.AppScaling) time.Duration {
	if s.IdleSeconds == 0 {
		return idleAfter
	}
	return time.Duration(s.IdleSeconds) * time.Second
}

func cooldownOf(s *api.AppScaling) time.Duration {
	if s.CooldownSeconds == 0 {
		return scaleCooldown
	}
	return time.Duration(s.CooldownSeconds) * time.Second
}

// scaleApps has every app that is scaled by the cloud have as many replicas as its load asks for.
func (cp *ControlPlane) scaleApps(ctx context.Context, w *world) {
	for _, a := range w.apps {
		if a.Spec.Scaling == nil || a.DeletedAt != nil || w.damaged[a.ID] || a.Status.Release == 0 {
			continue
		}
		d := cp.demand(w, a)
		if a.Status.Desired > 0 && a.Spec.Scaling.Min == 0 && w.real {
			cp.loop.dueAt(d.Last.Add(idleTime(a.Spec.Scaling)))
		}
		if n, reason := desiredReplicas(a, d, w.at); n != a.Status.Desired {
			cp.loop.dispatch(ctx, a.ID+"/scale", time.Minute, func(context.Context) error { return cp.scaleApp(a, n, reason) })
		}
	}
}

// demand is what is asked of an app now.
func (cp *ControlPlane) demand(w *world, a api.App) appDemand {
	d := appDemand{Demand: cp.Edge.Demand(hostName(a.Name, a.Project, "app"))}
	for n := range replicasOf(a) {
		l := w.replica(a, w.releases[releaseKey(a.ID, a.Status.Release)], n)
		if phase, _ := w.replicaPhase(l); phase == api.Running {
			d.up++
		}
		if percent, known := cp.samples.percent(l.ID); known {
			d.cpu += percent
			d.measured++
		}
	}
	return d
}

// scaleApp commits another number of replicas, unless the app has changed since it was looked at.
func (cp *ControlPlane) scaleApp(a api.App, n int, reason string) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		now, err := appTable.Get(tx, a.ID)
		if err != nil || now.DeletedAt != nil || !same(now.Spec.Scaling, a.Spec.Scaling) || now.Status.Desired != a.Status.Desired {
			return ignoreGone(err)
		}
		at := cp.Now().UTC()
		now.Status.Desired, now.Status.ScaledAt = n, &at
		if err := appTable.Put(tx, now); err != nil {
			return err
		}
		return cp.record(tx, platform("scaling"), "app", &now.Meta, "scale", fmt.Sprintf("%s: %d to %d replicas", reason, a.Status.Desired, n))
	})
}
