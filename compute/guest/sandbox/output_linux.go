package sandbox

import (
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// output is the read end of the pipe that the function prints to. What is read goes to the sink at once; drain reads
// what is still in the pipe, so that a call's log is whole when the call ends.
type output struct {
	file *os.File
	raw  syscall.RawConn

	mu     sync.Mutex // held from reading the pipe until the sink has it
	buffer []byte
	sink   func([]byte)
}

// newOutput returns the output and the write end for the process.
func newOutput() (*output, *os.File, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, err
	}
	o := &output{file: os.NewFile(uintptr(fds[0]), "output"), buffer: make([]byte, 32<<10)}
	raw, err := o.file.SyscallConn()
	o.raw = raw
	return o, os.NewFile(uintptr(fds[1]), "output"), err
}

// to sets the sink.
func (o *output) to(sink func([]byte)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sink = sink
}

// follow hands over all that is printed, until the last process has closed its end.
func (o *output) follow() error {
	var end error
	err := o.raw.Read(func(fd uintptr) bool {
		end = o.take(int(fd))
		return end != nil
	})
	if err != nil {
		return err
	}
	if end == io.EOF {
		return nil
	}
	return end
}

// drain hands over what is in the pipe now.
func (o *output) drain() {
	_ = o.raw.Control(func(fd uintptr) { _ = o.take(int(fd)) }) // an error ends follow, which tells
}

// take reads until the pipe is empty (nil) or at its end.
func (o *output) take(fd int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		n, err := unix.Read(fd, o.buffer)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return nil
		case err != nil:
			return err
		case n == 0:
			return io.EOF
		default:
			o.sink(o.buffer[:n])
		}
	}
}
