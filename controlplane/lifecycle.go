package controlplane

import (
	"context"
	"errors"
	"strconv"
	"time"

	"nuage/api"
	"nuage/controlplane/events"
	"nuage/storage"
)

// lifecycleKey is the setting with the sequence of the first activity that was not looked at for events yet.
const lifecycleKey = "lifecycle-next"

// lifecycleStep is how many activities are looked at in one go.
const lifecycleStep = 1000

// lifecycle makes events of activities: what is recorded is told to the triggers that wait for it. Where it is, is durable with
// what was told, so that after a kill nothing is left out and nothing comes twice.
func (h *eventHub) lifecycle(ctx context.Context) {
	var next uint64
	for !h.try(ctx, "events of the life of things", func() (err error) { next, err = h.cp.lifecycleNext(); return err }) {
		if h.isStopped() {
			return
		}
	}
	for {
		happened := h.recorded.next()
		more := false
		ok := h.try(ctx, "events of the life of things", func() (err error) { next, more, err = h.cp.tellLifecycle(next); return err })
		if more || !ok {
			happened = closedChannel()
		}
		if !h.pause(ctx, happened, time.Time{}) {
			return
		}
	}
}

// lifecycleNext is where the last process came to; a new cloud begins with what comes.
func (cp *ControlPlane) lifecycleNext() (next uint64, err error) {
	err = cp.Store.View(func(tx *storage.Tx) error {
		s, err := settingTable.Get(tx, lifecycleKey)
		if errors.Is(err, api.NotFound) {
			next = 0
			return nil
		}
		if err == nil {
			next, err = strconv.ParseUint(string(s.Value), 10, 64)
		}
		return err
	})
	return next, err
}

// tellLifecycle looks at the next activities. A trigger gets what came since it was made.
func (cp *ControlPlane) tellLifecycle(from uint64) (next uint64, more bool, err error) {
	var told []api.Activity
	var waiting []api.Trigger
	next = from
	err = cp.Store.View(func(tx *storage.Tx) error {
		err := triggerTable.Each(tx, "", func(t api.Trigger) error {
			if len(t.Spec.Events) > 0 {
				waiting = append(waiting, t)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(waiting) == 0 {
			next = activityLog.End(tx)
			return nil
		}
		return activityLog.Each(tx, from, 0, func(e storage.Entry[api.Activity]) error {
			next = e.Sequence + 1
			told = append(told, e.Value)
			if more = len(told) == lifecycleStep; more {
				return storage.Stop
			}
			return nil
		})
	})
	if err != nil {
		return from, false, err
	}
	if !anyoneWaits(waiting, told) {
		return next, more, nil // nothing to write down: the same is found again after a kill
	}
	err = cp.Store.Commit(context.Background(), func(tx *storage.Tx) error {
		for _, a := range told {
			for _, t := range waiting {
				e, ok := waitsFor(t, a)
				if !ok || !triggerTable.Has(tx, t.ID) {
					continue
				}
				if _, err := cp.tell(tx, t, e); err != nil {
					return err
				}
			}
		}
		return settingTable.Put(tx, setting{Key: lifecycleKey, Value: []byte(strconv.FormatUint(next, 10))})
	})
	if err != nil {
		return from, false, err
	}
	return next, more, nil
}

func anyoneWaits(waiting []api.Trigger, told []api.Activity) bool {
	for _, a := range told {
		for _, t := range waiting {
			if _, ok := waitsFor(t, a); ok {
				return true
			}
		}
	}
	return false
}

// waitsFor is the event that an activity is for a trigger.
func waitsFor(t api.Trigger, a api.Activity) (api.CloudEvent, bool) {
	if a.Project != t.Project || a.Time.Before(t.CreatedAt) {
		return api.CloudEvent{}, false
	}
	e, ok := events.Lifecycle(a)
	return e, ok && events.MatchesType(t.Spec.Events, e.Type)
}
