//go:build linux && (amd64 || arm64)

package guest

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stopSignals ask for an orderly stop. An image may choose any of them as its STOPSIGNAL.
var stopSignals = [...]syscall.Signal{
	unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGWINCH, unix.SIGPWR, syscall.Signal(37), // 37: SIGRTMIN+3
}

// faultSignals would end a Go program when a process inside sends them: the kernel lets a signal through to PID 1
// where there is a handler, and the Go runtime has one for each.
var faultSignals = [...]syscall.Signal{
	unix.SIGHUP, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS, unix.SIGPIPE,
	unix.SIGALRM, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM, unix.SIGPROF, unix.SIGUSR2, unix.SIGSTKFLT, unix.SIGIO,
}

// What the signal handlers use. These are variables of the package because a handler has no other place to look; they
// are set once, before the handlers are.
var (
	//lint:ignore U1000 assembly reads it
	stopPipe uintptr // where onStop writes
	//lint:ignore U1000 assembly reads it
	goHandler uintptr // the Go runtime's own handler
)

// handlers returns the addresses of the two signal handlers and of the code that ends them. They are in assembly because
// Go tells a signal's number but neither its sender nor, reliably, whether it was sent; and because the Go runtime keeps
// SIGTERM from being blocked, so that signalfd, which tells the sender, never sees it.
func handlers() (stop, fault, restorer uintptr)

// sigaction is the kernel's struct of that name.
type sigaction struct {
	handler, flags, restorer, mask uintptr
}

const siginfoSize = 128

// watchStops sends the name of each stop signal that comes from outside the machine. Those from inside are ignored:
// root in the machine shall not end PID 1.
func watchStops() (<-chan string, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	if err := unix.SetNonblock(fds[1], true); err != nil { // a handler must never wait
		return nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	stopPipe = uintptr(fds[1])
	if err := install(); err != nil {
		return nil, err
	}
	stops := make(chan string, 1)
	go readStops(os.NewFile(uintptr(fds[0]), "stops"), stops)
	return stops, nil
}

func install() error {
	stop, fault, restorer := handlers()
	var before sigaction
	if err := setAction(unix.SIGSEGV, nil, &before); err != nil {
		return err
	}
	goHandler = before.handler
	for _, s := range stopSignals {
		if err := handle(s, stop, restorer); err != nil {
			return err
		}
	}
	for _, s := range faultSignals {
		if err := handle(s, fault, restorer); err != nil {
			return err
		}
	}
	return nil
}

func handle(s syscall.Signal, handler, restorer uintptr) error {
	const saSiginfo, saRestorer, saOnStack, saRestart = 0x4, 0x4000000, 0x8000000, 0x10000000
	act := sigaction{handler: handler, flags: saSiginfo | saOnStack | saRestart, restorer: restorer, mask: ^uintptr(0)}
	if restorer != 0 {
		act.flags |= saRestorer
	}
	return setAction(s, &act, nil)
}

func setAction(s syscall.Signal, act, before *sigaction) error {
	_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(before)), 8, 0, 0)
	if e != 0 {
		return fmt.Errorf("cannot handle signal %d: %w", s, e)
	}
	return nil
}

func readStops(r io.Reader, stops chan<- string) {
	isInit := os.Getpid() == 1
	info := make([]byte, siginfoSize)
	for {
		if _, err := io.ReadFull(r, info); err != nil {
			return // the other end is never closed
		}
		word := func(at int) int32 { return int32(binary.NativeEndian.Uint32(info[at:])) }
		sig, code, sender := word(0), word(8), word(16)
		if isInit && !fromOutside(code, sender) {
			continue
		}
		select {
		case stops <- unix.SignalName(syscall.Signal(sig)):
		default: // already stopping
		}
	}
}

// fromOutside reports whether a signal was sent by kill(2) from outside this process-id namespace: there the kernel puts 0
// for the sender. A sender may put any number into a siginfo of its own, but then not this code.
func fromOutside(code, sender int32) bool {
	const siUser = 0
	return code == siUser && sender == 0
}

// stranger is a saved group that nothing inside has.
const stranger = 65533

// protect keeps everybody else out of this process's memory and files, and from setting limits on it: that is let to
// whoever has the very same ids, so that a limit on processor time would end PID 1. A program it starts has no saved group
// of its own: the kernel drops it.
func protect() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot protect its memory: %w", err)
	}
	if err := syscall.Setresgid(-1, -1, stranger); err != nil {
		return fmt.Errorf("cannot protect its limits: %w", err)
	}
	return nil
}

// exitCode is what a shell would call the end of a process.
func exitCode(s syscall.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}
