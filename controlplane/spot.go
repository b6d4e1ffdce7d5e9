package controlplane

import (
	"context"
	"fmt"
	"math"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

const (
	longestNotice = time.Hour
	drawEvery     = 5 * time.Second
	drawMost      = time.Minute // what one draw stands for at most: the time of a control plane that was away is not made up for
)

// Reclaim gives a spot instance notice. It is the operator's verb, and recorded as the platform's work.
func (r instances) Reclaim(ctx context.Context, project, name string, notice time.Duration) (api.Instance, error) {
	actor, err := r.cp.authorize(ctx, project)
	if err != nil {
		return api.Instance{}, err
	}
	if notice < 0 || notice > longestNotice {
		return api.Instance{}, api.Errorf(api.Invalid, "cannot reclaim instance %q with a notice of %s: 0s to %s is possible", name, notice, longestNotice)
	}
	var i api.Instance
	err = r.cp.Store.Update(func(tx *storage.Tx) error {
		if i, err = r.find(tx, project, name); err != nil {
			return err
		}
		if err := r.generation(&i, 0); err != nil {
			return err
		}
		if !i.Spec.Spot {
			return api.Errorf(api.Conflict, "cannot reclaim instance %q: it is no spot instance", name)
		}
		return r.cp.giveNotice(tx, &i, notice, "asked for by "+actor.Name)
	})
	if err != nil {
		return api.Instance{}, err
	}
	r.cp.announce(ctx)
	return i, nil
}

// giveNotice writes down when a spot instance is taken back. An earlier time stays.
func (cp *ControlPlane) giveNotice(tx *storage.Tx, i *api.Instance, notice time.Duration, why string) error {
	m, err := machineTable.Get(tx, i.ID)
	if err != nil {
		return err
	}
	at := cp.Now().UTC().Add(notice)
	if m.Reclaim != nil && !at.Before(*m.Reclaim) {
		return nil
	}
	m.Reclaim, i.Status.Reclaim = &at, &at
	i.Status.Reason = noticed(at, "notice was given")
	if err := machineTable.Put(tx, m); err != nil {
		return err
	}
	if err := instanceTable.Put(tx, *i); err != nil {
		return err
	}
	return cp.record(tx, platform("spot"), "instance", &i.Meta, "reclaim-notice", fmt.Sprintf("taken back at %s, %s", clockText(at), why))
}

// announce hands the notice to the guests' metadata at once; what fails is done by the next pass.
func (cp *ControlPlane) announce(ctx context.Context) {
	w, err := cp.read()
	if err != nil {
		cp.log.Warn("notices are left to the next pass", "error", err)
		return
	}
	cp.guests.refresh(context.WithoutCancel(ctx), w)
}

// noticed adds to the reason of a phase when the instance is taken back.
func noticed(at time.Time, reason string) string {
	return fmt.Sprintf("spot: taken back at %s, its volumes are kept; %s", clockText(at), reason)
}

// clockText is a time of day for people; activities carry the date.
func clockText(at time.Time) string { return at.UTC().Format("15:04:05Z") }

// reclaim deletes the spot instances whose notice has ended, and lets chance give notice to others.
func (cp *ControlPlane) reclaim(ctx context.Context, w *world) {
	for _, i := range w.instances {
		at := w.machines[i.ID].Reclaim
		switch {
		case at == nil || i.DeletedAt != nil || w.damaged[i.ID]:
		case cp.Now().Before(*at):
			cp.loop.dueAt(*at)
		default:
			cp.loop.dispatch(ctx, i.ID+"/reclaim", time.Minute, func(context.Context) error { return cp.takeBack(i.ID) })
		}
	}
	cp.draw(ctx, w)
}

// takeBack marks a spot instance for its deletion, as its owner's delete would.
func (cp *ControlPlane) takeBack(id string) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		i, err := instanceTable.Get(tx, id)
		if err != nil || i.DeletedAt != nil {
			return ignoreGone(err)
		}
		return cp.instances().leave(tx, platform("spot"), i, "reclaim", "its notice has ended; its volumes are kept")
	})
}

// draw gives notice to running spot instances by chance: each is taken back SpotRate times an hour of real time in the
// mean, however often it is drawn.
func (cp *ControlPlane) draw(ctx context.Context, w *world) {
	since := w.at.Sub(cp.drawn)
	if cp.SpotRate <= 0 || since < drawEvery {
		return
	}
	first := cp.drawn.IsZero()
	cp.drawn = w.at
	if first {
		return
	}
	chance := 1 - math.Exp(-cp.SpotRate*min(since, drawMost).Hours())
	for _, i := range w.instances {
		o := w.observed[i.ID]
		if !i.Spec.Spot || i.DeletedAt != nil || o.State != compute.StateRunning || w.machines[i.ID].Reclaim != nil || w.damaged[i.ID] {
			continue
		}
		if cp.Random() < chance {
			cp.loop.dispatch(ctx, i.ID+"/notice", time.Minute, func(ctx context.Context) error { return cp.noticeByChance(ctx, i.ID) })
		}
	}
}

// noticeByChance gives the platform's own notice.
func (cp *ControlPlane) noticeByChance(ctx context.Context, id string) error {
	err := cp.Store.Update(func(tx *storage.Tx) error {
		i, err := instanceTable.Get(tx, id)
		if err != nil || i.DeletedAt != nil {
			return ignoreGone(err)
		}
		return cp.giveNotice(tx, &i, cp.SpotNotice, "the cloud needs its capacity back")
	})
	if err == nil {
		cp.announce(ctx)
	}
	return err
}
