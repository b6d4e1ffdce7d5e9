package controlplane

import (
	"context"
	"time"

	"nuage/api"
)

// Reclaim takes a spot instance back.
func (r instances) Reclaim(ctx context.Context, project, name string, _ time.Duration) (api.Instance, error) {
	i, err := r.Get(ctx, project, name)
	if err == nil && !i.Spec.Spot {
		err = api.Errorf(api.Conflict, "cannot reclaim instance %q: it is no spot instance", name)
	}
	return i, err
}
