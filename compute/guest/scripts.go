//go:build linux

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"

	"nuage/compute/guest/cloudconfig"
)

// The programs below run inside a child that has given PID 1's capabilities up.

const (
	scriptLimit = 60 * time.Second
	// UserDataPath is where an instance keeps its user data.
	UserDataPath = "/var/lib/nuage/user-data"
)

// bootOrder is the word for the boot scripts to run.
type bootOrder struct {
	MachineID string   `json:"machineId"` // "": leave it alone
	Env       []string `json:"env"`       // NAME=value, all of it
}

// RunScripts runs `scripts`: at the word on stdin it gives the machine its id and runs the boot scripts, one after the other,
// those of runlevel 2 and then rc.local. There is no service manager; these are what packages and people leave for the next
// boot. The machine does not wait for one longer than a minute.
func RunScripts(root string) int {
	var order bootOrder
	if err := json.NewDecoder(os.Stdin).Decode(&order); err != nil {
		return 0 // the machine goes down before it was up
	}
	os.Clearenv()
	for _, kv := range order.Env {
		name, value, _ := strings.Cut(kv, "=")
		os.Setenv(name, value) // fails for impossible names only
	}
	users{root}.superuser().setEnv()
	if order.MachineID != "" {
		if err := keepMachineID(root, order.MachineID); err != nil {
			fmt.Printf("cannot write the machine id: %v\n", err)
		}
	}
	starts, _ := filepath.Glob(filepath.Join(root, "etc/rc2.d/S*")) // in order; the pattern is fine
	for _, path := range starts {
		runScript(path, "start")
	}
	runScript(filepath.Join(root, "etc/rc.local"))
	return 0
}

// keepMachineID writes the id where an image has /etc and the file is not there or holds another one.
func keepMachineID(root, id string) error {
	path := filepath.Join(root, "etc/machine-id")
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return nil
	}
	if holds(path, id+"\n") {
		return nil
	}
	return writeNew(path, []byte(id+"\n"), 0o444)
}

// holds reports whether a path is a file with that text. A fifo in its place holds up nothing.
func holds(path, text string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return false
	}
	got, err := io.ReadAll(io.LimitReader(f, int64(len(text))+1))
	return err == nil && string(got) == text
}

func runScript(path string, args ...string) {
	if !isProgram(path) {
		return
	}
	fmt.Printf("%s\n", path)
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Printf("%s: %v\n", path, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scriptLimit)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			fmt.Printf("%s: %v\n", path, err)
		}
	case <-ctx.Done():
		fmt.Printf("%s: still running after %s; the boot goes on\n", path, scriptLimit)
	}
}

// RunUserData runs `user-data`: it keeps what is on stdin as a file, and becomes the script that it is or carries out the
// cloud-config. What it prints goes to the console. On stderr it says why it failed, and nothing else.
func RunUserData(path string) int {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return failed(statusCannotRun, fmt.Errorf("cannot read the user data: %w", err))
	}
	if err := writeNew(path, text, 0o700); err != nil {
		return failed(statusCannotRun, fmt.Errorf("cannot keep the user data: %w", err))
	}
	if cloudconfig.Is(string(text)) {
		return runCloudConfig(text)
	}
	return runUserScript(path, string(text))
}

// runUserScript becomes the script. Its stderr is the console, as its stdout; ours is closed with that, unless it can't be run.
func runUserScript(path, text string) int {
	note, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.Dup3(1, 2, 0)
	}
	if err != nil {
		return failed(statusCannotRun, fmt.Errorf("cannot prepare the user data's output: %w", err))
	}
	status, err := execute([]string{path}, "")
	if errors.Is(err, fs.ErrNotExist) {
		first, _, _ := strings.Cut(text, "\n")
		err = fmt.Errorf("cannot run the user data: the image has no %s", strings.TrimSpace(strings.TrimPrefix(first, "#!")))
	}
	if restore := unix.Dup3(note, 2, 0); restore != nil {
		return status // and only the console can tell why
	}
	return failed(status, err)
}

func runCloudConfig(text []byte) int {
	c, err := cloudconfig.Parse(text)
	if err != nil {
		return failed(1, err)
	}
	if failures := newProvision(c).all(); len(failures) > 0 {
		return failed(1, errors.New(strings.Join(failures, "; ")))
	}
	return 0
}

// RunSFTP runs `sftp`: an SFTP server on stdin and stdout, from the current directory.
func RunSFTP() int {
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	server, err := sftp.NewServer(stdio{os.Stdin, os.Stdout}, sftp.WithServerWorkingDirectory(dir))
	if err != nil {
		return failed(1, fmt.Errorf("cannot serve SFTP: %w", err))
	}
	if err := server.Serve(); err != nil && err != io.EOF {
		return failed(1, fmt.Errorf("cannot serve SFTP: %w", err))
	}
	return 0
}

type stdio struct {
	io.Reader
	io.WriteCloser
}
