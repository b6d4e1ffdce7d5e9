package rest

import (
	"context"

	"nuage/api"
)

func (f *face) volumeRoutes() []route {
	single := "/v1/projects/{project}/volumes/{name}/"
	attach := AttachRequest{Attachment: api.Attachment{Instance: "web", Path: "/data"}, Restart: true}
	return []route{
		{post, single + "attach", anyToken, "volumes", "attach-volume", "Put a volume at a path of an instance", handle(f.attach, example(attach))},
		{post, single + "detach", anyToken, "volumes", "detach-volume", "Take a volume from its instance", handle(f.detach, example(DetachRequest{Restart: true}))},
	}
}

// AttachRequest is the body of an attach.
type AttachRequest struct {
	api.Attachment
	Restart bool `json:"restart,omitempty" doc:"true: a running instance may be restarted for it"`
}

// DetachRequest is the body of a detach.
type DetachRequest struct {
	Restart bool `json:"restart,omitempty" doc:"true: a running instance may be restarted for it"`
}

type attachInput struct {
	Named
	Waiting
	Body AttachRequest
}

type detachInput struct {
	Named
	Waiting
	Body *DetachRequest
}

func (f *face) attach(ctx context.Context, in *attachInput) (*object[api.Volume], error) {
	v, err := f.Cloud.Volumes.Attach(ctx, in.Project, in.Name, in.Body.Attachment, in.Body.Restart)
	if err != nil {
		return nil, err
	}
	return answerObject(settle(ctx, f.Cloud.Volumes, in.Named, in.Wait.limit, v))
}

func (f *face) detach(ctx context.Context, in *detachInput) (*object[api.Volume], error) {
	restart := in.Body != nil && in.Body.Restart
	v, err := f.Cloud.Volumes.Detach(ctx, in.Project, in.Name, restart)
	if err != nil {
		return nil, err
	}
	return answerObject(settle(ctx, f.Cloud.Volumes, in.Named, in.Wait.limit, v))
}
