package controlplane

import (
	"context"

	"nuage/api"
	"nuage/compute"
)

// scratchesAtOnce is how many scratch servers there are at most: ten backups that are due at once shall not start ten servers.
const scratchesAtOnce = 2

// scratches lets so many in at a time; the others wait their turn.
type scratches chan struct{}

// use runs fn while no more than so many others run. Unavailable: ctx ended before its turn.
func (s scratches) use(ctx context.Context, fn func() error) error {
	select {
	case s <- struct{}{}:
		defer func() { <-s }()
		return fn()
	case <-ctx.Done():
		return api.Errorf(api.Unavailable, "cannot use a scratch server: those there may be at once are taken: %w", ctx.Err())
	}
}

// inScratch runs fn beside a server in a container of its own, which goes with it.
func (cp *ControlPlane) inScratch(ctx context.Context, scratch compute.Workload, fn func(id string) error) error {
	return cp.scratches.use(ctx, func() error {
		cp.helpers.add(scratch.ID)
		defer streams{cp}.removeHelper(ctx, scratch.ID)
		if err := cp.Engine.Create(ctx, scratch); err != nil {
			return err
		}
		if err := cp.Engine.Start(ctx, scratch.ID); err != nil {
			return err
		}
		return fn(scratch.ID)
	})
}
