//go:build linux

package guest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/pkg/sftp"
)

// The programs below run inside a child that has given PID 1's capabilities up.

const (
	scriptLimit = 60 * time.Second
	// UserDataPath is where an instance keeps its user data.
	UserDataPath = "/var/lib/nuage/user-data"
)

// RunScripts runs `scripts`: the boot scripts, one after the other, those of runlevel 2 and then rc.local. There is
// no service manager; these are what packages and people leave for the next boot. The machine does not wait for
// one longer than a minute.
func RunScripts(root string) int {
	starts, _ := filepath.Glob(filepath.Join(root, "etc/rc2.d/S*")) // in order; the pattern is fine
	for _, path := range starts {
		runScript(path, "start")
	}
	runScript(filepath.Join(root, "etc/rc.local"))
	return 0
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

// RunUserData runs `user-data`: it keeps the script on stdin as a file and becomes it.
func RunUserData(path string) int {
	script, err := io.ReadAll(os.Stdin)
	if err != nil {
		return failed(statusCannotRun, fmt.Errorf("cannot read the user data: %w", err))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return failed(statusCannotRun, fmt.Errorf("cannot keep the user data: %w", err))
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return failed(statusCannotRun, fmt.Errorf("cannot keep the user data: %w", err))
	}
	if err := os.WriteFile(path, script, 0o700); err != nil {
		return failed(statusCannotRun, fmt.Errorf("cannot keep the user data: %w", err))
	}
	return replace([]string{path}, "")
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
