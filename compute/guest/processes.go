//go:build linux

package guest

import (
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nuage/api"
)

const (
	stopGrace = 3 * time.Second
	threads   = 24 // of PID 1; more than it has ever used
)

// processes starts everything that runs in the machine and reaps it, and the orphans with it: PID 1 is the parent of
// all, so nothing but reap may wait for a child.
type processes struct {
	mu       sync.Mutex // held while a child is started, so that its end is never seen before it is known
	running  map[int]*process
	stopping bool
	empty    chan struct{} // closed when stopping and no child is left
}

// reserveThreads makes so many threads and lets them idle. When processes inside have used up what the engine lets the
// machine have, PID 1 gets no further one, and the Go runtime would end over that.
func reserveThreads(count int) {
	var ready, parked sync.WaitGroup
	ready.Add(count)
	release := make(chan struct{})
	for range count {
		parked.Go(func() {
			runtime.LockOSThread() // each holds one of its own until all have one
			defer runtime.UnlockOSThread()
			ready.Done()
			<-release
		})
	}
	ready.Wait()
	close(release)
	parked.Wait()
}

// process is a child of PID 1, and the leader of its own session and process group.
type process struct {
	procs  *processes
	pid    int
	done   chan struct{}
	status syscall.WaitStatus // once done
}

func newProcesses() *processes {
	return &processes{running: map[int]*process{}, empty: make(chan struct{})}
}

// start starts a program without the capabilities PID 1 has; files are its stdin, stdout and stderr, and stay the caller's.
func (p *processes) start(prog program, env []string, files [3]*os.File, tty bool) (*process, error) {
	argv, err := prog.argv()
	if err != nil {
		return nil, err
	}
	attr := &os.ProcAttr{Dir: "/", Env: env, Files: files[:], Sys: &syscall.SysProcAttr{Setsid: true, Setctty: tty}}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return nil, errStopping()
	}
	child, err := os.StartProcess(self, argv, attr)
	if err != nil {
		return nil, api.Errorf(api.Unavailable, "cannot start a process: %w", err)
	}
	c := &process{procs: p, pid: child.Pid, done: make(chan struct{})}
	p.running[child.Pid] = c
	child.Release() // reap waits for it
	return c, nil
}

// signal sends to the process group, while its leader lives.
func (c *process) signal(sig syscall.Signal) {
	c.procs.mu.Lock()
	defer c.procs.mu.Unlock()
	if c.procs.running[c.pid] == c {
		syscall.Kill(-c.pid, sig) // it may just have ended
	}
}

// reap takes the exit status of every child, known or orphan, for as long as the machine lives.
func (p *processes) reap() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	for {
		for p.reapOne() {
		}
		<-ended
	}
}

// reapOne reports whether there may be another one.
func (p *processes) reapOne() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	if err == syscall.EINTR {
		return true
	}
	if err == syscall.ECHILD && p.stopping {
		p.closeEmpty()
	}
	if err != nil || pid <= 0 {
		return false
	}
	if c := p.running[pid]; c != nil {
		c.status = status
		delete(p.running, pid)
		close(c.done)
	}
	return true
}

func (p *processes) closeEmpty() {
	select {
	case <-p.empty:
	default:
		close(p.empty)
	}
}

// stopAll ends every process of the machine: it asks, and after the grace it kills.
func (p *processes) stopAll(grace time.Duration) {
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	if os.Getpid() != 1 {
		return // kill(-1) is for a machine of our own
	}
	for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGCONT} {
		syscall.Kill(-1, sig) // no process is left: nothing to do
	}
	if p.awaitEmpty(grace) {
		return
	}
	syscall.Kill(-1, unix.SIGKILL)
	p.awaitEmpty(time.Second)
}

func (p *processes) awaitEmpty(limit time.Duration) bool {
	syscall.Kill(os.Getpid(), unix.SIGCHLD) // look once even if nothing ends any more
	select {
	case <-p.empty:
		return true
	case <-time.After(limit):
		return false
	}
}
