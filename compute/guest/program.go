//go:build linux

package guest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/anmitsu/go-shlex"
	"golang.org/x/sys/unix"

	"nuage/api"
)

// self is this program, whatever the image's files say.
const self = "/proc/self/exe"

// mode says what a child of PID 1 becomes.
type mode string

const (
	modeExec     mode = "exec"      // Args as they are
	modeLine     mode = "line"      // Args[0] as a line for the user's shell
	modeLogin    mode = "login"     // the user's login shell
	modeService  mode = "service"   // Args as they are, in Dir
	modeUserData mode = "user-data" // the script or cloud-config on stdin
	modeScripts  mode = "scripts"   // the boot scripts, at a bootOrder on stdin
	modeSFTP     mode = "sftp"      // an SFTP server on stdin and stdout
)

// program is what to run in a child of PID 1. It travels in the child's arguments; the child looks at the image's files,
// PID 1 never does.
type program struct {
	Mode mode     `json:"mode"`
	Args []string `json:"args,omitempty"`
	Dir  string   `json:"dir,omitempty"`  // "": the user's home
	User string   `json:"user,omitempty"` // "": root
}

func (p program) argv() ([]string, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, api.Errorf(api.Internal, "cannot encode a program: %w", err)
	}
	return []string{"nuage-guest", "run-limited", string(b)}, nil
}

// Capabilities only PID 1 has.
var withheld = [...]uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_PTRACE}

// exit statuses of a shell that could not run a command
const (
	statusCannotRun = 126
	statusNotFound  = 127
)

// RunLimited runs `run-limited PROGRAM`: it gives the withheld capabilities up for good and becomes the program.
// It returns only when that fails.
func RunLimited(args []string) int {
	runtime.LockOSThread() // capabilities are a thread's; this one becomes the program
	var p program
	if len(args) != 1 {
		return failed(2, fmt.Errorf("cannot run %d programs: give one", len(args)))
	}
	if err := json.Unmarshal([]byte(args[0]), &p); err != nil {
		return failed(2, fmt.Errorf("cannot read the program: %w", err))
	}
	if err := limit(); err != nil {
		return failed(statusCannotRun, err)
	}
	return p.become()
}

func failed(status int, err error) int {
	os.Stderr.WriteString("nuage-guest: " + err.Error() + "\n")
	return status
}

// limit takes from this thread what only PID 1 may have.
func limit() error {
	for _, c := range withheld {
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0); err != nil || has == 0 {
			continue // unknown to the kernel, or not there
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("cannot drop capability %d: %w", c, err)
		}
	}
	if err := dropNow(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot clear ambient capabilities: %w", err)
	}
	syscall.Umask(0o022)
	// When memory runs out the kernel shall take a customer's process before PID 1. Where it can't be set, the kernel chooses by size.
	os.WriteFile("/proc/self/oom_score_adj", []byte("200"), 0)
	return nil
}

// dropNow clears the withheld capabilities in the permitted, effective and inheritable sets.
func dropNow() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("cannot read capabilities: %w", err)
	}
	withhold(&sets)
	if err := unix.Capset(&header, &sets[0]); err != nil {
		return fmt.Errorf("cannot drop capabilities: %w", err)
	}
	return nil
}

// withhold takes the withheld capabilities out of the three sets.
func withhold(sets *[2]unix.CapUserData) {
	for _, c := range withheld {
		keep := ^(uint32(1) << (c % 32))
		s := &sets[c/32]
		s.Permitted &= keep
		s.Effective &= keep
		s.Inheritable &= keep
	}
}

// become replaces this process by the program.
func (p program) become() int {
	user, err := users{"/"}.login(p.User)
	if err != nil {
		return failed(statusCannotRun, err)
	}
	user.setEnv()
	if user.uid != 0 {
		if err := user.enter(); err != nil {
			return failed(statusCannotRun, err)
		}
	}
	dir := p.Dir
	if dir == "" {
		dir = user.home
	}
	if err := os.Chdir(dir); err != nil && p.Dir != "" {
		return failed(statusCannotRun, fmt.Errorf("cannot enter %q: %w", p.Dir, err))
	}
	switch p.Mode {
	case modeExec:
		return replace(p.Args, "")
	case modeService:
		return p.serve()
	case modeLine:
		if user.shell == "" {
			return p.withoutShell()
		}
		return replace([]string{user.shell, "-c", p.Args[0]}, filepath.Base(user.shell))
	case modeLogin:
		if user.shell == "" {
			return failed(statusNotFound, fmt.Errorf("cannot start a shell: the image has none; name a command"))
		}
		return replace([]string{user.shell}, "-"+filepath.Base(user.shell))
	case modeUserData, modeScripts, modeSFTP:
		// A program of ours: started anew, so that none of its threads has what this one gave up.
		return replace([]string{self, string(p.Mode)}, "nuage-guest")
	}
	return failed(2, fmt.Errorf("cannot run mode %q", p.Mode))
}

// withoutShell runs a line where no shell reads it: its words may be quoted as for one.
func (p program) withoutShell() int {
	words, err := shlex.Split(p.Args[0], true)
	if err != nil {
		return failed(statusCannotRun, fmt.Errorf("cannot read the command %q: %w", p.Args[0], err))
	}
	return replace(words, "")
}

// imageUser names the variable in which the engine hands on whom the image would run as, where that is not root.
const imageUser = "NUAGE_IMAGE_USER"

// serve runs the image's own service as the image's user.
func (p program) serve() int {
	if name := os.Getenv(imageUser); name != "" {
		user, err := users{"/"}.lookup(name)
		if err != nil {
			return failed(statusCannotRun, err)
		}
		user.setEnv()
		if err := user.assume(); err != nil {
			return failed(statusCannotRun, err)
		}
	}
	return replace(p.Args, "")
}

// replace executes a command in place of this process; name is its argv[0], "" for the command's own.
func replace(args []string, name string) int { return failed(execute(args, name)) }

// execute is replace without a word where it fails.
func execute(args []string, name string) (int, error) {
	if len(args) == 0 || args[0] == "" {
		return statusNotFound, fmt.Errorf("cannot run an empty command")
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return statusNotFound, fmt.Errorf("cannot run %q: not found", args[0])
	}
	if name != "" {
		args = append([]string{name}, args[1:]...)
	}
	err = syscall.Exec(path, args, os.Environ())
	return statusCannotRun, fmt.Errorf("cannot run %q: %w", path, err)
}
