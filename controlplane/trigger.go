package controlplane

import (
	"context"

	"nuage/api"
	"nuage/storage"
)

func (cp *ControlPlane) triggers() resource[api.Trigger, api.TriggerSpec] {
	return resource[api.Trigger, api.TriggerSpec]{
		cp: cp, noun: "trigger", prefix: "tr", table: triggerTable,
		status: func(t *api.Trigger) *api.Status { return &t.Status.Status },
		spec:   func(t *api.Trigger) *api.TriggerSpec { return &t.Spec },
		check:  checkTrigger,
		admit:  cp.admitTrigger,
		retire: func(tx *storage.Tx, t *api.Trigger) (bool, error) { return true, cp.setFunctionURL(tx, t, "") },
		done:   func(ctx context.Context, _ *api.Trigger) { cp.loop.catchUp(ctx) },
		verb: func(_, next *api.Trigger) (string, string) {
			return "create", "HTTP calls function " + next.Spec.Function
		},
	}
}

func checkTrigger(_ context.Context, old, next *api.Trigger) error {
	if !next.Spec.HTTP {
		return api.Errorf(api.Invalid, "cannot create trigger %q: say what triggers it; http is what there is", next.Name)
	}
	if old != nil && old.Spec.Function != next.Spec.Function {
		return api.Errorf(api.Conflict, "cannot change the function of trigger %q: create another trigger", next.Name)
	}
	return nil
}

func (cp *ControlPlane) admitTrigger(tx *storage.Tx, _ api.Actor, _, next *api.Trigger) error {
	next.Status.URL = cp.url(next.Spec.Function, next.Project, "fn")
	if err := cp.setFunctionURL(tx, next, next.Status.URL); err != nil {
		return err
	}
	ready(&next.Status.Status, next.Generation, "requests to its URL call the function")
	return triggerTable.EachBy(tx, "name", next.Project+"/", func(t api.Trigger) error {
		if t.Spec.Function == next.Spec.Function && t.ID != next.ID {
			return api.Errorf(api.Conflict, "cannot create trigger %q: trigger %q calls function %q by HTTP already", next.Name, t.Name, t.Spec.Function)
		}
		return nil
	})
}

// setFunctionURL tells in a function's status where its trigger is reached.
func (cp *ControlPlane) setFunctionURL(tx *storage.Tx, t *api.Trigger, url string) error {
	f, err := cp.functions().find(tx, t.Project, t.Spec.Function)
	if err != nil {
		return err
	}
	f.Status.URL = url
	return functionTable.Put(tx, f)
}
