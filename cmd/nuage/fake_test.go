package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// shelf is a fake of one noun. Each Wait plays the next of steps on the thing; after the last it stays as it is.
type shelf[T, S any] struct {
	items    map[string]*T
	head     func(*T) *api.Meta
	state    func(*T) *api.Status
	spec     func(*T) *S
	steps    []func(*T)
	conflict int // how many Updates fail before one is taken
	now      func() time.Time
	pass     func() // each Wait takes a second
}

func newShelf[T, S any](n noun[T, S], w *world) *shelf[T, S] {
	return &shelf[T, S]{items: map[string]*T{}, head: n.head, state: n.state, spec: n.spec, now: w.now, pass: w.pass}
}

func (f *shelf[T, S]) get(name string) (*T, error) {
	item, ok := f.items[name]
	if !ok {
		return nil, api.Errorf(api.NotFound, "cannot find %q", name)
	}
	return item, nil
}

func (f *shelf[T, S]) Create(_ context.Context, project, name string, spec S) (T, error) {
	var item T
	if _, taken := f.items[name]; taken {
		return item, api.Errorf(api.Conflict, "cannot use %q: it is taken", name)
	}
	*f.head(&item) = api.Meta{ID: "x-0000000000000001", Name: name, Project: project, Generation: 1, CreatedAt: f.now()}
	*f.spec(&item) = spec
	f.state(&item).Phase = api.Pending
	f.items[name] = &item
	return item, nil
}

func (f *shelf[T, S]) Get(_ context.Context, _, name string) (T, error) {
	item, err := f.get(name)
	if err != nil {
		var none T
		return none, err
	}
	return *item, nil
}

func (f *shelf[T, S]) List(_ context.Context, _ string, page api.Page) (api.List[T], error) {
	var list api.List[T]
	for _, name := range slices.Sorted(maps.Keys(f.items)) {
		if name <= page.After {
			continue
		}
		if len(list.Items) == 2 { // small pages, so that a reader has to ask on
			list.Next = f.head(&list.Items[1]).Name
			break
		}
		list.Items = append(list.Items, *f.items[name])
	}
	return list, nil
}

func (f *shelf[T, S]) Update(_ context.Context, _, name string, spec S, generation int64) (T, error) {
	item, err := f.get(name)
	if err != nil {
		var none T
		return none, err
	}
	if f.conflict > 0 || generation != f.head(item).Generation {
		f.conflict--
		return *item, api.Errorf(api.Conflict, "cannot update %q: it was changed meanwhile", name)
	}
	*f.spec(item) = spec
	f.head(item).Generation++
	return *item, nil
}

func (f *shelf[T, S]) Delete(_ context.Context, _, name string, _ int64) error {
	item, err := f.get(name)
	if err != nil {
		return err
	}
	now := f.now()
	f.head(item).DeletedAt = &now
	f.state(item).Phase = api.Deleting
	return nil
}

func (f *shelf[T, S]) Wait(ctx context.Context, _, name string, _ time.Duration) (T, error) {
	var none T
	item, err := f.get(name)
	if err != nil {
		return none, err
	}
	f.pass()
	if ctx.Err() != nil {
		return none, api.Errorf(api.Unavailable, "cannot wait: %w", ctx.Err())
	}
	switch {
	case f.head(item).DeletedAt != nil:
		delete(f.items, name)
	case len(f.steps) > 0:
		f.steps[0](item)
		f.steps = f.steps[1:]
	default:
		f.state(item).Phase, f.state(item).Reason, f.state(item).Generation = api.Running, "", f.head(item).Generation
	}
	return *item, nil
}

// world is a cli over fakes, with its streams caught.
type world struct {
	*cli
	out, err  bytes.Buffer
	apps      *fakeApps
	instances *fakeInstances
	keys      *shelf[api.Key, api.KeySpec]
	groups    *shelf[api.SecurityGroup, api.SecurityGroupSpec]
	networks  *shelf[api.Network, api.NetworkSpec]
	images    *shelf[api.Image, api.ImageSpec]
	volumes   *fakeVolumes
	snapshots *shelf[api.Snapshot, api.SnapshotSpec]
	balancers *shelf[api.LoadBalancer, api.LoadBalancerSpec]
	fleets    *shelf[api.InstanceGroup, api.InstanceGroupSpec]
	projects  *fakeProjects
	databases *fakeDatabases
	backups   *shelf[api.Backup, api.BackupSpec]
	functions *fakeFunctions
	streams   *fakeStreams
	sources   *fakeSources
	compared  *fakeComparisons
	ledger    *fakeLedger
	system    *fakeSystem
	dialled   []string
	pass      func() // a second passes
}

// newWorld makes a world whose home is new. stdin is what commands read.
func newWorld(t *testing.T, stdin string) *world {
	t.Helper()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := &world{}
	c := newCLI([]string{"NUAGE_HOME=" + t.TempDir(), "NO_COLOR=1", "NUAGE_PROGRESS=plain"}, strings.NewReader(stdin), &w.out, &w.err)
	w.cli = c
	c.now = func() time.Time { return at }
	w.pass = func() { at = at.Add(time.Second) }
	w.apps = &fakeApps{shelf: newShelf(c.apps(), w)}
	w.instances = &fakeInstances{newShelf(c.instances(), w)}
	w.keys = newShelf(c.keys(), w)
	w.groups = newShelf(c.securityGroups(), w)
	w.networks, w.images, w.snapshots = newShelf(c.networks(), w), newShelf(c.images(), w), newShelf(c.snapshots(), w)
	w.balancers, w.fleets = newShelf(c.loadBalancers(), w), newShelf(c.instanceGroups(), w)
	w.volumes, w.projects = &fakeVolumes{shelf: newShelf(c.volumes(), w)}, &fakeProjects{}
	w.databases = &fakeDatabases{newShelf(c.databases(), w)}
	w.backups = newShelf(c.backups(), w)
	w.functions = &fakeFunctions{shelf: newShelf(c.functions(), w)}
	w.streams, w.sources, w.compared, w.ledger, w.system = &fakeStreams{}, &fakeSources{}, &fakeComparisons{}, &fakeLedger{}, &fakeSystem{}
	c.dial = func(url, token string) api.Cloud {
		w.dialled = append(w.dialled, url+" "+token)
		return w.cloud()
	}
	return w
}

func (w *world) cloud() api.Cloud {
	return api.Cloud{Apps: w.apps, Instances: w.instances, Keys: w.keys, SecurityGroups: w.groups, Databases: w.databases, Backups: w.backups,
		Projects: w.projects, Networks: w.networks, Images: w.images, Volumes: w.volumes, Snapshots: w.snapshots, LoadBalancers: w.balancers, InstanceGroups: w.fleets,
		Functions: w.functions, Streams: w.streams, Sources: w.sources, Comparisons: w.compared, Ledger: w.ledger, System: w.system}
}

// run runs a command line and returns what came of it as one text: stdout, then stderr with "! " before each line, then
// the exit status where it is not 0.
func (w *world) run(line ...string) string {
	w.cli.started, w.cli.failure = false, nil
	w.cli.flags = globals{}
	w.out.Reset()
	w.err.Reset()
	status := w.execute(context.Background(), line)
	text := w.out.String()
	for l := range strings.Lines(w.err.String()) {
		text += "! " + l
	}
	if status != 0 {
		text += fmt.Sprintf("exit %d\n", status)
	}
	return text
}

// check compares what a command line does with a whole text.
func (w *world) check(t *testing.T, want string, line ...string) {
	t.Helper()
	if got := w.run(line...); got != want {
		t.Errorf("nuage %s\ngot:\n%s\nwant:\n%s", strings.Join(line, " "), got, want)
	}
}

type fakeApps struct {
	*shelf[api.App, api.AppSpec]
	to    int
	split api.Split
}

func (f *fakeApps) Split(ctx context.Context, project, name string, split api.Split) (api.App, error) {
	f.split = split
	return f.Get(ctx, project, name)
}

func (f *fakeApps) Releases(context.Context, string, string) (api.List[api.Release], error) {
	return api.List[api.Release]{Items: []api.Release{
		{Number: 2, Image: "sha256:0123456789abcdef", State: "serving", Share: 100, By: "admin", CreatedAt: f.now()},
		{Number: 1, State: "failed", Reason: "the build failed", By: "admin", CreatedAt: f.now().Add(-time.Hour)},
	}}, nil
}

func (f *fakeApps) Rollback(ctx context.Context, project, name string, to int) (api.App, error) {
	f.to = to
	return f.Get(ctx, project, name)
}

func (f *fakeApps) Promote(ctx context.Context, _, name, to string) (api.Promotion, error) {
	a, err := f.Get(ctx, to, name)
	a.Project = to
	return api.Promotion{App: a, Missing: []string{"setting MODE", "database orders"}}, err
}

type fakeInstances struct {
	*shelf[api.Instance, api.InstanceSpec]
}

func (f *fakeInstances) Power(ctx context.Context, project, name string, action api.PowerAction) (api.Instance, error) {
	i, err := f.get(name)
	if err == nil {
		i.Spec.Stopped = action == api.PowerStop
		i.Generation++
	}
	if err != nil {
		return api.Instance{}, err
	}
	return *i, nil
}

func (f *fakeInstances) Reclaim(_ context.Context, _, name string, notice time.Duration) (api.Instance, error) {
	i, err := f.get(name)
	if err != nil {
		return api.Instance{}, err
	}
	at := f.now().Add(notice)
	i.Status.Reclaim = &at
	return *i, nil
}

func (f *fakeInstances) Metrics(_ context.Context, _, name string) (api.InstanceMetrics, error) {
	i, err := f.get(name)
	if err != nil {
		return api.InstanceMetrics{}, err
	}
	return api.InstanceMetrics{At: i.CreatedAt, CPUSeconds: 1.5, CPUPercent: 12.5, MemoryBytes: 64 << 20, MemoryLimit: 1 << 30, ReceiveBytes: 2048,
		TransmitBytes: 1024, ReadBytes: 4096, WriteBytes: 0, Processes: 3, ProcessLimit: 512}, nil
}

type fakeVolumes struct {
	*shelf[api.Volume, api.VolumeSpec]
	restart bool
}

func (f *fakeVolumes) Attach(_ context.Context, _, name string, to api.Attachment, restart bool) (api.Volume, error) {
	v, err := f.get(name)
	if err != nil {
		return api.Volume{}, err
	}
	v.Status.Attached, f.restart = &to, restart
	return *v, nil
}

func (f *fakeVolumes) Detach(_ context.Context, _, name string, restart bool) (api.Volume, error) {
	v, err := f.get(name)
	if err != nil {
		return api.Volume{}, err
	}
	v.Status.Attached, f.restart = nil, restart
	return *v, nil
}

type fakeProjects struct {
	api.Projects
	project api.Project
}

func (f *fakeProjects) Get(context.Context, string) (api.Project, error) { return f.project, nil }

func (f *fakeProjects) Update(_ context.Context, _ string, spec api.ProjectSpec, _ int64) (api.Project, error) {
	f.project.Spec = spec
	f.project.Generation++
	return f.project, nil
}

type fakeDatabases struct {
	*shelf[api.Database, api.DatabaseSpec]
}

func (f *fakeDatabases) Credentials(context.Context, string, string) (api.Credentials, error) {
	return api.Credentials{User: "nuage", Password: "secret", URL: "postgres://nuage:secret@127.0.0.1:5555/orders", InternalURL: "postgres://nuage:secret@orders:5432/orders"}, nil
}

func (f *fakeDatabases) Rotate(context.Context, string, string) (api.Credentials, error) {
	return api.Credentials{User: "nuage_b", Password: "other", URL: "postgres://nuage_b:other@127.0.0.1:5555/orders", InternalURL: "postgres://nuage_b:other@orders:5432/orders"}, nil
}

type fakeFunctions struct {
	*shelf[api.Function, api.FunctionSpec]
	call   api.Invocation
	answer api.Answer
	last   int
}

func (f *fakeFunctions) Invoke(_ context.Context, _, _ string, call api.Invocation) (api.Answer, error) {
	f.call = call
	return f.answer, nil
}

func (f *fakeFunctions) Calls(_ context.Context, _, _ string, last int) (api.List[api.Receipt], error) {
	f.last = last
	return api.List[api.Receipt]{Items: []api.Receipt{f.answer.Receipt}}, nil
}

type fakeStreams struct {
	noun, name string
	cmd        api.Command
	in         string
	status     int
	query      api.LogQuery
}

func (f *fakeStreams) Exec(_ context.Context, _, noun, name string, cmd api.Command, stdio api.Stdio) (int, error) {
	data, err := io.ReadAll(stdio.In)
	f.noun, f.name, f.cmd, f.in = noun, name, cmd, string(data)
	fmt.Fprintln(stdio.Out, "to stdout")
	fmt.Fprintln(stdio.Err, "to stderr")
	return f.status, err
}

func (f *fakeStreams) Logs(_ context.Context, _, noun, name string, q api.LogQuery) (io.ReadCloser, error) {
	f.noun, f.name, f.query = noun, name, q
	return io.NopCloser(strings.NewReader("line 1\nline 2\n")), nil
}

type fakeSources struct{ content []byte }

func (f *fakeSources) Put(_ context.Context, _ string, content io.Reader) (api.Source, error) {
	var err error
	f.content, err = io.ReadAll(content)
	return api.Source{ID: "src-1", Size: int64(len(f.content))}, err
}

type fakeComparisons struct {
	comparison api.Comparison
	kept       []api.Measurement
}

func (f *fakeComparisons) Compare(context.Context, string, []string) (api.Comparison, error) {
	return f.comparison, nil
}

func (f *fakeComparisons) Measure(_ context.Context, _ string, m api.Measurement) error {
	f.kept = append(f.kept, m)
	return nil
}

type fakeLedger struct {
	bill  api.Bill
	query api.BillQuery
}

func (f *fakeLedger) Usage(context.Context, api.UsageQuery) (api.List[api.Usage], error) {
	return api.List[api.Usage]{}, nil
}

func (f *fakeLedger) Bill(_ context.Context, q api.BillQuery) (api.Bill, error) {
	f.query = q
	return f.bill, nil
}

func (f *fakeLedger) Close(context.Context, string) (api.Bill, error) { return f.bill, nil }

func (f *fakeLedger) Invoices(context.Context, api.Page) (api.List[api.Invoice], error) {
	return api.List[api.Invoice]{}, nil
}

func (f *fakeLedger) Retention(context.Context) (api.Retention, error) { return api.Retention{}, nil }

func (f *fakeLedger) SetRetention(_ context.Context, r api.Retention) (api.Retention, error) {
	return r, nil
}

func (f *fakeLedger) Prices(context.Context, string) (api.PriceBook, error) {
	return api.PriceBook{Name: "nuage", Version: "1", Date: "2026-01-01", Currency: "USD", Source: "made up",
		Prices: []api.Price{{Meter: "function-mb-ms", Service: "functions", Model: "faas", Unit: "GB-second", UnitPrice: "0.0000166667", Free: "400000 GB-seconds a month",
			Tiers: []api.PriceTier{{Above: "6000000000", UnitPrice: "0.000015"}}}}}, nil
}

type fakeSystem struct {
	status api.CloudStatus
	backup error
}

func (f *fakeSystem) Status(context.Context) (api.CloudStatus, error) { return f.status, nil }
func (f *fakeSystem) Shutdown(context.Context) error                  { return nil }
func (f *fakeSystem) Backup(_ context.Context, w io.Writer) error {
	if _, err := io.WriteString(w, "the state"); err != nil {
		return err
	}
	return f.backup
}
