//go:build unix

package main

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"nuage/api"
)

// windowSizes sends the terminal's size whenever it changes, until ctx ends.
func windowSizes(ctx context.Context, fd int) <-chan api.WindowSize {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	sizes := make(chan api.WindowSize, 1)
	go func() {
		defer close(sizes)
		defer signal.Stop(changed)
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			if cols, rows, err := term.GetSize(fd); err == nil {
				select {
				case sizes <- api.WindowSize{Rows: rows, Cols: cols}:
				case <-ctx.Done():
				}
			}
		}
	}()
	return sizes
}

// detach makes a command outlive this program and its terminal.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// inGroup gives a command a process group of its own, all of which is ended when its context ends.
func inGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
