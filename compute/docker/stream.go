package docker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"nuage/api"
	"nuage/compute"
)

// Logs reads the kept output, oldest first. Of a machine it is stderr, the console: stdout is the guest's channel.
func (e *Engine) Logs(ctx context.Context, id string, q compute.LogQuery) (io.ReadCloser, error) {
	c, err := e.cli.ContainerInspect(ctx, e.name(id))
	if err != nil {
		return nil, failed(err, "read the log of %q", id)
	}
	last := "all"
	if q.Tail > 0 {
		last = strconv.Itoa(q.Tail)
	}
	since := ""
	if !q.Since.IsZero() {
		since = fmt.Sprintf("%d.%09d", q.Since.Unix(), q.Since.Nanosecond())
	}
	machine := isMachine(c.Config.Labels)
	raw, err := e.cli.ContainerLogs(ctx, c.ID, container.LogsOptions{
		ShowStdout: !machine, ShowStderr: true, Follow: q.Follow, Tail: last, Since: since, Timestamps: q.Stamped,
	})
	if err != nil {
		return nil, failed(err, "read the log of %q", id)
	}
	return struct {
		io.Reader
		io.Closer
	}{&frames{src: raw, stdout: !machine, stderr: true, stamped: q.Stamped}, raw}, nil
}

// Attach connects to stdin and stdout of a running guest.
func (e *Engine) Attach(ctx context.Context, id string) (io.ReadWriteCloser, error) {
	res, err := e.cli.ContainerAttach(ctx, e.name(id), container.AttachOptions{Stream: true, Stdin: true, Stdout: true})
	if err != nil {
		return nil, failed(err, "attach to %q", id)
	}
	// The engine lets us wait for the next start of one that does not run.
	if err := e.attachable(ctx, id); err != nil {
		res.Close()
		return nil, err
	}
	return &attached{conn: res.Conn, out: &frames{src: res.Reader, stdout: true}}, nil
}

func (e *Engine) attachable(ctx context.Context, id string) error {
	c, err := e.cli.ContainerInspect(ctx, e.name(id))
	switch {
	case err != nil:
		return failed(err, "attach to %q", id)
	case !c.Config.OpenStdin:
		return api.Errorf(api.Unsupported, "cannot attach to %q: it has no guest", id)
	case !c.State.Running:
		return api.Errorf(api.Conflict, "cannot attach to %q: it does not run", id)
	}
	return nil
}

// attached is the connection to a guest.
type attached struct {
	conn net.Conn
	out  *frames
	once sync.Once
	err  error
}

// Read reads what PID 1 prints to stdout. io.EOF: it ended.
func (a *attached) Read(p []byte) (int, error) { return a.out.Read(p) }

// Write writes to PID 1's stdin.
func (a *attached) Write(p []byte) (int, error) { return a.conn.Write(p) }

// Close detaches; PID 1's stdin stays open.
func (a *attached) Close() error {
	a.once.Do(func() { a.err = a.conn.Close() })
	return a.err
}

// frames reads the engine's multiplexed streams: 8 bytes say which stream and how long, then come the bytes.
type frames struct {
	src            io.Reader
	stdout, stderr bool // which are wanted
	stamped        bool // each frame begins with a time and a space, also those that go on with a line
	left           int64
	skip           bool
	inLine         bool // what was read last did not end a line
}

const frameHeader = 8

// Read reads from the wanted streams, in the order they came.
func (f *frames) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if f.left == 0 {
			if err := f.next(); err != nil {
				return 0, err
			}
		}
		if f.skip {
			n, err := io.CopyN(io.Discard, f.src, f.left)
			f.left -= n
			if err != nil {
				return 0, ended(err)
			}
			continue
		}
		if f.left == 0 {
			continue // an empty frame
		}
		n, err := f.src.Read(p[:min(int64(len(p)), f.left)])
		f.left -= int64(n)
		if n > 0 {
			f.inLine = p[n-1] != '\n'
		}
		return n, ended(err)
	}
}

func (f *frames) next() error {
	var head [frameHeader]byte
	if _, err := io.ReadFull(f.src, head[:]); err != nil {
		return ended(err)
	}
	f.left = int64(binary.BigEndian.Uint32(head[4:]))
	switch stdcopy.StdType(head[0]) {
	case stdcopy.Stdout:
		f.skip = !f.stdout
	case stdcopy.Stderr:
		f.skip = !f.stderr
	case stdcopy.Systemerr:
		text, err := io.ReadAll(io.LimitReader(f.src, f.left))
		return errors.Join(api.Errorf(api.Unavailable, "cannot read on: the engine says %q", text), err)
	default:
		f.skip = true
	}
	if f.stamped && f.inLine && !f.skip {
		return f.dropStamp()
	}
	return nil
}

// dropStamp reads the time that a frame begins with, and the space after it.
func (f *frames) dropStamp() error {
	var b [1]byte
	for f.left > 0 && b[0] != ' ' {
		if _, err := io.ReadFull(f.src, b[:]); err != nil {
			return ended(err)
		}
		f.left--
	}
	return nil
}

// ended makes one end of the various ways a connection is closed.
func ended(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

// Exec runs a command in a running workload that is no machine: there it would have the guest's capabilities.
// When ctx ends the connection is closed; the command sees its stdin end.
func (e *Engine) Exec(ctx context.Context, id string, p compute.Process) (int, error) {
	c, err := e.cli.ContainerInspect(ctx, e.name(id))
	if err != nil {
		return 0, failed(err, "run a command in %q", id)
	}
	if guest := c.Config.Labels[labelGuest]; guest != string(compute.GuestNone) {
		return 0, api.Errorf(api.Unsupported, "cannot run a command in %q through the engine: it would have what the guest of a %s may do", id, guest)
	}
	if !c.State.Running {
		return 0, api.Errorf(api.Conflict, "cannot run a command in %q: it does not run", id)
	}
	made, err := e.cli.ContainerExecCreate(ctx, c.ID, execOptions(p))
	if err != nil {
		return 0, failed(err, "run a command in %q", id)
	}
	conn, err := e.cli.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{Tty: p.TTY, ConsoleSize: consoleSize(p)})
	if err != nil {
		return 0, failed(err, "run a command in %q", id)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	if err := e.converse(ctx, made.ID, conn, p); err != nil {
		return 0, failed(err, "run a command in %q", id)
	}
	done, err := e.cli.ContainerExecInspect(ctx, made.ID)
	if err != nil {
		return 0, failed(err, "learn how a command in %q ended", id)
	}
	return done.ExitCode, nil
}

func execOptions(p compute.Process) container.ExecOptions {
	return container.ExecOptions{
		User: p.User, Tty: p.TTY, ConsoleSize: consoleSize(p), Env: p.Env, WorkingDir: p.WorkDir, Cmd: p.Command,
		AttachStdin: p.Stdin != nil, AttachStdout: true, AttachStderr: true,
	}
}

func consoleSize(p compute.Process) *[2]uint {
	if !p.TTY || p.Rows <= 0 || p.Cols <= 0 {
		return nil
	}
	return &[2]uint{uint(p.Rows), uint(p.Cols)}
}

// converse moves bytes both ways until the command's output ends. A Stdin that never ends keeps its goroutine.
func (e *Engine) converse(ctx context.Context, exec string, conn types.HijackedResponse, p compute.Process) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go e.resize(ctx, exec, p)
	if p.Stdin != nil {
		go func() {
			_, err := io.Copy(conn.Conn, p.Stdin)
			if err = errors.Join(err, conn.CloseWrite()); err != nil {
				e.log.Debug("a command's stdin ended early", "err", err)
			}
		}()
	}
	var err error
	if p.TTY {
		_, err = io.Copy(writer(p.Stdout), conn.Reader)
	} else {
		_, err = stdcopy.StdCopy(writer(p.Stdout), writer(p.Stderr), conn.Reader)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// resize passes new terminal sizes on; engines before API 1.42 also get the first one this way.
func (e *Engine) resize(ctx context.Context, exec string, p compute.Process) {
	set := func(rows, cols int) {
		if rows <= 0 || cols <= 0 {
			return
		}
		if err := e.cli.ContainerExecResize(ctx, exec, container.ResizeOptions{Height: uint(rows), Width: uint(cols)}); err != nil {
			e.log.Debug("a terminal could not be resized", "err", err)
		}
	}
	if !p.TTY {
		return
	}
	set(p.Rows, p.Cols)
	for {
		select {
		case size, ok := <-p.Resize:
			if !ok {
				return
			}
			set(size[0], size[1])
		case <-ctx.Done():
			return
		}
	}
}

func writer(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
