package client

import (
	"context"
	"net/http"

	"nuage/api"
)

// messages are what is in queues, over HTTP.
type messages struct{ c *conn }

func (m messages) at(project, queue string, more ...string) string {
	return path(append([]string{"projects", project, "queues", queue}, more...)...)
}

func (m messages) Send(ctx context.Context, project, queue string, n api.NewMessage) (api.Message, error) {
	return ask[api.Message](ctx, m.c, request{method: http.MethodPost, path: m.at(project, queue, "messages"), in: n})
}

func (m messages) Receive(ctx context.Context, project, queue string, q api.ReceiveQuery) (api.List[api.Message], error) {
	return ask[api.List[api.Message]](ctx, m.c, request{method: http.MethodPost, path: m.at(project, queue, "receive"), in: q})
}

func (m messages) Acknowledge(ctx context.Context, project, queue, handle string) error {
	return m.c.call(ctx, request{method: http.MethodDelete, path: m.at(project, queue, "messages", handle)}, nil)
}

func (m messages) Extend(ctx context.Context, project, queue, handle string, visibilitySeconds int64) (api.Message, error) {
	in := struct {
		Seconds int64 `json:"visibilitySeconds"`
	}{visibilitySeconds}
	return ask[api.Message](ctx, m.c, request{method: http.MethodPost, path: m.at(project, queue, "messages", handle, "extend"), in: in})
}

func (m messages) Purge(ctx context.Context, project, queue string) (int, error) {
	return m.moved(ctx, m.at(project, queue, "purge"))
}

func (m messages) Redrive(ctx context.Context, project, queue string) (int, error) {
	return m.moved(ctx, m.at(project, queue, "redrive"))
}

// moved posts and answers how many messages that was about.
func (m messages) moved(ctx context.Context, path string) (int, error) {
	type moved struct {
		Messages int `json:"messages"`
	}
	n, err := ask[moved](ctx, m.c, request{method: http.MethodPost, path: path})
	return n.Messages, err
}
