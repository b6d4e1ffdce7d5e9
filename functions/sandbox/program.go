package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"nuage/api"
	"nuage/compute/guest/sandbox/wire"
	"nuage/functions"
)

// program is one deployment. Runtime.mu guards idle, waiters and closed.
type program struct {
	r     *Runtime
	d     functions.Deployment
	l     language
	code  string // the staged code
	pool  *pool
	using bool // counted in pool.users

	idle    []*box // bound to it; the one used last at the end
	waiters []*waiter
	closed  bool
}

// newProgram stages the code.
func (r *Runtime) newProgram(d functions.Deployment) (*program, error) {
	l := r.languages[d.Runtime]
	if d.Handler == "" {
		d.Handler = l.handler
	}
	p := &program{r: r, d: d, l: l, code: filepath.Join(r.codeDir(), randomHex(8))}
	if err := stage(d.CodeDir, p.code, l, d.Handler); err != nil {
		return nil, api.Errorf(api.Internal, "cannot copy the code of function %q: %w", d.Name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.pool = r.pool(keyOf(d))
	return p, nil
}

// Close implements functions.Program.
func (p *program) Close() error {
	r := p.r
	r.mu.Lock()
	p.closed = true
	for _, b := range slices.Clone(p.idle) {
		r.unidle(b)
		r.discard(b)
	}
	if p.using {
		p.pool.users--
	}
	if p.pool.users == 0 {
		for _, b := range p.pool.ready {
			r.discard(b)
		}
		p.pool.ready = nil
	}
	r.mu.Unlock()
	if err := os.RemoveAll(p.code); err != nil {
		return fmt.Errorf("cannot remove the code of function %q: %w", p.d.Name, err)
	}
	return nil
}

// errUnused says that a sandbox was gone before the function saw the event.
var errUnused = errors.New("the sandbox was gone")

// attempts bounds the sandboxes that one call may find gone.
const attempts = 3

// Call implements functions.Program. An event that is no JSON is Invalid for an interpreter; an empty one is {}.
func (p *program) Call(ctx context.Context, e functions.Event) (functions.Outcome, error) {
	if len(e.Payload) == 0 {
		e.Payload = []byte("{}")
	}
	if p.l.jsonOnly && !json.Valid(e.Payload) {
		return functions.Outcome{}, api.Errorf(api.Invalid, "cannot call function %q: the payload is not JSON", p.d.Name)
	}
	for range attempts {
		o, err := p.attempt(ctx, e)
		if !errors.Is(err, errUnused) {
			return o, err
		}
	}
	return functions.Outcome{}, api.Errorf(api.Unavailable, "cannot call function %q: %d sandboxes in a row were gone; see whether the engine is well", p.d.Name, attempts)
}

// attempt makes the call in one sandbox.
func (p *program) attempt(ctx context.Context, e functions.Event) (functions.Outcome, error) {
	b, warm, err := p.r.acquire(ctx, p)
	if err != nil {
		return functions.Outcome{}, err
	}
	stop := context.AfterFunc(ctx, b.interrupt)
	defer stop()
	o, reusable, err := p.use(ctx, b, warm, e)
	if err == nil && reusable {
		p.r.put(b)
		return o, nil
	}
	p.r.drop(b)
	if ctx.Err() != nil && o.Status != functions.OK {
		return functions.Outcome{}, stopping(p)
	}
	return o, err
}

// use runs the event in a sandbox that may have to be bound first.
func (p *program) use(ctx context.Context, b *box, warm bool, e functions.Event) (o functions.Outcome, reusable bool, err error) {
	if !warm {
		o, err = p.bind(ctx, b, e)
		if err != nil || o.Status != "" {
			return o, false, err
		}
		p.r.throttle(b, p.d.MemoryMB)
	}
	reusable, err = p.invoke(ctx, b, e, &o)
	return o, reusable, err
}

// bind makes a waiting sandbox this function's. An outcome with a status says why its code could not be loaded.
func (p *program) bind(ctx context.Context, b *box, e functions.Event) (functions.Outcome, error) {
	b.program = p
	begin := time.Now()
	o := functions.Outcome{Cold: true}
	f, err := p.load(ctx, b, p.binding(b), e.Log)
	o.Init = time.Since(begin)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		o.Status, o.Payload = functions.Timeout, functions.TimedOut(e.RequestID, initLimit)
		return o, nil
	case err != nil:
		return o, fmt.Errorf("%w: %w", errUnused, err)
	}
	return o, p.loaded(f, e, &o)
}

// binding makes a sandbox this function's.
func (p *program) binding(b *box) wire.Binding {
	binding := wire.Binding{Handler: p.d.Handler, Env: p.environment(b)}
	if p.l.ahead == nil {
		binding.Command, binding.Dir = []string{taskPath + "/" + bootstrapFile}, taskPath
	}
	return binding
}

// load sends the code and waits until it is loaded, or is not.
func (p *program) load(ctx context.Context, b *box, binding wire.Binding, log io.Writer) (wire.Frame, error) {
	if err := link(p.code, b.taskDir()); err != nil {
		return wire.Frame{}, err
	}
	if err := b.until(ctx, time.Now().Add(initLimit)); err != nil {
		return wire.Frame{}, err
	}
	if err := wire.Write(b.conn, wire.Bind, binding, nil); err != nil {
		return wire.Frame{}, err
	}
	return b.receive(log)
}

// loaded reads what came of loading the code.
func (p *program) loaded(f wire.Frame, e functions.Event, o *functions.Outcome) error {
	switch f.Kind {
	case wire.Ready:
		return nil
	case wire.Failed:
		o.Status, o.Payload = functions.Error, f.Body
		return p.usage(f, o)
	case wire.Exited:
		return p.exited(f, e, o)
	}
	return unexpected(f)
}

func unexpected(f wire.Frame) error {
	return api.Errorf(api.Internal, "cannot understand a sandbox: it sent a frame %q", f.Kind)
}

func (p *program) usage(f wire.Frame, o *functions.Outcome) error {
	var u wire.Usage
	err := f.Decode(&u)
	o.MaxMemoryMB = p.megabytes(u.MemoryBytes)
	return err
}

// megabytes rounds up. What processes share is counted in each of them, so the sum can be over what they may have.
func (p *program) megabytes(bytes int64) int64 { return min(p.d.MemoryMB, (bytes+1<<20-1)>>20) }

// exited is a process that ended without an answer.
func (p *program) exited(f wire.Frame, e functions.Event, o *functions.Outcome) error {
	var x wire.Exit
	if err := f.Decode(&x); err != nil {
		return err
	}
	if x.OutOfMemory {
		x.How += fmt.Sprintf(", for it needed more than its %d MB of memory", p.d.MemoryMB)
	}
	o.Status, o.Payload, o.MaxMemoryMB = functions.Crash, functions.Exited(e.RequestID, x.How), p.megabytes(x.MemoryBytes)
	return nil
}

// environment is what a function finds in its environment beside what every sandbox has.
func (p *program) environment(b *box) map[string]string {
	env := make(map[string]string, len(p.d.Env)+8)
	for name, value := range p.d.Env {
		env[name] = value
	}
	for name, value := range map[string]string{
		"AWS_REGION":                      region,
		"AWS_DEFAULT_REGION":              region,
		"AWS_LAMBDA_FUNCTION_NAME":        p.d.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     fmt.Sprint(p.d.Version),
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": fmt.Sprint(p.d.MemoryMB),
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + p.d.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      b.id,
		"AWS_LAMBDA_RUNTIME_API":          "127.0.0.1:9001",
		"LAMBDA_TASK_ROOT":                taskPath,
		"LAMBDA_RUNTIME_DIR":              runtimePath,
	} {
		env[name] = value
	}
	if p.l.execution != "" {
		env["AWS_EXECUTION_ENV"] = p.l.execution
	}
	return env
}

// region and account are the parts of an ARN that this cloud has no use for.
const (
	region  = "local"
	account = "000000000000"
)

// invoke gives the function one event. Errors before it was accepted are errUnused.
func (p *program) invoke(ctx context.Context, b *box, e functions.Event, o *functions.Outcome) (reusable bool, err error) {
	begin := time.Now()
	if err := b.until(ctx, begin.Add(e.Timeout+replyGrace)); err != nil {
		return false, fmt.Errorf("%w: %w", errUnused, err)
	}
	head := wire.Event{
		RequestID: e.RequestID, ContentType: p.contentType(e), TimeoutMs: e.Timeout.Milliseconds(),
		FunctionARN: "arn:aws:lambda:" + region + ":" + account + ":function:" + p.d.Name,
	}
	if err := wire.Write(b.conn, wire.Invoke, head, e.Payload); err != nil {
		return false, fmt.Errorf("%w: %w", errUnused, err)
	}
	if f, err := b.receive(e.Log); err != nil || f.Kind != wire.Accepted {
		return false, errUnused // a frame that says how it ended is of no more interest
	}
	f, err := b.receive(e.Log)
	o.Duration = time.Since(begin)
	return p.answered(f, err, e, o)
}

// contentType is that of the event, which is JSON wherever it has to be.
func (p *program) contentType(e functions.Event) string {
	if p.l.jsonOnly || e.ContentType == "" {
		return "application/json"
	}
	return e.ContentType
}

// answered reads what came of an event the function has seen.
func (p *program) answered(f wire.Frame, err error, e functions.Event, o *functions.Outcome) (reusable bool, _ error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		o.Status = functions.Timeout
		return false, nil
	case err != nil:
		o.Status, o.Payload = functions.Crash, functions.Exited(e.RequestID, "its sandbox is gone")
		return false, nil
	case f.Kind == wire.Exited:
		return false, p.exited(f, e, o)
	case f.Kind != wire.Done:
		return false, unexpected(f)
	}
	var result wire.Result
	if err := f.Decode(&result); err != nil {
		return false, err
	}
	o.Payload, o.ContentType, o.MaxMemoryMB = f.Body, result.ContentType, p.megabytes(result.MemoryBytes)
	switch {
	case result.TimedOut:
		o.Status = functions.Timeout
	case result.Error:
		o.Status = functions.Error
	default:
		o.Status = functions.OK
	}
	return result.Reusable, nil
}

// check reads a program, or lets a sandbox parse the code and gives it up.
func (p *program) check(ctx context.Context) error {
	if p.l.check != nil {
		return p.l.check(p.d.Name, p.code)
	}
	b, _, err := p.r.acquire(ctx, p)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, b.interrupt)
	defer stop()
	defer p.r.drop(b)
	var printed bytes.Buffer
	f, err := p.load(ctx, b, wire.Binding{Handler: p.d.Handler, Check: true}, &printed)
	switch {
	case err != nil:
		return api.Errorf(api.Unavailable, "cannot check function %q: its sandbox does not answer: %w", p.d.Name, err)
	case f.Kind == wire.Ready:
		return nil
	case f.Kind == wire.Failed:
		var d functions.Document
		if err := json.Unmarshal(f.Body, &d); err != nil {
			return unexpected(f)
		}
		return api.Errorf(api.Invalid, "cannot deploy function %q: %s", p.d.Name, d.ErrorMessage)
	}
	return api.Errorf(api.Invalid, "cannot deploy function %q: the interpreter ended while it read the code: %s", p.d.Name, bytes.TrimSpace(printed.Bytes()))
}
