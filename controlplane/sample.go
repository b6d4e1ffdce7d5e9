package controlplane

import (
	"context"

	"nuage/api"
)

// Metrics returns the newest sample of an instance.
func (r instances) Metrics(ctx context.Context, project, name string) (api.InstanceMetrics, error) {
	if _, err := r.Get(ctx, project, name); err != nil {
		return api.InstanceMetrics{}, err
	}
	return api.InstanceMetrics{}, api.Errorf(api.Unsupported, "cannot measure instance %q: the engine does not measure", name)
}
