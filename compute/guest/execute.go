//go:build linux

package guest

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"nuage/api"
	"nuage/compute/guest/link"
)

const (
	killAfter = 2 * time.Second        // from hang-up to kill
	linger    = 200 * time.Millisecond // how long a command's output may pause once the command has ended
	pipeMost  = 1 << 20                // a pipe holds no more, so what comes after that is not the command's
)

// execution is a program that talks to somebody: an SSH session or an exec.
type execution struct {
	program   program
	env       []string
	tty       bool
	size      [2]int
	killAtEnd bool // when ctx ends: kill what survives the hang-up
	signals   <-chan syscall.Signal
	typed     func(line string) // told each line typed at the prompt of a login shell; nil: nobody is
}

// execute runs it until it ends. When ctx ends its process group is hung up on. Output is complete when it returns,
// but for that of processes it left behind.
func (p *processes) execute(ctx context.Context, e execution, s link.Stdio) (syscall.WaitStatus, error) {
	t, err := newTerminal(e)
	if err != nil {
		return 0, err
	}
	c, err := p.start(e.program, e.env, t.inside, e.tty)
	t.closeInside()
	if err != nil {
		t.closeOutside()
		return 0, err
	}
	ended := &atomic.Bool{}
	var outputs sync.WaitGroup
	outputs.Go(func() { t.drain(s.Stdout, t.stdout, ended) })
	if t.stderr != nil {
		outputs.Go(func() { t.drain(s.Stderr, t.stderr, ended) })
	}
	if e.typed != nil && e.tty && s.Stdin != nil {
		s.Stdin = &typed{Reader: s.Stdin, tell: e.typed, prompt: func() bool { return t.atPrompt(c.pid) }}
	}
	go t.feed(s.Stdin)
	stop := make(chan struct{})
	go t.resize(s.Resize, stop)
	status, err := c.attend(ctx, e)
	close(stop)
	ended.Store(true)
	t.hurry()
	outputs.Wait()
	t.stdin.Close()
	return status, err
}

// attend waits for the end of the process, passing signals on; it hangs up when ctx ends.
func (c *process) attend(ctx context.Context, e execution) (syscall.WaitStatus, error) {
	over, kill := ctx.Done(), (<-chan time.Time)(nil)
	for {
		select {
		case <-c.done:
			return c.status, nil
		case sig := <-e.signals:
			c.signal(sig)
		case <-over:
			over = nil
			c.signal(unix.SIGHUP)
			c.signal(unix.SIGCONT)
			if !e.killAtEnd {
				return 0, api.Errorf(api.Unavailable, "cannot wait for the command: %w", context.Cause(ctx))
			}
			kill = time.After(killAfter)
		case <-kill:
			c.signal(unix.SIGKILL)
		}
	}
}

// terminal is the files between a command and whoever talks to it: three pipes, or a pseudo-terminal.
type terminal struct {
	inside [3]*os.File // stdin, stdout, stderr of the command
	stdin  *os.File
	stdout *os.File
	stderr *os.File // nil with a tty
	tty    bool
}

func newTerminal(e execution) (*terminal, error) {
	t := &terminal{tty: e.tty}
	if e.tty {
		return t, t.openPTY(e.size)
	}
	var err error
	open := func(read, write **os.File) {
		if err == nil {
			*read, *write, err = os.Pipe()
		}
	}
	open(&t.inside[0], &t.stdin)
	open(&t.stdout, &t.inside[1])
	open(&t.stderr, &t.inside[2])
	if err != nil {
		t.closeInside()
		t.closeOutside()
		return nil, api.Errorf(api.Unavailable, "cannot make a pipe: %w", err)
	}
	return t, nil
}

func (t *terminal) openPTY(size [2]int) error {
	outside, inside, err := pty.Open()
	if err != nil {
		return api.Errorf(api.Unavailable, "cannot open a terminal: %w", err)
	}
	// pty.Open leaves the file in blocking mode, where reads have no deadline.
	fd, err := unix.FcntlInt(outside.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	outside.Close()
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		inside.Close()
		return api.Errorf(api.Unavailable, "cannot open a terminal: %w", err)
	}
	t.stdin = os.NewFile(uintptr(fd), "ptmx")
	t.stdout = t.stdin
	t.inside = [3]*os.File{inside, inside, inside}
	t.setSize(size)
	return nil
}

func (t *terminal) setSize(size [2]int) {
	if size[0] <= 0 || size[1] <= 0 {
		return
	}
	raw, err := t.stdin.SyscallConn()
	if err != nil {
		return // closed: the command has ended
	}
	ws := unix.Winsize{Row: uint16(size[0]), Col: uint16(size[1])}
	raw.Control(func(fd uintptr) { unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &ws) })
}

func (t *terminal) resize(sizes <-chan [2]int, stop <-chan struct{}) {
	for {
		select {
		case size, ok := <-sizes:
			if !ok {
				return
			}
			if t.tty {
				t.setSize(size)
			}
		case <-stop:
			return
		}
	}
}

// feed copies stdin. Its end closes a pipe; a terminal stays open, as one does.
func (t *terminal) feed(stdin io.Reader) {
	if stdin != nil {
		io.Copy(t.stdin, stdin) // ends with either side
	}
	if !t.tty {
		t.stdin.Close()
	}
}

// drain copies output until its end, or until it pauses after the command has ended; then it reads on for the sake of
// processes left behind, which a closed pipe would kill.
func (t *terminal) drain(w io.Writer, r *os.File, ended *atomic.Bool) {
	if w == nil {
		w = io.Discard
	}
	buf := make([]byte, 32<<10)
	for late := 0; ; {
		last := ended.Load()
		if last {
			r.SetReadDeadline(time.Now().Add(linger))
		}
		n, err := r.Read(buf)
		if last {
			late += n
		}
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				w = io.Discard
			}
		}
		if (errors.Is(err, os.ErrDeadlineExceeded) || late > pipeMost) && !t.tty {
			go discard(r)
			return
		}
		if err != nil || late > pipeMost {
			r.Close() // of a terminal: hangs up on what is left of the session
			return
		}
	}
}

func discard(r *os.File) {
	defer r.Close()
	r.SetReadDeadline(time.Time{})
	io.Copy(io.Discard, r) // ends when the last process that holds the other end does
}

// hurry wakes readers that wait for output: the command has ended.
func (t *terminal) hurry() {
	for _, r := range []*os.File{t.stdout, t.stderr} {
		if r != nil {
			r.SetReadDeadline(time.Now().Add(linger))
		}
	}
}

func (t *terminal) closeInside() {
	for _, f := range t.inside {
		if f != nil {
			f.Close() // for a tty three times the same file: the second time does nothing
		}
	}
}

func (t *terminal) closeOutside() {
	for _, f := range []*os.File{t.stdin, t.stdout, t.stderr} {
		if f != nil {
			f.Close()
		}
	}
}
