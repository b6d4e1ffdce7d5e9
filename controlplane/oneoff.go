package controlplane

import (
	"context"

	"nuage/api"
	"nuage/compute"
)

// oneOff makes a fresh container of a release's image with its environment, runs a command in it and removes it. It answers the
// command's status. Unsupported: the engine runs nothing.
func (cp *ControlPlane) oneOff(ctx context.Context, l compute.Workload, p compute.Process) (int, error) {
	engine, ok := cp.Engine.(compute.Execer)
	if !ok {
		return 0, api.Errorf(api.Unsupported, "cannot run a command in app %q: the simulator runs nothing; use --engine docker", l.Name)
	}
	l.ID, l.Kind, l.Ports, l.Hostname = cp.NewID("run"), compute.KindHelper, nil, l.Name+"-run"
	l.Entrypoint, l.Command = []string{"/bin/sh", "-c", "sleep 86400"}, []string{}
	cp.helpers.add(l.ID)
	defer streams{cp}.removeHelper(ctx, l.ID)
	if err := cp.Engine.Create(ctx, l); err != nil {
		return 0, err
	}
	if err := cp.Engine.Start(ctx, l.ID); err != nil {
		return 0, err
	}
	return engine.Exec(ctx, l.ID, p)
}
