package functions

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
)

// Options are what an Invoker needs. Only Runtimes and Journal are required.
type Options struct {
	Runtimes       map[string]Runtime // by name: wasm, python. The Invoker closes them
	Journal        Journal
	Logger         *slog.Logger
	Registerer     prometheus.Registerer // nil: nothing is counted
	Now            func() time.Time
	MaxConcurrency int           // calls at once over all functions; 1000 when 0
	Drain          time.Duration // how long Close lets calls finish; 10 s when 0
	LogLines       int           // lines kept for each function; 1000 when 0
}

// Invoker calls functions. All methods are safe for concurrent use.
type Invoker struct {
	options Options
	metrics *metrics
	slots   slots
	base    context.Context // ends when calls must
	cancel  context.CancelFunc

	mu        sync.Mutex
	functions map[string]*function
	projects  map[string]*slots // by name; they stay, a project's calls at once are counted from its first deploy on
	closed    bool
	busy      sync.WaitGroup // calls, and versions being closed
}

// function is a deployed function with its log, which outlives versions.
type function struct {
	deploying sync.Mutex // one Deploy or Remove at a time
	log       *Log
	slots     slots
	current   *version         // guarded by Invoker.mu; nil before the first deploy and after removal
	published map[int]*version // guarded by Invoker.mu
}

// version is one deployment that takes calls.
type version struct {
	Deployment
	program Program
	series  *series
	project *slots // those of its project
	calls   int    // guarded by Invoker.mu
	retired bool   // guarded by Invoker.mu
}

// New makes an Invoker. Close frees it.
func New(o Options) *Invoker {
	o = o.withDefaults()
	base, cancel := context.WithCancel(context.Background())
	i := &Invoker{options: o, base: base, cancel: cancel, functions: map[string]*function{}, projects: map[string]*slots{}}
	i.metrics = newMetrics(o.Registerer)
	i.slots.setLimit(o.MaxConcurrency)
	return i
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxConcurrency == 0 {
		o.MaxConcurrency = 1000
	}
	if o.Drain == 0 {
		o.Drain = 10 * time.Second
	}
	if o.LogLines == 0 {
		o.LogLines = 1000
	}
	return o
}

// Deploy makes d the version that takes calls; one that is Published takes those that name it. The code is checked and made ready first; then d takes over and the
// calls of the version before it finish on that one. Deploying what already serves does nothing.
// Invalid: the code can not run, with the compiler's or interpreter's text. Unsupported: no such runtime here.
// Unavailable: the engine does not answer, or the Invoker is closed. Conflict: a newer version serves already. On an
// error the version before it goes on.
func (i *Invoker) Deploy(ctx context.Context, d Deployment) error {
	d = d.withDefaults()
	runtime, ok := i.options.Runtimes[d.Runtime]
	if !ok {
		return api.Errorf(api.Unsupported, "cannot deploy function %q: this cloud has no runtime %q", d.Name, d.Runtime)
	}
	f := i.function(d.FunctionID)
	f.deploying.Lock()
	defer f.deploying.Unlock()
	if done, err := i.serves(f, d); done || err != nil {
		return err
	}
	program, err := open(ctx, runtime, d)
	if err != nil {
		return err
	}
	return i.swap(d.FunctionID, f, &version{Deployment: d, program: program, series: i.metrics.series(d.Project, d.Name), project: i.projectSlots(d.Project)})
}

func (d Deployment) withDefaults() Deployment {
	if d.MemoryMB == 0 {
		d.MemoryMB = api.DefaultMemoryMB
	}
	if d.TimeoutMs == 0 {
		d.TimeoutMs = api.DefaultTimeoutMs
	}
	return d
}

func open(ctx context.Context, r Runtime, d Deployment) (Program, error) {
	if !d.Checked {
		if err := r.Check(ctx, d); err != nil {
			return nil, err
		}
	}
	return r.Open(ctx, d)
}

// Check says whether d could be deployed, without deploying it. Errors as for Deploy.
func (i *Invoker) Check(ctx context.Context, d Deployment) error {
	runtime, ok := i.options.Runtimes[d.Runtime]
	if !ok {
		return api.Errorf(api.Unsupported, "cannot deploy function %q: this cloud has no runtime %q", d.Name, d.Runtime)
	}
	return runtime.Check(ctx, d.withDefaults())
}

// Remove takes a function away; its calls finish. An unknown one is fine.
func (i *Invoker) Remove(functionID string) {
	i.mu.Lock()
	f := i.functions[functionID]
	i.mu.Unlock()
	if f == nil {
		return
	}
	f.deploying.Lock()
	defer f.deploying.Unlock()
	i.mu.Lock()
	delete(i.functions, functionID)
	i.mu.Unlock()
	i.retireVersions(f)
	f.log.Close()
}

// Withdraw takes a published version away; its calls finish. An unknown one is fine.
func (i *Invoker) Withdraw(functionID string, number int) {
	i.mu.Lock()
	var old *version
	if f := i.functions[functionID]; f != nil {
		old = f.published[number]
		delete(f.published, number)
	}
	i.mu.Unlock()
	i.retire(old)
}

// retireVersions retires all versions of a function.
func (i *Invoker) retireVersions(f *function) {
	i.mu.Lock()
	all := slices.Collect(maps.Values(f.published))
	all = append(all, f.current)
	f.current, f.published = nil, map[int]*version{}
	i.mu.Unlock()
	for _, v := range all {
		i.retire(v)
	}
}

// LimitProject bounds the calls of all functions of a project at once; 0: only the Invoker's own bound. Those under way go on.
func (i *Invoker) LimitProject(project string, calls int) { i.projectSlots(project).setLimit(calls) }

// projectSlots finds or makes the slots of a project.
func (i *Invoker) projectSlots(project string) *slots {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.projects[project]
	if s == nil {
		s = &slots{}
		i.projects[project] = s
	}
	return s
}

// Logs returns the newest lines of a function that are asked for, oldest first. With Follow the reader goes on until the caller closes
// it or the function is removed. NotFound.
func (i *Invoker) Logs(functionID string, q LogQuery) (io.ReadCloser, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f := i.functions[functionID]
	if f == nil {
		return nil, api.Errorf(api.NotFound, "cannot read the log of function %q: it is not deployed", functionID)
	}
	return f.log.Reader(q), nil
}

// Close refuses new calls, lets those under way finish for Options.Drain, stops the rest and closes the runtimes.
func (i *Invoker) Close() error {
	i.mu.Lock()
	already := i.closed
	i.closed = true
	i.mu.Unlock()
	if already {
		return nil
	}
	stop := time.AfterFunc(i.options.Drain, i.cancel)
	defer stop.Stop()
	i.retireAll()
	i.busy.Wait()
	i.cancel()
	return i.closeRuntimes()
}

func (i *Invoker) retireAll() {
	i.mu.Lock()
	functions := i.functions
	i.functions = map[string]*function{}
	i.mu.Unlock()
	for _, f := range functions {
		i.retireVersions(f)
		f.log.Close()
	}
}

func (i *Invoker) closeRuntimes() error {
	var first error
	for _, r := range i.options.Runtimes {
		if err := r.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// function finds a function or begins one that has no version yet.
func (i *Invoker) function(id string) *function {
	i.mu.Lock()
	defer i.mu.Unlock()
	f := i.functions[id]
	if f == nil {
		f = &function{log: NewLog(i.options.LogLines), published: map[int]*version{}}
		i.functions[id] = f
	}
	return f
}

// serves says whether d takes the calls already. Conflict: a newer one does.
func (i *Invoker) serves(f *function, d Deployment) (bool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if d.Published {
		opened := f.published[d.Version]
		return opened != nil && opened.like(d), nil
	}
	if f.current == nil {
		return false, nil
	}
	serving := f.current.Deployment
	if serving.Version > d.Version {
		return false, api.Errorf(api.Conflict, "cannot deploy version %d of function %q: version %d serves already", d.Version, d.Name, serving.Version)
	}
	return f.current.like(d), nil
}

// like tells that a version was opened from the very same deployment.
func (v *version) like(d Deployment) bool {
	was := v.Deployment
	was.Checked, d.Checked = false, false
	return reflect.DeepEqual(was, d)
}

// Opened are the numbers of the published versions of a function that can be called without being deployed before.
func (i *Invoker) Opened(functionID string) []int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if f := i.functions[functionID]; f != nil {
		return slices.Sorted(maps.Keys(f.published))
	}
	return nil
}

// swap lets v take the calls of f and retires the version before it.
func (i *Invoker) swap(id string, f *function, v *version) error {
	i.mu.Lock()
	if i.closed || i.functions[id] != f {
		i.mu.Unlock()
		i.closeProgram(v)
		return api.Errorf(api.Unavailable, "cannot deploy function %q: it was removed meanwhile, or the cloud is stopping", v.Name)
	}
	if v.Published {
		old := f.published[v.Version]
		f.published[v.Version] = v
		i.mu.Unlock()
		i.retire(old)
		return nil
	}
	old := f.current
	f.current = v
	i.mu.Unlock()
	f.slots.setLimit(v.Concurrency)
	i.retire(old)
	return nil
}

// version finds the one with a number, 0 for what was deployed last; nil: there is none. The lock is held.
func (f *function) version(number int) *version {
	if f.current != nil && (number == 0 || number == f.current.Version) {
		return f.current
	}
	return f.published[number]
}

// retire closes v's program once its last call is over.
func (i *Invoker) retire(v *version) {
	if v == nil {
		return
	}
	i.mu.Lock()
	v.retired = true
	idle := v.calls == 0
	i.mu.Unlock()
	if idle {
		i.closeProgram(v)
	}
}

func (i *Invoker) closeProgram(v *version) {
	if err := v.program.Close(); err != nil {
		i.options.Logger.Warn("cannot free a version of a function", "function", v.Name, "version", v.Version, "error", err)
	}
}

// acquire finds the version that takes a call now and counts one in.
func (i *Invoker) acquire(functionID string, number int) (*function, *version, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil, nil, api.Errorf(api.Unavailable, "cannot call function %q: the cloud is stopping", functionID)
	}
	f := i.functions[functionID]
	if f == nil || f.version(number) == nil {
		return nil, nil, api.Errorf(api.NotFound, "cannot call function %q: it is not deployed", functionID)
	}
	v := f.version(number)
	v.calls++
	i.busy.Add(1)
	return f, v, nil
}

// release counts a call out.
func (i *Invoker) release(v *version) {
	i.mu.Lock()
	v.calls--
	last := v.retired && v.calls == 0
	i.mu.Unlock()
	if last {
		i.closeProgram(v)
	}
	i.busy.Done()
}
