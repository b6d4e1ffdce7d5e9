package rest

import (
	"context"

	"nuage/api"
)

func (f *face) instanceRoutes() []route {
	single := "/v1/projects/{project}/instances/{name}/"
	return []route{
		{post, single + "start", anyToken, "instances", "start-instance", "Switch an instance on", handle(f.power(api.PowerStart))},
		{post, single + "stop", anyToken, "instances", "stop-instance", "Switch an instance off", handle(f.power(api.PowerStop))},
		{post, single + "reboot", anyToken, "instances", "reboot-instance", "Restart an instance", handle(f.power(api.PowerReboot))},
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
