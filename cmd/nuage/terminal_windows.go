package main

import (
	"context"
	"os/exec"
	"syscall"

	"nuage/api"
)

// windowSizes: Windows does not tell when a terminal changes its size.
func windowSizes(context.Context, int) <-chan api.WindowSize { return nil }

// detach makes a command outlive this program and its terminal.
func detach(cmd *exec.Cmd) {
	const detachedProcess, newProcessGroup = 0x8, 0x200
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: detachedProcess | newProcessGroup}
}
