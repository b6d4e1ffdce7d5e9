package sandbox

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Limits of the function's user.
const (
	maxProcesses = 128 // threads count as such; where NUAGE_SANDBOX_PROCESSES says nothing else
	maxFiles     = 1024
)

// settings are what the environment of PID 1 says.
type settings struct {
	socket  string
	api     string // address of the Runtime API
	uid     int    // 0: as the guest itself, for tests without a container
	reach   []string
	most    uint64 // processes of the function
	command []string
	env     []string // of the command
}

// Enclose closes this container's network but for what reach allows, in a way that nothing inside can undo.
type Enclose func(reach []string) error

// Main runs the sandbox until the control plane has gone, and returns the exit status. args follow the word sandbox.
func Main(args []string, enclose Enclose) int {
	if err := run(args, os.Environ(), enclose); err != nil {
		fmt.Fprintln(os.Stderr, "nuage-guest:", err)
		return 1
	}
	return 0
}

func run(args, environ []string, enclose Enclose) error {
	s, err := parse(args, environ)
	if err != nil {
		return err
	}
	if s.reach != nil {
		if err := enclose(s.reach); err != nil {
			return err
		}
	}
	if err := harden(s.most); err != nil {
		return err
	}
	control, err := listen(s.socket)
	if err != nil {
		return err
	}
	api, err := net.Listen("tcp", s.api)
	if err != nil {
		return fmt.Errorf("cannot serve the Runtime API: %w", err)
	}
	sup, err := newSupervisor(s)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: sup.api.handler()} // no time-outs: a runtime connects long before its function is known
	go func() { sup.fail(server.Serve(api)) }()
	return sup.serve(control)
}

// parse reads what PID 1 was given.
func parse(args, environ []string) (settings, error) {
	s := settings{api: APIAddress, most: maxProcesses, env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/tmp", "TMPDIR=/tmp",
		"TZ=:UTC", "LAMBDA_TASK_ROOT=/var/task", "LAMBDA_RUNTIME_DIR=/var/runtime"}}
	if n := slices.Index(args, "--"); n >= 0 {
		s.command = args[n+1:]
	}
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		switch {
		case name == "NUAGE_SANDBOX_SOCKET":
			s.socket = value
		case name == "NUAGE_SANDBOX_API":
			s.api = value
		case name == "NUAGE_SANDBOX_PROCESSES":
			most, err := strconv.ParseUint(value, 10, 32)
			if err != nil || most == 0 {
				return s, fmt.Errorf("cannot use %q as NUAGE_SANDBOX_PROCESSES: it must be a positive number", value)
			}
			s.most = most
		case name == "NUAGE_SANDBOX_REACH":
			s.reach = strings.Split(value, ",")
		case name == "NUAGE_SANDBOX_UID":
			uid, err := strconv.Atoi(value)
			if err != nil || uid <= 0 {
				return s, fmt.Errorf("cannot use %q as NUAGE_SANDBOX_UID: it must be a positive number", value)
			}
			s.uid = uid
		case strings.HasPrefix(name, "NUAGE_SANDBOX_ENV_"):
			s.env = append(s.env, strings.TrimPrefix(v, "NUAGE_SANDBOX_ENV_"))
		}
	}
	s.env = append(s.env, "AWS_LAMBDA_RUNTIME_API="+s.api)
	if s.socket == "" {
		return s, fmt.Errorf("cannot start a sandbox: NUAGE_SANDBOX_SOCKET is not set")
	}
	return s, nil
}

// harden keeps the function from PID 1: no reading of its memory, no end of it by signals, and bounds that the
// function's processes inherit. The bound on processes counts per user and does not hold for root.
func harden(processes uint64) error {
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot protect the guest's memory: %w", err)
	}
	for resource, most := range map[int]uint64{unix.RLIMIT_NPROC: processes, unix.RLIMIT_NOFILE: maxFiles, unix.RLIMIT_CORE: 0} {
		if os.Getpid() != 1 && resource == unix.RLIMIT_NPROC {
			continue
		}
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("cannot bound the function: %w", err)
		}
	}
	return nil
}

// listen opens the control socket to whoever reaches its directory, which only the guest and the control plane do.
func listen(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the control plane: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, fmt.Errorf("cannot open the socket to the control plane: %w", err)
	}
	return l, nil
}
