package rest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
)

// fakeCloud is as much of a cloud as the handlers need to show what they do.
func fakeCloud() api.Cloud {
	return api.Cloud{
		Projects: fakeProjects{},
		Users:    fakeUsers{},
		Tokens:   fakeTokens{},
		Keys:     newFake[api.Key, api.KeySpec](func(m api.Meta, s api.KeySpec) api.Key { return api.Key{Meta: m, Spec: s} }),
		SecurityGroups: newFake[api.SecurityGroup, api.SecurityGroupSpec](func(m api.Meta, s api.SecurityGroupSpec) api.SecurityGroup {
			return api.SecurityGroup{Meta: m, Spec: s}
		}),
		Instances: fakeInstances{newFake[api.Instance, api.InstanceSpec](func(m api.Meta, s api.InstanceSpec) api.Instance {
			return api.Instance{Meta: m, Spec: s, Status: api.InstanceStatus{Status: settled(m)}}
		})},
		Networks: newFake[api.Network, api.NetworkSpec](func(m api.Meta, s api.NetworkSpec) api.Network { return api.Network{Meta: m, Spec: s} }),
		Images:   newFake[api.Image, api.ImageSpec](func(m api.Meta, s api.ImageSpec) api.Image { return api.Image{Meta: m, Spec: s} }),
		Volumes: fakeVolumes{newFake[api.Volume, api.VolumeSpec](func(m api.Meta, s api.VolumeSpec) api.Volume {
			return api.Volume{Meta: m, Spec: s, Status: api.VolumeStatus{Status: settled(m)}}
		})},
		Snapshots: newFake[api.Snapshot, api.SnapshotSpec](func(m api.Meta, s api.SnapshotSpec) api.Snapshot { return api.Snapshot{Meta: m, Spec: s} }),
		LoadBalancers: newFake[api.LoadBalancer, api.LoadBalancerSpec](func(m api.Meta, s api.LoadBalancerSpec) api.LoadBalancer {
			return api.LoadBalancer{Meta: m, Spec: s}
		}),
		InstanceGroups: newFake[api.InstanceGroup, api.InstanceGroupSpec](func(m api.Meta, s api.InstanceGroupSpec) api.InstanceGroup {
			return api.InstanceGroup{Meta: m, Spec: s}
		}),
		Apps:        fakeApps{Resource: newFake[api.App, api.AppSpec](func(m api.Meta, s api.AppSpec) api.App { return api.App{Meta: m, Spec: s} })},
		Databases:   fakeDatabases{},
		Backups:     newFake[api.Backup, api.BackupSpec](func(m api.Meta, s api.BackupSpec) api.Backup { return api.Backup{Meta: m, Spec: s} }),
		AuthPools:   newFake[api.AuthPool, api.AuthPoolSpec](func(m api.Meta, s api.AuthPoolSpec) api.AuthPool { return api.AuthPool{Meta: m, Spec: s} }),
		PoolUsers:   fakePoolUsers{},
		Functions:   fakeFunctions{},
		Triggers:    newFake[api.Trigger, api.TriggerSpec](func(m api.Meta, s api.TriggerSpec) api.Trigger { return api.Trigger{Meta: m, Spec: s} }),
		Budgets:     newFake[api.Budget, api.BudgetSpec](func(m api.Meta, s api.BudgetSpec) api.Budget { return api.Budget{Meta: m, Spec: s} }),
		Sources:     fakeSources{},
		Streams:     fakeStreams{},
		Activities:  fakeActivities{},
		Ledger:      fakeLedger{},
		Clock:       fakeClock{},
		Comparisons: fakeComparisons{},
		Advisories:  fakeAdvisories{},
		System:      fakeSystem{},
	}
}

func settled(m api.Meta) api.Status {
	return api.Status{Phase: api.Running, Reason: "is there", Generation: m.Generation}
}

// fake keeps one noun of all projects in memory. A name that begins with "slow-" never goes away.
type fake[T, S any] struct {
	mu    sync.Mutex
	build func(api.Meta, S) T
	metas map[string]api.Meta
	specs map[string]S
	keys  map[string]string
}

func newFake[T, S any](build func(api.Meta, S) T) *fake[T, S] {
	return &fake[T, S]{build: build, metas: map[string]api.Meta{}, specs: map[string]S{}, keys: map[string]string{}}
}

func (f *fake[T, S]) Create(ctx context.Context, project, name string, spec S) (v T, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := api.CheckName("thing", name); err != nil {
		return v, err
	}
	if key := api.IdempotencyKeyFrom(ctx); key != "" && f.keys[key] == name {
		return f.build(f.metas[name], f.specs[name]), nil
	} else if key != "" {
		f.keys[key] = name
	}
	if _, taken := f.metas[name]; taken {
		return v, api.Errorf(api.Conflict, "cannot create %q: the name is taken", name)
	}
	f.metas[name] = api.Meta{ID: "x-0123456789abcdef", Name: name, Project: project, Generation: 1, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	f.specs[name] = spec
	return f.build(f.metas[name], spec), nil
}

func (f *fake[T, S]) Get(_ context.Context, _, name string) (v T, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.metas[name]
	if !ok {
		return v, api.Errorf(api.NotFound, "cannot find %q: list what is there", name)
	}
	return f.build(m, f.specs[name]), nil
}

func (f *fake[T, S]) List(_ context.Context, _ string, page api.Page) (l api.List[T], err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name := range f.metas {
		if name > page.After {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	limit := cmp.Or(page.Limit, 100)
	for i, name := range names {
		if i == limit {
			l.Next = names[i-1]
			break
		}
		l.Items = append(l.Items, f.build(f.metas[name], f.specs[name]))
	}
	return l, nil
}

func (f *fake[T, S]) Update(ctx context.Context, project, name string, spec S, generation int64) (v T, err error) {
	if v, err = f.Get(ctx, project, name); err != nil {
		return v, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.metas[name]
	if generation != 0 && generation != m.Generation {
		return v, api.Errorf(api.Conflict, "cannot change %q: it is at generation %d by now, not %d", name, m.Generation, generation)
	}
	m.Generation++
	f.metas[name], f.specs[name] = m, spec
	return f.build(m, spec), nil
}

func (f *fake[T, S]) Delete(ctx context.Context, project, name string, _ int64) error {
	if _, err := f.Get(ctx, project, name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasPrefix(name, "slow-") {
		m := f.metas[name]
		at := m.CreatedAt.Add(time.Hour)
		m.DeletedAt = &at
		f.metas[name] = m
		return nil
	}
	delete(f.metas, name)
	return nil
}

func (f *fake[T, S]) Wait(ctx context.Context, project, name string, limit time.Duration) (T, error) {
	if name == "waited" {
		var none T
		return none, api.Errorf(api.Exhausted, "was asked to wait %s", limit)
	}
	return f.Get(ctx, project, name)
}

type fakeInstances struct {
	*fake[api.Instance, api.InstanceSpec]
}

func (f fakeInstances) Power(ctx context.Context, project, name string, action api.PowerAction) (api.Instance, error) {
	v, err := f.Get(ctx, project, name)
	v.Status.Reason = string(action)
	return v, err
}

func (f fakeInstances) Reclaim(ctx context.Context, project, name string, notice time.Duration) (api.Instance, error) {
	v, err := f.Get(ctx, project, name)
	at := v.CreatedAt.Add(notice)
	v.Status.Reclaim = &at
	return v, err
}

func (f fakeInstances) Metrics(ctx context.Context, project, name string) (api.InstanceMetrics, error) {
	v, err := f.Get(ctx, project, name)
	return api.InstanceMetrics{At: v.CreatedAt, CPUPercent: 12.5, MemoryBytes: 7}, err
}

type fakeVolumes struct {
	*fake[api.Volume, api.VolumeSpec]
}

func (f fakeVolumes) Attach(ctx context.Context, project, name string, to api.Attachment, restart bool) (api.Volume, error) {
	v, err := f.Get(ctx, project, name)
	v.Status.Attached, v.Status.Enforced = &to, restart
	return v, err
}

func (f fakeVolumes) Detach(ctx context.Context, project, name string, restart bool) (api.Volume, error) {
	v, err := f.Get(ctx, project, name)
	v.Status.Enforced = restart
	return v, err
}

type fakeApps struct {
	api.Resource[api.App, api.AppSpec]
}

func (fakeApps) Releases(context.Context, string, string) (api.List[api.Release], error) {
	return api.List[api.Release]{}, nil
}

func (fakeApps) Rollback(_ context.Context, _, name string, to int) (api.App, error) {
	return api.App{Meta: api.Meta{Name: name}, Status: api.AppStatus{Target: to}}, nil
}

func (fakeApps) Split(_ context.Context, _, name string, split api.Split) (api.App, error) {
	return api.App{Meta: api.Meta{Name: name}, Spec: api.AppSpec{Sticky: *split.Sticky}, Status: api.AppStatus{Shares: split.Shares}}, nil
}

func (fakeApps) Promote(_ context.Context, _, name, to string) (api.Promotion, error) {
	return api.Promotion{App: api.App{Meta: api.Meta{Name: name, Project: to}}, Missing: []string{"setting MODE"}}, nil
}

type fakePoolUsers struct{ api.PoolUsers }

func (fakePoolUsers) Add(_ context.Context, _, _ string, spec api.PoolUserSpec) (api.PoolUser, error) {
	return api.PoolUser{ID: "usr-1", Email: spec.Email, Roles: []string{}}, nil
}

func (fakePoolUsers) Remove(_ context.Context, _, _, email string) error {
	if email != "ada@example.com" {
		return api.Errorf(api.NotFound, "cannot find user %q", email)
	}
	return nil
}

type fakeDatabases struct{ api.Databases }

func (fakeDatabases) Credentials(context.Context, string, string) (api.Credentials, error) {
	return api.Credentials{User: "me"}, nil
}

func (fakeDatabases) Rotate(context.Context, string, string) (api.Credentials, error) {
	return api.Credentials{User: "me_b"}, nil
}

// fakeFunctions answer by name.
type fakeFunctions struct{ api.Functions }

func (fakeFunctions) Invoke(_ context.Context, project, name string, call api.Invocation) (api.Answer, error) {
	receipt := api.Receipt{RequestID: "call-1", Project: project, Function: name, BilledMs: 7, InitMs: "0"}
	switch name {
	case "busy":
		return api.Answer{}, api.Errorf(api.Exhausted, "cannot call %q: too many calls at once", name)
	case "bad":
		return api.Answer{FunctionError: "Unhandled", ContentType: "application/json", Payload: []byte(`{"errorMessage":"boom"}`), Receipt: receipt}, nil
	case "cold":
		receipt.Cold, receipt.InitMs = true, "12.5"
	case "later":
		if call.Type != api.Async {
			return api.Answer{}, api.Errorf(api.Invalid, "cannot call it so: type is %q", call.Type)
		}
	}
	return api.Answer{Payload: call.Payload, ContentType: call.ContentType, Log: "a line\n", Receipt: receipt}, nil
}

func (fakeFunctions) Calls(_ context.Context, _, name string, last int) (api.List[api.Receipt], error) {
	return api.List[api.Receipt]{Items: make([]api.Receipt, last)}, nil
}

type fakeSources struct{}

func (fakeSources) Put(_ context.Context, _ string, content io.Reader) (api.Source, error) {
	n, err := io.Copy(io.Discard, content)
	if err != nil {
		return api.Source{}, api.Errorf(api.Invalid, "cannot store the source: %w", err)
	}
	return api.Source{ID: "src-1", Size: n}, nil
}

// fakeStreams echo: exec copies stdin to stdout and says the window's size on stderr.
type fakeStreams struct{}

func (fakeStreams) Exec(ctx context.Context, _, noun, name string, cmd api.Command, stdio api.Stdio) (int, error) {
	switch name {
	case "sim":
		return 0, api.Errorf(api.Unsupported, "cannot run a command in %q: the simulator has no guests", name)
	case "forever":
		fmt.Fprintln(stdio.Out, "started")
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if cmd.TTY {
		size := <-stdio.Resize
		fmt.Fprintf(stdio.Err, "%dx%d", size.Rows, size.Cols)
	}
	fmt.Fprintf(stdio.Err, "%s %q", noun, cmd.Words)
	if _, err := io.Copy(stdio.Out, stdio.In); err != nil {
		return 0, err
	}
	return 3, nil
}

func (fakeStreams) Logs(ctx context.Context, _, noun, name string, q api.LogQuery) (io.ReadCloser, error) {
	if name == "broken" {
		return io.NopCloser(io.MultiReader(strings.NewReader("half"), failing{})), nil
	}
	if q.Follow {
		r, w := io.Pipe()
		go fmt.Fprintln(w, "first")
		context.AfterFunc(ctx, func() { w.Close() })
		return r, nil
	}
	return io.NopCloser(strings.NewReader(fmt.Sprintf("%s of %s, last %d\n", name, noun, q.Tail))), nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, fmt.Errorf("the disk is gone") }

type fakeProjects struct{ api.Projects }

func (fakeProjects) Create(_ context.Context, name string, spec api.ProjectSpec) (api.Project, error) {
	return api.Project{Meta: api.Meta{Name: name, Generation: 1}, Spec: spec}, nil
}

func (fakeProjects) List(context.Context, api.Page) (l api.List[api.Project], err error) {
	return l, nil
}

func (fakeProjects) Get(_ context.Context, name string) (api.Project, error) {
	switch name {
	case "panic":
		panic("a defect")
	case "secret":
		return api.Project{}, fmt.Errorf("open /root/.nuage/state.db: no such file")
	}
	return api.Project{Meta: api.Meta{Name: name, Generation: 2}}, nil
}

func (fakeProjects) Update(_ context.Context, name string, spec api.ProjectSpec, generation int64) (api.Project, error) {
	return api.Project{Meta: api.Meta{Name: name, Generation: generation + 1}, Spec: spec}, nil
}

func (fakeProjects) Delete(_ context.Context, name string) error {
	return api.Errorf(api.Conflict, "cannot delete the project %q: it is not empty", name)
}

// fakeUsers are made and never kept.
type fakeUsers struct{}

func (fakeUsers) Create(_ context.Context, name string, spec api.UserSpec) (api.User, error) {
	return api.User{Meta: api.Meta{Name: name, Generation: 1}, Spec: spec}, nil
}

func (fakeUsers) Get(_ context.Context, name string) (api.User, error) {
	return api.User{Meta: api.Meta{Name: name, Generation: 2}}, nil
}

func (fakeUsers) List(_ context.Context, p api.Page) (api.List[api.User], error) {
	return api.List[api.User]{Items: []api.User{{Meta: api.Meta{Name: p.After + "da"}}}}, nil
}

func (fakeUsers) Delete(context.Context, string) error {
	return nil
}

// fakeTokens know two secrets.
type fakeTokens struct{ api.Tokens }

func (fakeTokens) Authenticate(_ context.Context, secret string) (api.Actor, error) {
	switch secret {
	case "all":
		return api.Actor{Kind: api.Customer, Name: "me"}, nil
	case "shop-only":
		return api.Actor{Kind: api.Customer, Name: "shop", Project: "shop"}, nil
	}
	return api.Actor{}, api.Errorf(api.Unauthenticated, "cannot let the request in: the token is unknown or revoked")
}

func (fakeTokens) Create(_ context.Context, name string, spec api.TokenSpec) (api.Token, error) {
	return api.Token{Meta: api.Meta{Name: name, Generation: 1}, Spec: spec, Secret: "s"}, nil
}

func (fakeTokens) List(context.Context, api.Page) (l api.List[api.Token], err error) { return l, nil }
func (fakeTokens) Revoke(context.Context, string) error                              { return nil }

// stamp is a time in short, "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

type fakeActivities struct{}

func (fakeActivities) List(_ context.Context, q api.ActivityQuery) (api.List[api.Activity], error) {
	return api.List[api.Activity]{Items: []api.Activity{{Project: q.Project, Noun: q.Noun, Verb: q.Verb, Model: q.Model, Layer: q.Layer, Time: q.Since, Detail: stamp(q.Until), Actor: api.Actor{Kind: q.Actor, Name: q.By}}}}, nil
}

type fakeLedger struct{}

func (fakeLedger) Usage(_ context.Context, q api.UsageQuery) (api.List[api.Usage], error) {
	return api.List[api.Usage]{Items: []api.Usage{{Project: q.Project, Resource: q.Resource, Start: q.From, End: q.To}}, Next: q.After}, nil
}

func (fakeLedger) Bill(_ context.Context, q api.BillQuery) (api.Bill, error) {
	return api.Bill{Book: q.Book, Note: q.By, PeriodStart: q.From, PeriodEnd: q.To, Total: "0.000000"}, nil
}

func (fakeLedger) Close(_ context.Context, period string) (api.Bill, error) {
	return api.Bill{Invoice: "inv-" + period, Total: "0.000000", Lines: []api.BillLine{{Adjusts: "2026-01", Tags: map[string]string{"a": "b"}}}}, nil
}

func (fakeLedger) Invoices(_ context.Context, page api.Page) (api.List[api.Invoice], error) {
	return api.List[api.Invoice]{Items: []api.Invoice{{ID: "inv-1", Adjustments: 2}}, Next: page.After}, nil
}

func (fakeLedger) Retention(context.Context) (api.Retention, error) {
	return api.Retention{Days: 7, Receipts: 3, RolledUp: 4}, nil
}

func (fakeLedger) SetRetention(_ context.Context, r api.Retention) (api.Retention, error) {
	return r, nil
}

func (fakeLedger) Prices(_ context.Context, book string) (api.PriceBook, error) {
	return api.PriceBook{Name: book}, nil
}

type fakeClock struct{}

func (fakeClock) Get(context.Context) (api.ClockState, error) { return api.ClockState{Speed: 7}, nil }

func (fakeClock) Change(_ context.Context, c api.ClockChange) (api.ClockState, error) {
	return api.ClockState{Speed: c.Speed, AheadSeconds: c.AdvanceSeconds}, nil
}

type fakeAdvisories struct{}

func (fakeAdvisories) Feed(context.Context) (api.List[api.Advisory], error) {
	return api.List[api.Advisory]{Items: []api.Advisory{{ID: "N-1"}}}, nil
}

func (fakeAdvisories) Findings(_ context.Context, project string) (api.List[api.Finding], error) {
	return api.List[api.Finding]{Items: []api.Finding{{Resource: project}}}, nil
}

func (fakeAdvisories) Plant(_ context.Context, _ string, p api.Planting) (l api.List[api.Finding], err error) {
	for _, s := range p.Subjects {
		l.Items = append(l.Items, api.Finding{Advisory: p.Advisory, Resource: s})
	}
	return l, nil
}

type fakeComparisons struct{}

func (fakeComparisons) Compare(_ context.Context, _ string, names []string) (c api.Comparison, err error) {
	for _, n := range names {
		c.Subjects = append(c.Subjects, api.Subject{Name: n})
	}
	return c, nil
}

func (fakeComparisons) Measure(context.Context, string, api.Measurement) error { return nil }

type fakeSystem struct{}

func (fakeSystem) Status(context.Context) (api.CloudStatus, error) {
	return api.CloudStatus{}, api.Errorf(api.Unavailable, "cannot read the state: the disk is full")
}

func (fakeSystem) Backup(_ context.Context, w io.Writer) error {
	_, err := w.Write(bytes.Repeat([]byte("state"), 1000))
	return err
}

func (fakeSystem) Shutdown(context.Context) error { return nil }

// rig is a face over the fake.
type rig struct {
	handler http.Handler
	log     *logBuffer
	ready   error
}

func newRig(t testing.TB, hosts ...string) *rig {
	t.Helper()
	reg := prometheus.NewRegistry()
	r := &rig{log: &logBuffer{}}
	h, err := New(Options{
		Cloud: fakeCloud(), Logger: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Registerer: reg, Gatherer: reg,
		Ready: func() error { return r.ready }, Version: "1.2.3", Hosts: hosts,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.handler = h
	return r
}

// logBuffer is a log that a test reads while a server writes it.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// until waits until the log has a text.
func (r *rig) until(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(r.log.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log lacks %q after 10 s:\n%s", text, r.log)
		}
	}
}

// do makes a request with the account's token; header lines are "Name: value", and "Name:" takes one away.
func (r *rig) do(t *testing.T, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	return r.serve(r.request(method, path, body, headers...))
}

func (r *rig) serve(req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w
}

func (r *rig) request(method, path, body string, headers ...string) *http.Request {
	req := httptest.NewRequest(method, "http://localhost:7070"+path, strings.NewReader(body))
	req.RemoteAddr = "127.0.0.1:5555"
	req.Header.Set("Authorization", "Bearer all")
	req.Header.Set("X-Request-Id", "test-1")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ":")
		req.Header.Del(name)
		if value = strings.TrimSpace(value); name == "Host" {
			req.Host = value
		} else if value != "" {
			req.Header.Set(name, value)
		}
	}
	return req
}
