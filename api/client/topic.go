package client

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"

	"nuage/api"
)

// topics are the topics over HTTP.
type topics struct {
	resource[api.Topic, api.TopicSpec]
}

// Publish sends an event in structured mode, or plain data as it is.
func (t topics) Publish(ctx context.Context, project, topic string, e api.CloudEvent) (api.CloudEvent, error) {
	r := request{method: http.MethodPost, path: t.at(project, topic, "publish"), header: http.Header{"Accept": {api.CloudEventType, "application/json"}}, query: url.Values{}}
	data := e.Data
	if e.Type == "" {
		setType(r.header, e.DataContentType)
		for name, value := range e.Extensions {
			r.query.Add("attribute", name+"="+value)
		}
	} else {
		text, err := e.MarshalJSON()
		if err != nil {
			return e, api.Errorf(api.Invalid, "cannot publish to topic %q: %w", topic, err)
		}
		data = text
		setType(r.header, api.CloudEventType)
	}
	r.content = bytes.NewReader(data)
	answer, err := t.c.send(ctx, r)
	if err != nil {
		return e, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return e, t.c.garbled(ctx, err)
	}
	return e, e.UnmarshalJSON(text)
}

func setType(h http.Header, contentType string) {
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
}
