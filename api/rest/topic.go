package rest

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"nuage/api"
)

func (f *face) topicRoutes() []route {
	return []route{{post, "/v1/projects/{project}/topics/{name}/publish", anyToken, "topics", "publish-event", "Publish an event to all who have subscribed",
		stream(f.publishEvent, bytesIn("*/*", "a CloudEvent 1.0 in structured mode ("+api.CloudEventType+") or binary mode (headers ce-*), or plain data of any type; 256 KiB at most", false),
			func(op *huma.Operation) {
				op.DefaultStatus = http.StatusCreated
				op.Responses["201"] = &huma.Response{Description: "The event as it is handed on, durably.", Content: map[string]*huma.MediaType{
					api.CloudEventType: {Schema: &huma.Schema{Type: huma.TypeObject}}}}
			})}}
}

type publishInput struct {
	Named
	Attribute []string `query:"attribute,explode" maxItems:"20" doc:"NAME=VALUE, an attribute of plain data, for filters"`
}

// publishEvent takes an event in any mode and answers it in structured mode.
func (f *face) publishEvent(w http.ResponseWriter, r *http.Request, in *publishInput) error {
	deadlines(w, time.Now().Add(bodyTime))
	content := limitBody(w, r, api.MaxEventBytes)
	data, err := io.ReadAll(content)
	if err != nil {
		return content.explain(refuseBody(content, err))
	}
	deadlines(w, time.Time{})
	e, err := api.ReadCloudEvent(r.Header, data)
	if err == nil {
		err = addAttributes(&e, in.Attribute)
	}
	if err != nil {
		return err
	}
	if e, err = f.Cloud.Topics.Publish(r.Context(), in.Project, in.Name, e); err != nil {
		return err
	}
	text, err := e.MarshalJSON()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", api.CloudEventType)
	w.WriteHeader(http.StatusCreated)
	_, err = w.Write(text)
	return err
}

// addAttributes adds what the query says of plain data.
func addAttributes(e *api.CloudEvent, pairs []string) error {
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || e.Type != "" {
			return api.Errorf(api.Invalid, "cannot take the attribute %q: give NAME=VALUE, and only with plain data", pair)
		}
		if e.Extensions == nil {
			e.Extensions = map[string]string{}
		}
		e.Extensions[name] = value
	}
	return nil
}
