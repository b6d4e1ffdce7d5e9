package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"nuage/api"
)

const about = "A small cloud for hands-on labs: instances, apps with databases, and functions, on one bill. " +
	"Send `Authorization: Bearer TOKEN`. Lists answer `{\"items\": [...], \"next\": \"...\"}`; give `next` back as `after`. " +
	"Errors are RFC 9457 problems with the member `code`. Bodies over 6 MiB are refused unless the operation says otherwise."

// config is what huma shall do for us: decode, validate, describe. Pages and problems are our own.
func (f *face) config() huma.Config {
	json := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "nuage", Version: f.version(), Description: about},
			Components: &huma.Components{
				Schemas:         huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "nuage token create NAME"}},
			},
			Tags: tags(),
		},
		Formats:                      map[string]huma.Format{"application/json": json, "json": json},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{f.finish},
	}
}

func (f *face) version() string {
	if f.Version == "" {
		return "0"
	}
	return f.Version
}

func tags() []*huma.Tag {
	return []*huma.Tag{
		{Name: "instances", Description: "Machines: IaaS."},
		{Name: "images", Description: "What instances boot from."},
		{Name: "volumes", Description: "Disks that outlive instances."},
		{Name: "snapshots", Description: "Copies of volumes."},
		{Name: "networks", Description: "Private ranges of addresses."},
		{Name: "load-balancers", Description: "One address for several instances."},
		{Name: "instance-groups", Description: "As many like instances as their load asks for."},
		{Name: "keys", Description: "Public SSH keys."},
		{Name: "security-groups", Description: "What may reach an instance."},
		{Name: "apps", Description: "Programs the platform runs: PaaS."},
		{Name: "databases", Description: "Managed servers: PaaS."},
		{Name: "backups", Description: "What databases held at one moment, verified by a restore."},
		{Name: "auth-pools", Description: "Users and their sign-in, by OpenID Connect: PaaS."},
		{Name: "functions", Description: "Code billed per call: FaaS."},
		{Name: "triggers", Description: "Events that call a function."},
		{Name: "topics", Description: "What is published goes to all who have subscribed."},
		{Name: "budgets", Description: "What a project may spend in a month, and who is told."},
		{Name: "queues", Description: "Messages that wait until somebody has dealt with them."},
		{Name: "sources", Description: "Uploaded folders."},
		{Name: "bill", Description: "What was used and what it costs."},
		{Name: "activities", Description: "Who did what."},
		{Name: "compare", Description: "The service models side by side."},
		{Name: "labs", Description: "Exercises that check themselves."},
		{Name: "projects", Description: "Everything else lives in one."},
		{Name: "users", Description: "The people who work in the cloud."},
		{Name: "tokens", Description: "Who may use the API."},
		{Name: "system", Description: "The cloud itself."},
	}
}

// unmarshal reads JSON and words what is wrong with it without naming types of Go.
func unmarshal(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return fmt.Errorf("%s: a %s does not fit", strings.TrimPrefix(wrongType.Field, "."), wrongType.Value)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("not JSON at byte %d: %v", syntax.Offset, syntax)
	}
	return err
}

// document sets the schema of an answer.
func document[T any](op *huma.Operation, code int, description string) {
	op.DefaultStatus = code
	op.Responses[strconv.Itoa(code)] = &huma.Response{Description: description, Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/" + huma.DefaultSchemaNamer(reflect.TypeFor[T](), "")}},
	}}
}

// failure is the answer that every operation may give.
func (f *face) failure() *huma.Response {
	schema := f.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.Problem](), true, "")
	return &huma.Response{Description: "A problem.", Content: map[string]*huma.MediaType{api.ProblemType: {Schema: schema}}}
}

// describe freezes the description and puts up the pages that show it.
func (f *face) describe() error {
	schemas := f.huma.OpenAPI().Components.Schemas
	schemas.Schema(reflect.TypeFor[api.Source](), true, "")
	delete(schemas.Map(), "ErrorModel") // huma's own; see finish
	delete(schemas.Map(), "ErrorDetail")
	text, err := json.MarshalIndent(f.huma.OpenAPI(), "", "  ")
	if err != nil {
		return fmt.Errorf("cannot describe the HTTP API: %w", err)
	}
	f.openapi = append(bytes.TrimSpace(text), '\n')
	f.page("/openapi.json", "application/vnd.oai.openapi+json;version=3.1", f.openapi)
	return f.docs()
}

// page serves bytes that never change while the process runs.
func (f *face) page(path, mediaType string, content []byte) {
	f.router.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", mediaType)
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("Content-Length", strconv.Itoa(len(content)))
		if _, err := w.Write(content); err != nil {
			f.Logger.DebugContext(r.Context(), "cannot send a page", "path", path, "error", err)
		}
	}).Methods(http.MethodGet)
}
