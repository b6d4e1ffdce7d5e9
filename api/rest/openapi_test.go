package rest

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

func description(t *testing.T) *openapi3.T {
	t.Helper()
	w := newRig(t).do(t, "GET", "/openapi.json", "", "Authorization:")
	doc, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// An independent library must find the description valid, its examples included.
func TestOpenAPIIsValid(t *testing.T) {
	doc := description(t)
	if doc.OpenAPI != "3.1.0" || doc.Info.Version != "1.2.3" {
		t.Errorf("the description is OpenAPI %s of version %s", doc.OpenAPI, doc.Info.Version)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableMultiError()); err != nil {
		t.Error(err)
	}
	if doc.Components.Schemas["ErrorModel"] != nil || doc.Components.Schemas["Problem"] == nil {
		t.Error("errors are not described as our problems")
	}
}

// Every route of the table is described: what it is for, what comes back, who may, and all of its path's parameters.
func TestEveryRouteIsDescribed(t *testing.T) {
	doc := description(t)
	ids := map[string]bool{}
	for _, r := range (&face{Options: Options{Cloud: fakeCloud()}}).routes() {
		item := doc.Paths.Find(r.path)
		if item == nil || item.GetOperation(r.method) == nil {
			t.Errorf("%s %s is not described", r.method, r.path)
			continue
		}
		op := item.GetOperation(r.method)
		if op.Summary == "" || len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil || ids[op.OperationID] {
			t.Errorf("%s %s has the summary %q, the tags %q and the id %q", r.method, r.path, op.Summary, op.Tags, op.OperationID)
		}
		ids[op.OperationID] = true
		if op.Responses.Default() == nil || op.Responses.Len() < 2 {
			t.Errorf("%s %s lacks the answer of success or failure", r.method, r.path)
		}
		if open := r.perm == public || r.perm == machine; open != (op.Security == nil) {
			t.Errorf("%s %s: described with security %v", r.method, r.path, op.Security)
		}
		for _, param := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(r.path, -1) {
			if op.Parameters.GetByInAndName("path", param[1]) == nil {
				t.Errorf("%s %s lacks the parameter %s", r.method, r.path, param[1])
			}
		}
		if strings.Contains("POST PUT", r.method) && strings.Contains(r.id, "create-") && op.RequestBody == nil {
			t.Errorf("%s %s lacks a body", r.method, r.path)
		}
	}
	if described := len(ids); described < 105 {
		t.Errorf("only %d operations are described", described)
	}
}

// The page must not need anything from elsewhere, nor run what the description says.
func TestDocsAreSelfContained(t *testing.T) {
	r := newRig(t)
	for path, mediaType := range map[string]string{
		"/docs": "text/html; charset=utf-8", "/docs/page.js": "text/javascript; charset=utf-8", "/docs/page.css": "text/css; charset=utf-8",
		"/openapi.json": "application/vnd.oai.openapi+json;version=3.1",
	} {
		w := r.do(t, "GET", path, "", "Authorization:")
		if w.Code != 200 || w.Header().Get("Content-Type") != mediaType {
			t.Errorf("%s: %d, %s", path, w.Code, w.Header().Get("Content-Type"))
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self';") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
			t.Errorf("%s has the policy %q", path, policy)
		}
		if path == "/openapi.json" {
			continue
		}
		for _, bad := range []string{"http://", "https://", "innerHTML", "eval(", "onclick", "<style", "style="} {
			if strings.Contains(w.Body.String(), bad) {
				t.Errorf("%s has %q", path, bad)
			}
		}
	}
}

// Names that clients are generated from stay put: they are words of the vocabulary, not of the language.
func TestSchemaNames(t *testing.T) {
	w := newRig(t).do(t, "GET", "/openapi.json", "")
	var doc struct {
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Instance", "ListInstance", "CreateRequestInstanceSpec", "UpdateRequestInstanceSpec", "Problem", "Receipt", "Bill", "Source", "Identity"} {
		if doc.Components.Schemas[want] == nil {
			t.Errorf("there is no schema %s", want)
		}
	}
	for name := range doc.Components.Schemas {
		if !regexp.MustCompile(`^[A-Z][A-Za-z]+$`).MatchString(name) {
			t.Errorf("schema %q has a name that clients can't use", name)
		}
	}
}
