package sandbox

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"nuage/compute/guest/sandbox/wire"
)

// supervisor carries out the control plane's orders. Its observer methods run under the Runtime API's lock, so one
// at a time, and while the runtime waits.
type supervisor struct {
	settings settings
	api      *runtimeAPI
	process  *process // nil until the binding names a command
	failed   chan error
	used     chan wire.Usage // of the call that was answered last; nil: none was

	mu    sync.Mutex // one writer of frames
	conn  net.Conn
	timer *time.Timer // ends the call under way; guarded by mu
	call  int         // counts calls, so that a late timer finds no other one; guarded by mu
}

// newSupervisor starts the command that is to wait for its binding, where there is one.
func newSupervisor(s settings) (*supervisor, error) {
	sup := &supervisor{settings: s, failed: make(chan error, 4)}
	sup.api = newRuntimeAPI(sup)
	if len(s.command) == 0 {
		return sup, nil
	}
	p, err := start(s.command, s.env, temporary, s.uid, true)
	sup.process = p
	return sup, err
}

// temporary is where a runtime starts that has no code yet.
const temporary = "/tmp"

// fail ends the sandbox.
func (s *supervisor) fail(err error) {
	select {
	case s.failed <- err:
	default: // it ends already
	}
}

// serve takes the one connection of the control plane and returns when that ends.
func (s *supervisor) serve(l net.Listener) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	s.conn = conn
	if err := l.Close(); err != nil { // there is one control plane
		return err
	}
	go func() { s.fail(s.orders(bufio.NewReader(conn))) }()
	s.greet()
	return <-s.failed
}

// greet says hello once the runtime waits for its binding. One that ends before is told as Exited.
func (s *supervisor) greet() {
	if s.process != nil {
		s.watch()
		if _, err := bufio.NewReader(s.process.control).ReadString('\n'); err != nil {
			return
		}
		s.process.output.drain()
	}
	s.report(wire.Hello, nil, nil)
}

// watch follows what the process prints, and its end.
func (s *supervisor) watch() {
	s.process.output.to(func(b []byte) { s.report(wire.Log, nil, b) })
	go func() {
		if err := s.process.output.follow(); err != nil {
			s.fail(err)
		}
	}()
	go func() { s.exited(<-s.process.ended) }()
}

// orders reads the control plane's frames until it goes.
func (s *supervisor) orders(r *bufio.Reader) error {
	for {
		f, err := wire.Read(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch f.Kind {
		case wire.Bind:
			err = s.bind(f)
		case wire.Invoke:
			err = s.invoke(f)
		default:
			err = fmt.Errorf("cannot follow an order %q", f.Kind)
		}
		if err != nil {
			return err
		}
	}
}

// bind gives the waiting runtime its function, or starts the function's own command.
func (s *supervisor) bind(f wire.Frame) error {
	if s.process != nil {
		_, err := s.process.control.Write(append(f.Head, '\n'))
		return errors.Join(err, s.process.control.Close())
	}
	var b wire.Binding
	if err := f.Decode(&b); err != nil {
		return err
	}
	env := slices.Clone(s.settings.env)
	for name, value := range b.Env {
		env = append(env, name+"="+value)
	}
	s.api.mu.Lock() // the runtime is heard when all is ready for it
	defer s.api.mu.Unlock()
	p, err := start(b.Command, append(env, "_HANDLER="+b.Handler), cmp.Or(b.Dir, temporary), s.settings.uid, false)
	if err != nil {
		s.report(wire.Failed, wire.Usage{}, failure("Runtime.InvalidEntrypoint", err.Error()).body)
		return nil
	}
	s.process = p
	s.watch()
	return nil
}

// invoke lets the processes go on and hands the event over.
func (s *supervisor) invoke(f wire.Frame) error {
	var e wire.Event
	if err := f.Decode(&e); err != nil {
		return err
	}
	if s.process == nil {
		return errors.New("cannot run an event: nothing is bound")
	}
	if err := s.send(wire.Accepted, nil, nil); err != nil {
		return err
	}
	limit := time.Duration(e.TimeoutMs) * time.Millisecond
	s.mu.Lock()
	s.call++
	call := s.call
	s.timer = time.AfterFunc(limit, func() { s.timedOut(call) })
	s.mu.Unlock()
	s.process.proceed()
	if !s.api.invoke(event{id: e.RequestID, arn: e.FunctionARN, contentType: e.ContentType, payload: f.Body, deadline: time.Now().Add(limit)}) {
		return errors.New("cannot run an event: the runtime is not ready for one")
	}
	return nil
}

// over ends a call once: by its answer, its end of time, or its process's end. False: it is over already.
func (s *supervisor) over(call int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer == nil || call != 0 && call != s.call {
		return false
	}
	s.timer.Stop()
	s.timer = nil
	return true
}

// initialized implements observer.
func (s *supervisor) initialized() {
	s.process.output.drain()
	s.report(wire.Ready, s.usage(), nil)
}

// initFailed implements observer.
func (s *supervisor) initFailed(r result) {
	s.process.output.drain()
	s.report(wire.Failed, s.usage(), r.body)
}

// answered implements observer: what the call has used is looked up while the runtime comes for the next event, for it takes as long as that.
func (s *supervisor) answered() {
	used := make(chan wire.Usage, 1)
	s.used = used
	go func() { used <- s.usage() }()
}

// ended implements observer: the runtime has answered and asks for the next event. It is stopped before the answer
// leaves, so that nothing of it runs between two calls.
func (s *supervisor) ended(r result) {
	if !s.over(0) {
		return
	}
	s.process.halt()
	s.process.output.drain()
	s.report(wire.Done, wire.Result{Usage: <-s.used, ContentType: r.contentType, Error: r.failed, Reusable: true}, r.body)
}

// timedOut ends a call whose time is over. An answer that was given without asking for the next event counts.
func (s *supervisor) timedOut(call int) {
	if !s.over(call) {
		return
	}
	s.process.halt()
	s.process.output.drain()
	r, answered := s.api.settled()
	s.report(wire.Done, wire.Result{Usage: s.usage(), ContentType: r.contentType, Error: r.failed, TimedOut: !answered}, r.body)
}

// exited tells of the runtime's end. An answer that was given before counts.
func (s *supervisor) exited(e exit) {
	s.process.output.drain()
	usage := wire.Usage{MemoryBytes: e.maxRSS}
	if r, answered := s.api.settled(); answered && s.over(0) {
		s.report(wire.Done, wire.Result{Usage: usage, ContentType: r.contentType, Error: r.failed}, r.body)
		return
	}
	s.over(0)
	s.report(wire.Exited, wire.Exit{Usage: usage, How: e.how(), OutOfMemory: e.status.Signaled() && outOfMemory()}, nil)
}

func (s *supervisor) usage() wire.Usage { return wire.Usage{MemoryBytes: peakMemory(os.Getpid())} }

// send writes one frame.
func (s *supervisor) send(kind wire.Kind, head any, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return nil // nobody is there to be told
	}
	return wire.Write(s.conn, kind, head, body)
}

// report writes one frame and ends the sandbox where that fails.
func (s *supervisor) report(kind wire.Kind, head any, body []byte) {
	if err := s.send(kind, head, body); err != nil {
		s.fail(err)
	}
}
