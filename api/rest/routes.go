package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"nuage/api"
)

// route is one line of the table: what is where, who may, and what it is for.
type route struct {
	method, path string
	perm         permission
	tag, id      string
	summary      string
	serve        server
}

// server registers a handler for an operation; handle and its kin make one.
type server func(f *face, op huma.Operation)

// routes is the table of everything the control address serves but the pages of the documentation.
func (f *face) routes() []route {
	c := f.Cloud
	return slices.Concat(
		f.systemRoutes(),
		f.userRoutes(),
		f.tokenRoutes(),
		f.projectRoutes(),
		resourceRoutes(noun{"instances", "instance"}, c.Instances, api.InstanceSpec{Image: "debian-12", Type: "small"}),
		f.instanceRoutes(),
		resourceRoutes(noun{"images", "image"}, c.Images, api.ImageSpec{Ref: "nginx:1.27"}),
		resourceRoutes(noun{"volumes", "volume"}, c.Volumes, api.VolumeSpec{SizeBytes: 1 << 30}),
		f.volumeRoutes(),
		resourceRoutes(noun{"snapshots", "snapshot"}, c.Snapshots, api.SnapshotSpec{Volume: "data"}),
		resourceRoutes(noun{"networks", "network"}, c.Networks, api.NetworkSpec{CIDR: "10.20.0.0/24"}),
		resourceRoutes(noun{"load-balancers", "load balancer"}, c.LoadBalancers, api.LoadBalancerSpec{Port: 80, Targets: []api.Target{{Instance: "web", Port: 8080}}}),
		resourceRoutes(noun{"instance-groups", "instance group"}, c.InstanceGroups,
			api.InstanceGroupSpec{Min: 1, Max: 4, CPU: 60, Template: api.InstanceSpec{Image: "debian-12", Type: "nano"}}),
		resourceRoutes(noun{"keys", "key"}, c.Keys, api.KeySpec{PublicKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE... me@laptop"}),
		resourceRoutes(noun{"security-groups", "security group"}, c.SecurityGroups,
			api.SecurityGroupSpec{Rules: []api.Rule{{Protocol: "tcp", FromPort: 80, CIDR: "0.0.0.0/0"}}}),
		resourceRoutes(noun{"apps", "app"}, c.Apps, api.AppSpec{Image: "nginx:1", Port: 80, Health: "/"}),
		f.appRoutes(),
		resourceRoutes(noun{"databases", "database"}, c.Databases, api.DatabaseSpec{Engine: "postgres", Size: "micro"}),
		f.databaseRoutes(),
		resourceRoutes(noun{"backups", "backup"}, c.Backups, api.BackupSpec{Database: "orders"}),
		resourceRoutes(noun{"auth-pools", "auth pool"}, c.AuthPools, api.AuthPoolSpec{SignUp: "open"}),
		f.poolUserRoutes(),
		resourceRoutes(noun{"functions", "function"}, c.Functions, api.FunctionSpec{Runtime: "python", Source: "src-...", Handler: "main.handler"}),
		f.functionRoutes(),
		f.functionVersionRoutes(),
		resourceRoutes(noun{"triggers", "trigger"}, c.Triggers, api.TriggerSpec{Function: "hello", HTTP: true}),
		resourceRoutes(noun{"queues", "queue"}, c.Queues, api.QueueSpec{VisibilitySeconds: 30}),
		f.messageRoutes(),
		resourceRoutes(noun{"topics", "topic"}, c.Topics, api.TopicSpec{Description: "what happens to orders"}),
		f.topicRoutes(),
		resourceRoutes(noun{"budgets", "budget"}, c.Budgets, api.BudgetSpec{Amount: "5", Alerts: []int{80}}),
		f.sourceRoutes(),
		f.streamRoutes(),
		f.watchRoutes(),
		f.ledgerRoutes(),
		f.comparisonRoutes(),
		f.labRoutes(),
	)
}

// Every JSON body has this long to arrive. Streams take the caller's time.
const bodyTime = 30 * time.Second

// add puts a route up.
func (f *face) add(r route) {
	op := huma.Operation{
		Method: r.method, Path: r.path, OperationID: r.id, Summary: r.summary, Tags: []string{r.tag},
		MaxBodyBytes:    f.MaxBody + 1, // huma refuses what reaches the limit
		BodyReadTimeout: bodyTime,
		Middlewares:     huma.Middlewares{f.require(r.perm)},
		Responses:       map[string]*huma.Response{"default": f.failure()},
	}
	if r.perm == anyToken || r.perm == accountToken {
		op.Security = []map[string][]string{{"token": {}}}
	}
	if r.perm == accountToken {
		op.Description = "Needs a token that is not limited to a project."
	}
	r.serve(f, op)
}

// handle serves an operation that decodes, makes one call and encodes.
func handle[I, O any](call func(context.Context, *I) (*O, error), set ...func(*huma.Operation)) server {
	return func(f *face, op huma.Operation) {
		for _, change := range set {
			change(&op)
		}
		huma.Register(f.huma, op, func(ctx context.Context, in *I) (*O, error) {
			out, err := call(ctx, in)
			if err != nil {
				return nil, f.problemOf(ctx, err)
			}
			return out, nil
		})
	}
}

// status sets the status of success.
func status(code int) func(*huma.Operation) {
	return func(op *huma.Operation) { op.DefaultStatus = code }
}

// example sets the example of a JSON body.
func example(v any) func(*huma.Operation) {
	return func(op *huma.Operation) {
		op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Example: v}}}
	}
}

// bytesIn documents a body of bytes, which the handler reads by itself.
func bytesIn(mediaType, description string, required bool) func(*huma.Operation) {
	return func(op *huma.Operation) {
		op.RequestBody = &huma.RequestBody{Description: description, Required: required, Content: map[string]*huma.MediaType{
			mediaType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		}}
	}
}

// bytesOut documents an answer of bytes.
func bytesOut(code int, mediaType, description string) func(*huma.Operation) {
	return func(op *huma.Operation) {
		op.DefaultStatus = code
		op.Responses[strconv.Itoa(code)] = &huma.Response{Description: description, Content: map[string]*huma.MediaType{
			mediaType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		}}
	}
}

// body is an answer that is a JSON document and nothing else.
type body[T any] struct{ Body T }

// nothing is an answer or a request without a document.
type nothing struct{}

// InProject, Named, Page, Waiting, Idempotent and IfMatching are the parameters that many operations share. They are exported
// because huma reads no others.
type InProject struct {
	Project string `path:"project" doc:"name of the project" example:"default"`
}

type Named struct {
	InProject
	Name string `path:"name" doc:"name within the project" example:"web"`
}

type Page struct {
	Limit int    `query:"limit" minimum:"0" maximum:"1000" doc:"most items; 100 when 0 or absent"`
	After string `query:"after" maxLength:"1000" doc:"next of the page before"`
}

func (p Page) page() api.Page { return api.Page{Limit: p.Limit, After: p.After} }

// Waiting is the parameter wait.
type Waiting struct {
	Wait wait `query:"wait" doc:"answer when nothing is under way any more, or after this time; 120s at most" example:"30s"`
}

// wait is a duration in a query.
type wait struct{ limit time.Duration }

// UnmarshalText parses it.
func (w *wait) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 || d > api.MaxWaitSeconds*time.Second {
		return fmt.Errorf("expected a duration as 30s, at most %ds", api.MaxWaitSeconds)
	}
	w.limit = d
	return nil
}

// list makes sure that an empty page is [] and not null.
func list[T any](l api.List[T], err error) (*body[api.List[T]], error) {
	if err != nil {
		return nil, err
	}
	if l.Items == nil {
		l.Items = []T{}
	}
	return &body[api.List[T]]{l}, nil
}

// one answers a document, or the error.
func one[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{v}, nil
}

// done answers nothing, or the error.
func done(err error) (*nothing, error) {
	if err != nil {
		return nil, err
	}
	return &nothing{}, nil
}

// method names, short enough for a table.
const (
	get  = http.MethodGet
	post = http.MethodPost
	put  = http.MethodPut
	del  = http.MethodDelete
)
