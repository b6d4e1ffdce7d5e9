package controlplane

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/controlplane/labs"
	"nuage/storage"
)

// labWorld is the project of a run as its checks see it. Looking is no work on any layer: it leaves no activity.
type labWorld struct {
	cp      *ControlPlane
	project string
	since   time.Time
}

func (w labWorld) Look(ctx context.Context, kind, of string) ([]any, error) {
	if items, ok, err := w.noun(ctx, kind, of); ok {
		return items, err
	}
	c := w.cp.Cloud()
	switch kind {
	case "activities":
		return w.activities(ctx, of)
	case "bill":
		b, err := c.Ledger.Bill(ctx, api.BillQuery{Project: w.project})
		return plainly(b.Lines, err)
	case "calls":
		l, err := c.Functions.Calls(ctx, w.project, of, 1000)
		return plainly(l.Items, err)
	case "releases":
		l, err := c.Apps.Releases(ctx, w.project, of)
		return plainly(l.Items, err)
	case "pool-users":
		l, err := c.PoolUsers.List(ctx, w.project, of, api.Page{Limit: 1000})
		return plainly(l.Items, err)
	case "messages":
		return w.messages(of)
	case "findings":
		l, err := c.Advisories.Findings(ctx, w.project)
		return plainly(l.Items, err)
	case "prices":
		b, err := c.Ledger.Prices(ctx, of)
		return plainly(b.Prices, err)
	case "comparison", "measures":
		return w.compare(ctx, kind, of)
	case "break-even":
		return w.breakEven(of)
	}
	return nil, api.Errorf(api.Invalid, "cannot look at %q: there are %s", kind, strings.Join(labs.Kinds(), ", "))
}

// noun lists a noun of the project, or one thing of it.
func (w labWorld) noun(ctx context.Context, kind, name string) (items []any, ok bool, err error) {
	c, ok := w.cp.Cloud(), true
	switch kind {
	case "instances":
		items, err = lookAt(ctx, c.Instances, w.project, name)
	case "images":
		items, err = lookAt(ctx, c.Images, w.project, name)
	case "volumes":
		items, err = lookAt(ctx, c.Volumes, w.project, name)
	case "snapshots":
		items, err = lookAt(ctx, c.Snapshots, w.project, name)
	case "networks":
		items, err = lookAt(ctx, c.Networks, w.project, name)
	case "load-balancers":
		items, err = lookAt(ctx, c.LoadBalancers, w.project, name)
	case "instance-groups":
		items, err = lookAt(ctx, c.InstanceGroups, w.project, name)
	case "keys":
		items, err = lookAt(ctx, c.Keys, w.project, name)
	case "security-groups":
		items, err = lookAt(ctx, c.SecurityGroups, w.project, name)
	case "apps":
		items, err = lookAt(ctx, c.Apps, w.project, name)
	default:
		return w.managed(ctx, kind, name)
	}
	return items, ok, err
}

func (w labWorld) managed(ctx context.Context, kind, name string) (items []any, ok bool, err error) {
	c, ok := w.cp.Cloud(), true
	switch kind {
	case "databases":
		items, err = lookAt(ctx, c.Databases, w.project, name)
	case "backups":
		items, err = lookAt(ctx, c.Backups, w.project, name)
	case "auth-pools":
		items, err = lookAt(ctx, c.AuthPools, w.project, name)
	case "functions":
		items, err = lookAt(ctx, c.Functions, w.project, name)
	case "triggers":
		items, err = lookAt(ctx, c.Triggers, w.project, name)
	case "queues":
		items, err = lookAt(ctx, c.Queues, w.project, name)
	case "topics":
		items, err = lookAt(ctx, c.Topics, w.project, name)
	default:
		ok = false
	}
	return items, ok, err
}

func lookAt[T, S any](ctx context.Context, r api.Resource[T, S], project, name string) ([]any, error) {
	if name != "" {
		one, err := r.Get(ctx, project, name)
		return plainly([]T{one}, err)
	}
	list, err := r.List(ctx, project, api.Page{Limit: 1000})
	return plainly(list.Items, err)
}

// plainly turns items into what paths lead through.
func plainly[T any](items []T, err error) ([]any, error) {
	if err != nil {
		return nil, err
	}
	v, err := labs.Plain(items)
	list, _ := v.([]any)
	return list, err
}

// activities are those since the run began, of a resource where one is named.
func (w labWorld) activities(ctx context.Context, resource string) ([]any, error) {
	var all []api.Activity
	q := api.ActivityQuery{Project: w.project, Resource: resource, Since: w.since, Page: api.Page{Limit: 1000}}
	for {
		part, err := w.cp.Cloud().Activities.List(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, part.Items...)
		if q.After = part.Next; len(part.Items) < q.Limit { // Next goes on where more may be recorded later
			return plainly(all, nil)
		}
	}
}

// mostMessages of a queue are enough for a check.
const mostMessages = 1000

// messages are the oldest of a queue, without their being received: a check takes nothing from anybody.
func (w labWorld) messages(queue string) ([]any, error) {
	var all []api.Message
	err := w.cp.Store.View(func(tx *storage.Tx) error {
		q, err := w.cp.queues().find(tx, w.project, queue)
		if err != nil {
			return err
		}
		return messageTable.Each(tx, q.ID+"/", func(m message) error {
			if all = append(all, m.public()); len(all) == mostMessages {
				return storage.Stop
			}
			return nil
		})
	})
	return plainly(all, err)
}

// compare spreads a comparison: a row for each layer, or figure, of each subject. of are the subjects with commas between.
func (w labWorld) compare(ctx context.Context, kind, of string) ([]any, error) {
	var names []string
	if of != "" {
		names = strings.Split(of, ",")
	}
	found, err := w.cp.Cloud().Comparisons.Compare(ctx, w.project, names)
	if err != nil {
		return nil, err
	}
	rows := []map[string]any{}
	if kind == "measures" {
		for _, m := range found.Measures {
			for subject, value := range m.Values {
				rows = append(rows, map[string]any{"name": m.Name, "unit": m.Unit, "subject": subject, "value": value})
			}
		}
		return plainly(rows, nil)
	}
	for _, l := range found.Layers {
		for _, c := range l.Cells {
			rows = append(rows, map[string]any{"layer": l.Layer, "subject": c.Subject, "recorded": c.Recorded, "published": c.Published, "customer": c.Customer, "platform": c.Platform})
		}
	}
	return plainly(rows, nil)
}

// breakEven is an estimate; of is BOOK,TYPE,MS,MB,REQUESTS: a machine and an app of the type all month against calls of so many ms and MB.
func (w labWorld) breakEven(of string) ([]any, error) {
	words := strings.Split(of, ",")
	wrong := api.Errorf(api.Invalid, "cannot estimate %q: wanted BOOK,TYPE,MS,MB,REQUESTS", of)
	if len(words) != 5 {
		return nil, wrong
	}
	var n [3]int64
	for i, word := range words[2:] {
		v, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, wrong
		}
		n[i] = v
	}
	book, err := w.cp.Books.Book(words[0])
	if err != nil {
		return nil, err
	}
	e, err := book.Estimate(billing.Workload{Requests: n[2], DurationMS: n[0], MemoryMB: n[1], Hours: 730, Instance: words[1]})
	return plainly([]billing.Estimate{e}, err)
}

// mostVisited of an answer is enough for a check.
const mostVisited = 64 << 10

// Visit asks the edge as a browser on this laptop would, without the way over the network.
func (w labWorld) Visit(ctx context.Context, v labs.Request) (item any, err error) {
	host, path := hostName(v.Name, w.project, map[string]string{"app": "app", "function": "fn"}[v.Kind]), v.Path
	if v.Kind == "auth" {
		host, path = "auth.localhost", "/"+w.project+"/"+v.Name+v.Path
	}
	host += w.cp.edgePort()
	r, err := http.NewRequestWithContext(ctx, v.Method, w.cp.scheme()+host+path, strings.NewReader(v.Body))
	if err != nil {
		return nil, api.Errorf(api.Invalid, "cannot visit %q: %w", v.Path, err)
	}
	r.RemoteAddr, r.RequestURI = "127.0.0.1:1", r.URL.RequestURI()
	if w.cp.EdgeTLS {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13}
	}
	answer := &visited{header: http.Header{}, status: http.StatusOK}
	defer func() {
		if broken := recover(); broken != nil { // the edge breaks a connection off so
			item, err = map[string]any{"status": 0, "body": "", "type": ""}, nil
		}
	}()
	w.cp.Edge.ServeHTTP(answer, r)
	return map[string]any{"status": answer.status, "body": strings.TrimSpace(answer.body.String()), "type": answer.header.Get("Content-Type"), "location": answer.header.Get("Location")}, nil
}

// visited keeps the beginning of an answer.
type visited struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (v *visited) Header() http.Header { return v.header }

func (v *visited) WriteHeader(status int) {
	if !v.wrote && status >= 200 {
		v.status, v.wrote = status, true
	}
}

func (v *visited) Write(p []byte) (int, error) {
	v.wrote = true
	v.body.Write(p[:min(len(p), mostVisited-v.body.Len())])
	return len(p), nil
}

// Flush does nothing: there is nobody to send to.
func (v *visited) Flush() {}

// Exec runs a line in an instance through its guest, or a statement in a database with its own client.
func (w labWorld) Exec(ctx context.Context, kind, name, line string) (any, error) {
	words := []string{line}
	if kind == "databases" {
		d, err := w.cp.databases().Get(ctx, w.project, name)
		if err != nil {
			return nil, err
		}
		if words = statement(d.Spec.Engine, line); words == nil {
			return nil, api.Errorf(api.Unsupported, "cannot run a statement in database %q: labs can in postgres and mariadb", name)
		}
	}
	out := &visited{}
	status, err := streams{w.cp}.Exec(ctx, w.project, kind, name, api.Command{Words: words}, api.Stdio{Out: out, Err: out})
	if err != nil {
		return nil, err
	}
	return map[string]any{"exit": strconv.Itoa(status), "output": strings.TrimSpace(out.body.String())}, nil
}

// statement is the command line of a statement, with its rows and nothing else as its output.
func statement(engine, line string) []string {
	switch engine {
	case "postgres":
		return []string{api.DatabaseClient(engine), "-At", "-c", line}
	case "mariadb":
		return []string{api.DatabaseClient(engine), "-N", "-B", "-e", line}
	}
	return nil
}
