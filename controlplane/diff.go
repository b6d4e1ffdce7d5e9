package controlplane

import (
	"slices"
	"time"

	"nuage/compute"
)

// verb is what a step does to one workload.
type verb string

const (
	create  verb = "create"
	start   verb = "start"
	stop    verb = "stop"
	reboot  verb = "reboot"
	remove  verb = "remove"
	replace verb = "replace" // remove, and the next pass creates
	update  verb = "update"
	joining verb = "join"   // into further networks, and out of others
	rebase  verb = "rebase" // stop, commit the root disk, remove, and the next pass creates from it
)

// step is one change that brings the world nearer to what is wanted.
type step struct {
	verb     verb
	workload compute.Workload // as wanted; for a removal only ID, Owner, Kind and Name are set
	observed compute.Observed
}

// timeout bounds a step: an image may have to be pulled or a machine to shut down.
func (s step) timeout() time.Duration {
	switch s.verb {
	case update, joining:
		return 30 * time.Second
	case rebase:
		return 15 * time.Minute // a root disk is copied
	}
	return 2 * time.Minute
}

// swept tells which kinds the loop removes when nobody wants them. Sandboxes belong to the function runtime.
func swept(kind string) bool {
	switch kind {
	case compute.KindInstance, compute.KindApp, compute.KindDatabase:
		return true
	}
	return false
}

// diff compares what is wanted with what is there: at most one step a workload. reboots names instances to boot again.
// protected names owners whose records cannot be read: nothing of theirs is touched.
func diff(wanted []compute.Workload, observed map[string]compute.Observed, reboots, protected map[string]bool) []step {
	var steps []step
	known := make(map[string]bool, len(wanted))
	for _, w := range wanted {
		known[w.ID] = true
		o, there := observed[w.ID]
		if v := change(w, o, there, reboots[w.ID]); v != "" {
			steps = append(steps, step{verb: v, workload: w, observed: o})
		}
	}
	for id, o := range observed {
		if !known[id] && swept(o.Kind) && !protected[o.Owner] {
			steps = append(steps, step{verb: remove, observed: o,
				workload: compute.Workload{ID: id, Owner: o.Owner, Kind: o.Kind, Project: o.Project, Name: o.Name}})
		}
	}
	return steps
}

// change says what to do about one wanted workload, "" for nothing.
func change(w compute.Workload, o compute.Observed, there, again bool) verb {
	switch {
	case !there && !w.Running && w.Kind != compute.KindInstance:
		return ""
	case !there:
		return create
	case o.State == compute.StateDead: // half removed by somebody else
		return remove
	case o.Template != w.Template() && w.Kind != compute.KindInstance: // an instance's root disk is data
		return replace
	case remounts(w, o):
		return rebase
	case w.Running && o.State == compute.StateRunning && again:
		return reboot
	case w.Running && o.State != compute.StateRunning:
		return start
	case !w.Running && o.State == compute.StateRunning:
		return stop
	case o.State == compute.StateRunning && !slices.Equal(o.Joined, w.Joined):
		return joining
	case o.Limits != w.Limits:
		return update
	}
	return ""
}
