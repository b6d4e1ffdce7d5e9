//go:build linux

package guest

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stopSignals ask for an orderly stop. An image may choose any of them as its STOPSIGNAL.
var stopSignals = [...]syscall.Signal{
	unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGWINCH, unix.SIGPWR, unix.Signal(37), // 37: SIGRTMIN+3
}

// noSignals are those that would end a Go program when sent by a process inside, which the kernel lets through to PID 1
// because the Go runtime has handlers for them.
var noSignals = [...]os.Signal{
	unix.SIGHUP, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS, unix.SIGPIPE,
	unix.SIGALRM, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM, unix.SIGPROF, unix.SIGUSR2, unix.SIGSTKFLT, unix.SIGIO,
}

func stopSet() *unix.Sigset_t {
	var set unix.Sigset_t
	for _, s := range stopSignals {
		bit := uint(s) - 1
		word := unsafe.Sizeof(set.Val[0]) * 8
		set.Val[bit/uint(word)] |= 1 << (bit % uint(word))
	}
	return &set
}

// prepareInit makes this process fit to be PID 1. Stop signals count only when they come from outside, which only
// a signalfd tells; so they must be blocked in every thread, and Go takes such a mask over only at the start
// of a program. Hence the first time around it starts itself again. Then nobody inside may read or write its memory.
func prepareInit() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, stopSet(), &before); err != nil {
		return fmt.Errorf("cannot block stop signals: %w", err)
	}
	if want := stopSet(); before.Val[0]&want.Val[0] != want.Val[0] {
		err := syscall.Exec(self, os.Args, os.Environ())
		return fmt.Errorf("cannot start again with blocked signals: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot protect its memory: %w", err)
	}
	return nil
}

// watchStops sends the name of each stop signal that comes from outside the machine. As PID 1 it ignores
// those from inside: root in the machine shall not end it.
func watchStops() (<-chan string, error) {
	signal.Notify(make(chan os.Signal, 1), noSignals[:]...)
	stops := make(chan string, len(stopSignals))
	fd, err := unix.Signalfd(-1, stopSet(), unix.SFD_CLOEXEC)
	if err != nil {
		return stops, err
	}
	go func() {
		isInit := os.Getpid() == 1
		for {
			var info unix.SignalfdSiginfo
			b := unsafe.Slice((*byte)(unsafe.Pointer(&info)), unsafe.Sizeof(info))
			n, err := unix.Read(fd, b)
			if err == unix.EINTR {
				continue
			}
			if err != nil || n != len(b) {
				return
			}
			if !isInit || info.Pid == 0 {
				stops <- unix.SignalName(unix.Signal(info.Signo))
			}
		}
	}()
	return stops, nil
}

// exitCode is what a shell would call the end of a process.
func exitCode(s syscall.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}
