package rest

import (
	"context"
	"net/http"

	"nuage/api"
)

func (f *face) messageRoutes() []route {
	queue := "/v1/projects/{project}/queues/{name}"
	one := queue + "/messages/{handle}"
	return []route{
		{post, queue + "/messages", anyToken, "queues", "send-message", "Send a message",
			handle(f.sendMessage, example(api.NewMessage{Body: "hello", Attributes: map[string]string{"color": "blue"}}), status(http.StatusCreated))},
		{post, queue + "/receive", anyToken, "queues", "receive-messages", "Receive messages; they come again unless they are acknowledged",
			handle(f.receiveMessages, example(api.ReceiveQuery{Max: 10, WaitSeconds: 20}))},
		{del, one, anyToken, "queues", "acknowledge-message", "Remove a received message for good", handle(f.acknowledgeMessage, status(http.StatusNoContent))},
		{post, one + "/extend", anyToken, "queues", "extend-message", "Let a received message come again this long from now",
			handle(f.extendMessage, example(map[string]any{"visibilitySeconds": 60}))},
		{post, queue + "/purge", anyToken, "queues", "purge-queue", "Remove all messages of a queue", handle(f.purgeQueue)},
		{post, queue + "/redrive", anyToken, "queues", "redrive-queue", "Move dead letters back to the queues they came from", handle(f.redriveQueue)},
	}
}

type HandleInput struct {
	Named
	Handle string `path:"handle" maxLength:"100" doc:"receipt handle that a receive answered"`
}

// ExtendRequest is the body of an extension.
type ExtendRequest struct {
	VisibilitySeconds int64 `json:"visibilitySeconds" minimum:"0" maximum:"43200" doc:"0: it can be received at once"`
}

// Moved is how many messages something was done with.
type Moved struct {
	Messages int `json:"messages"`
}

func (f *face) sendMessage(ctx context.Context, in *struct {
	Named
	Body api.NewMessage
}) (*body[api.Message], error) {
	return one(f.Cloud.Messages.Send(ctx, in.Project, in.Name, in.Body))
}

func (f *face) receiveMessages(ctx context.Context, in *struct {
	Named
	Body api.ReceiveQuery
}) (*body[api.List[api.Message]], error) {
	return list(f.Cloud.Messages.Receive(ctx, in.Project, in.Name, in.Body))
}

func (f *face) acknowledgeMessage(ctx context.Context, in *HandleInput) (*nothing, error) {
	return done(f.Cloud.Messages.Acknowledge(ctx, in.Project, in.Name, in.Handle))
}

func (f *face) extendMessage(ctx context.Context, in *struct {
	HandleInput
	Body ExtendRequest
}) (*body[api.Message], error) {
	return one(f.Cloud.Messages.Extend(ctx, in.Project, in.Name, in.Handle, in.Body.VisibilitySeconds))
}

func (f *face) purgeQueue(ctx context.Context, in *Named) (*body[Moved], error) {
	n, err := f.Cloud.Messages.Purge(ctx, in.Project, in.Name)
	return one(Moved{n}, err)
}

func (f *face) redriveQueue(ctx context.Context, in *Named) (*body[Moved], error) {
	n, err := f.Cloud.Messages.Redrive(ctx, in.Project, in.Name)
	return one(Moved{n}, err)
}
