package sandbox

import (
	"bufio"
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/guest/sandbox/wire"
)

// box is one sandbox: a container, and the connection to the guest in it.
type box struct {
	id     string
	uid    int
	dir    string
	closed string // to a sandbox with a way out, when this one was made
	conn   net.Conn
	in     *bufio.Reader

	program *program      // set when bound
	place   *list.Element // in Runtime.idle, nil while it is not idle; Runtime.mu guards it
	expiry  *time.Timer   // likewise
}

// Places in the container.
const (
	privatePath = "/run/nuage" // only the guest gets in here
	controlPath = privatePath + "/c"
	socketName  = "s"
	taskPath    = "/var/task"
	runtimePath = "/var/runtime"
)

// guestMemory is what the guest takes beside the function, in bytes.
const guestMemory = 24 << 20

// makeBox makes a sandbox whose interpreter waits for its code.
func (r *Runtime) makeBox(k poolKey, serial, uid int) (*box, error) {
	select {
	case r.makers <- struct{}{}:
		defer func() { <-r.makers }()
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
	ctx, cancel := context.WithTimeout(r.ctx, startLimit)
	defer cancel()
	b := &box{id: r.run + strconv.Itoa(serial), uid: uid, closed: r.closedTo(k)}
	b.dir = filepath.Join(r.boxesDir(), b.id)
	if err := r.startBox(ctx, b, k); err != nil {
		r.removeBox(b)
		return nil, api.Errorf(api.Unavailable, "cannot start a sandbox: %w", err)
	}
	return b, nil
}

func (r *Runtime) startBox(ctx context.Context, b *box, k poolKey) error {
	if err := makeDirs(0o755, b.dir, b.taskDir()); err != nil {
		return err
	}
	if err := makeDirs(0o777, b.controlDir()); err != nil { // the guest's user need not be ours
		return err
	}
	if err := r.o.Engine.Create(ctx, r.workload(b, k)); err != nil {
		return err
	}
	if err := r.o.Engine.Start(ctx, b.id); err != nil {
		return err
	}
	if err := r.dial(ctx, b); err != nil {
		return err
	}
	return b.hello(ctx)
}

func (b *box) controlDir() string { return filepath.Join(b.dir, "c") }
func (b *box) taskDir() string    { return filepath.Join(b.dir, "t") }

// processes is how many processes and threads a function may have: with its memory, as each needs some, so that a large Go program
// whose goroutines wait in system calls has its threads; 1,024 at most, as on AWS Lambda.
func processes(memoryMB int64) int64 { return max(128, min(1024, memoryMB)) }

// limits are those of a sandbox. The bound on processes keeps a fork bomb away from the guest: the guest's own, on
// the function's user, is lower.
func limits(memoryMB, milliCPU int64) compute.Limits {
	return compute.Limits{MilliCPU: milliCPU, MemoryBytes: memoryMB<<20 + guestMemory, Pids: processes(memoryMB) + 64}
}

// share is the CPU that goes with a memory size, as on AWS Lambda: 1,769 MB have one.
func share(memoryMB int64) int64 { return max(10, memoryMB*1000/1769) }

// dial connects to the guest, which listens soon after its container has started.
func (r *Runtime) dial(ctx context.Context, b *box) error {
	path := filepath.Join(b.controlDir(), socketName)
	var d net.Dialer
	for tries := 1; ; tries++ {
		conn, err := d.DialContext(ctx, "unix", path)
		if err == nil {
			b.conn, b.in = conn, bufio.NewReaderSize(conn, 64<<10)
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("its guest does not answer: %w", err)
		}
		if tries%100 == 0 {
			if err := r.running(ctx, b); err != nil {
				return err
			}
		}
		if err := pause(ctx, 3*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// running looks whether the container has ended instead of answering, and says why.
func (r *Runtime) running(ctx context.Context, b *box) error {
	all, err := r.o.Engine.List(ctx)
	if err != nil {
		return err
	}
	for _, o := range all {
		if o.ID == b.id && o.State == compute.StateRunning {
			return nil
		}
		if o.ID == b.id && o.State == compute.StateExited {
			return fmt.Errorf("its guest ended with status %d", o.ExitCode)
		}
	}
	return nil // not listed yet
}

// hello waits until the interpreter is ready.
func (b *box) hello(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	if err := b.until(ctx, deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, b.interrupt)
	defer stop()
	var printed strings.Builder
	f, err := b.receive(&printed)
	switch {
	case err != nil:
		return fmt.Errorf("its interpreter does not answer: %w", err)
	case f.Kind == wire.Hello:
		return nil
	case f.Kind == wire.Exited:
		return fmt.Errorf("its interpreter ended: %s", strings.TrimSpace(printed.String()))
	}
	return fmt.Errorf("its guest sent a frame %q", f.Kind)
}

// interrupt ends what reads or writes.
func (b *box) interrupt() {
	_ = b.conn.SetDeadline(time.Unix(1, 0)) // on a closed connection nothing is to be ended
}

// until bounds what is read and written next, by the time and by the end of ctx, whose interrupt may have come before.
func (b *box) until(ctx context.Context, deadline time.Time) error {
	if err := b.conn.SetDeadline(deadline); err != nil {
		return err
	}
	if ctx.Err() != nil {
		b.interrupt()
	}
	return nil
}

// receive returns the next frame that is no log, and writes the logs before it.
func (b *box) receive(log interface{ Write([]byte) (int, error) }) (wire.Frame, error) {
	for {
		f, err := wire.Read(b.in)
		if err != nil || f.Kind != wire.Log {
			return f, err
		}
		if _, err := log.Write(f.Body); err != nil {
			return f, err
		}
	}
}

// throttle holds a bound sandbox to its share of the CPU, beside the call that has begun.
func (r *Runtime) throttle(b *box, memoryMB int64) {
	r.work.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, startLimit)
		defer cancel()
		err := r.o.Engine.Update(ctx, b.id, limits(memoryMB, share(memoryMB)))
		if err != nil && !errors.Is(err, api.NotFound) && ctx.Err() == nil {
			r.o.Logger.Warn("cannot set the CPU share of a sandbox", "sandbox", b.id, "error", err)
		}
	})
}

// removeBox removes all there is of a sandbox. What can not be removed now goes at the next start of the cloud.
func (r *Runtime) removeBox(b *box) {
	if b.conn != nil {
		_ = b.conn.Close() // the guest ends by this, if it has not
	}
	ctx, cancel := context.WithTimeout(context.Background(), removeLimit)
	defer cancel()
	if err := r.o.Engine.Remove(ctx, b.id); err != nil {
		r.o.Logger.Warn("cannot remove a sandbox", "sandbox", b.id, "error", err)
		return
	}
	if err := os.RemoveAll(b.dir); err != nil {
		r.o.Logger.Warn("cannot remove the files of a sandbox", "sandbox", b.id, "error", err)
	}
}
