package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// process is the language runtime. All that it starts is a process of this container too, and PID 1 is the parent
// of what is orphaned.
type process struct {
	pid     int
	output  *output
	control *os.File // the other end of its file descriptor 3, or nil
	ended   chan exit
}

// exit is how a process ended.
type exit struct {
	status syscall.WaitStatus
	maxRSS int64 // bytes, of it or any of the processes it waited for
}

// how says what happened in words.
func (e exit) how() string {
	switch {
	case e.status.Signaled():
		return "signal: " + e.status.Signal().String()
	case e.status.ExitStatus() == 0:
		return "exited without providing a reason"
	}
	return fmt.Sprintf("exit status %d", e.status.ExitStatus())
}

// start starts the runtime in a session of its own, in a directory and as the function's user.
func start(command, env []string, dir string, uid int, ahead bool) (*process, error) {
	path, err := lookPath(command, env)
	if err != nil {
		return nil, err
	}
	out, stdout, err := newOutput()
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	p := &process{output: out, ended: make(chan exit, 1)}
	files := []*os.File{null, stdout, stdout}
	if ahead {
		theirs, err := p.pair()
		if err != nil {
			return nil, err
		}
		defer theirs.Close()
		files = append(files, theirs)
	}
	attr := &os.ProcAttr{Dir: dir, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true}}
	if uid > 0 {
		attr.Sys.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	return p, p.launch(path, command, attr)
}

// pair makes the channel to the process's file descriptor 3.
func (p *process) pair() (*os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	p.control = os.NewFile(uintptr(fds[0]), "control")
	return os.NewFile(uintptr(fds[1]), "control"), nil
}

// launch starts the process; reaping begins before it can end.
func (p *process) launch(path string, command []string, attr *os.ProcAttr) error {
	r := &reaper{}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin()
	if err := firstToGo(true); err != nil {
		return err
	}
	child, err := os.StartProcess(path, command, attr)
	if err := firstToGo(false); err != nil {
		return err
	}
	if err != nil {
		return fmt.Errorf("cannot start %q: %w", command[0], err)
	}
	p.pid = child.Pid
	r.pid, r.ended = child.Pid, p.ended
	return child.Release()
}

// firstToGo says whether what is started now goes first when memory runs out. PID 1 itself never should.
func firstToGo(yes bool) error {
	if os.Getpid() != 1 {
		return nil
	}
	score := "0"
	if yes {
		score = "1000"
	}
	return os.WriteFile("/proc/self/oom_score_adj", []byte(score), 0)
}

func lookPath(command, env []string) (string, error) {
	if len(command) == 0 {
		return "", fmt.Errorf("cannot start the function: it names no command")
	}
	if strings.Contains(command[0], "/") {
		return command[0], nil
	}
	for _, v := range env {
		if list, ok := strings.CutPrefix(v, "PATH="); ok {
			for dir := range strings.SplitSeq(list, ":") {
				if path, err := exec.LookPath(dir + "/" + command[0]); err == nil {
					return path, nil
				}
			}
		}
	}
	return "", fmt.Errorf("cannot start %q: no such program", command[0])
}

// reaper takes the exit status of every child of PID 1 and tells about one.
type reaper struct {
	mu    sync.Mutex // held until the one is known
	pid   int
	ended chan exit
}

func (r *reaper) begin() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	go func() {
		for range ended {
			for r.reapOne() {
			}
		}
	}()
}

// reapOne reports whether there may be another one.
func (r *reaper) reapOne() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var status syscall.WaitStatus
	var usage syscall.Rusage
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, &usage)
	if err == syscall.EINTR {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	if pid == r.pid {
		r.ended <- exit{status, usage.Maxrss << 10}
	}
	return true
}

// halt stops all processes of the sandbox but PID 1, at once and whatever they do.
func (p *process) halt() { p.signal(unix.SIGSTOP) }

// proceed lets them go on.
func (p *process) proceed() { p.signal(unix.SIGCONT) }

// signal reaches all processes but PID 1; outside a container only the group.
func (p *process) signal(s syscall.Signal) {
	target := -1
	if os.Getpid() != 1 {
		target = -p.pid
	}
	_ = syscall.Kill(target, s) // none is left: nothing to do
}
