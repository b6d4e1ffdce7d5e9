package rest

import (
	"context"
	"time"

	"nuage/api"
)

func (f *face) instanceRoutes() []route {
	single := "/v1/projects/{project}/instances/{name}/"
	return []route{
		{post, single + "start", anyToken, "instances", "start-instance", "Switch an instance on", handle(f.power(api.PowerStart))},
		{post, single + "stop", anyToken, "instances", "stop-instance", "Switch an instance off", handle(f.power(api.PowerStop))},
		{post, single + "reboot", anyToken, "instances", "reboot-instance", "Restart an instance", handle(f.power(api.PowerReboot))},
		{post, single + "reclaim", anyToken, "instances", "reclaim-instance", "Take a spot instance back after a notice", handle(f.reclaim, example(ReclaimRequest{"2m"}))},
		{get, single + "metrics", anyToken, "instances", "get-instance-metrics", "Show what an instance uses", handle(f.instanceMetrics)},
	}
}

func (f *face) power(action api.PowerAction) func(context.Context, *oneInput) (*object[api.Instance], error) {
	return func(ctx context.Context, in *oneInput) (*object[api.Instance], error) {
		v, err := f.Cloud.Instances.Power(ctx, in.Project, in.Name, action)
		if err != nil {
			return nil, err
		}
		return answerObject(settle(ctx, f.Cloud.Instances, in.Named, in.Wait.limit, v))
	}
}

// ReclaimRequest is the body of a reclaim.
type ReclaimRequest struct {
	Notice string `json:"notice,omitempty" doc:"how long the instance still has, as 30s; 2m when absent, 1h at most"`
}

// defaultNotice is that of the large clouds.
const defaultNotice = 2 * time.Minute

func (r *ReclaimRequest) notice() (time.Duration, error) {
	if r == nil || r.Notice == "" {
		return defaultNotice, nil
	}
	d, err := time.ParseDuration(r.Notice)
	if err != nil {
		return 0, api.Errorf(api.Invalid, "cannot use the notice %q: give a duration as 30s or 2m", r.Notice)
	}
	return d, nil
}

type reclaimInput struct {
	Named
	Waiting
	Body *ReclaimRequest
}

func (f *face) reclaim(ctx context.Context, in *reclaimInput) (*object[api.Instance], error) {
	notice, err := in.Body.notice()
	if err != nil {
		return nil, err
	}
	v, err := f.Cloud.Instances.Reclaim(ctx, in.Project, in.Name, notice)
	if err != nil {
		return nil, err
	}
	return answerObject(settle(ctx, f.Cloud.Instances, in.Named, in.Wait.limit, v))
}

func (f *face) instanceMetrics(ctx context.Context, in *struct{ Named }) (*body[api.InstanceMetrics], error) {
	return one(f.Cloud.Instances.Metrics(ctx, in.Project, in.Name))
}
