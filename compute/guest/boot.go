//go:build linux

package guest

import (
	"context"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"nuage/compute/guest/link"
)

// bringUp boots the machine once it is configured: before that nothing inside runs, so nothing gets past rules that
// are still to come.
func (g *Guest) bringUp(ctx context.Context) {
	g.console.printf("waiting for the configuration")
	select {
	case <-g.configured:
	case <-ctx.Done():
		return
	}
	if end, err := g.runLogged("boot", program{Mode: modeScripts, Dir: "/"}, nil); err != nil {
		g.console.printf("boot scripts: %v", err)
	} else {
		<-end.done
	}
	g.startService()
	g.update(func(s *link.State) { s.Booted = true })
	g.console.printf("booted")
	g.events.add(link.Event{Type: link.EventBooted})
	g.runUserData()
}

// startService starts what the image would start. Its end is told and changes nothing.
func (g *Guest) startService() {
	if isBareShell(g.image) {
		return
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	name := path.Base(g.image[0])
	g.console.printf("starting service %s", name)
	c, err := g.runLogged(name, program{Mode: modeService, Args: g.image, Dir: dir}, nil)
	if err != nil {
		g.console.printf("service %s: %v", name, err)
		return
	}
	go func() {
		<-c.done
		status := exitCode(c.status)
		g.console.printf("service %s has ended with status %d; the machine goes on", name, status)
		g.events.add(link.Event{Type: link.EventServiceExit, Command: strings.Join(g.image, " "), Status: status})
	}()
}

// isBareShell reports whether a command is a shell without anything to do, as images have that are meant to be machines.
func isBareShell(args []string) bool {
	if len(args) == 0 {
		return true
	}
	shells := []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "busybox"}
	if !slices.Contains(shells, path.Base(args[0])) {
		return false
	}
	rest := args[1:]
	if path.Base(args[0]) == "busybox" {
		return len(rest) > 0 && isBareShell(rest)
	}
	for _, a := range rest {
		if !slices.Contains([]string{"-i", "-l", "-il", "-li", "--login", "-"}, a) {
			return false
		}
	}
	return true
}

// runUserData runs the user data if the control plane asks for it.
func (g *Guest) runUserData() {
	g.mu.Lock()
	script, wanted := g.config.UserData, g.config.RunUserData
	if wanted {
		g.state.UserData = link.UserDataRunning
	}
	g.mu.Unlock()
	if !wanted {
		return
	}
	g.console.printf("running user data")
	status, detail := g.userData(script)
	result := link.UserDataDone
	if status != 0 {
		result = link.UserDataFailed
	}
	g.update(func(s *link.State) { s.UserData, s.UserDataExit = result, status })
	g.console.printf("user data has ended: %s, exit status %d", result, status)
	g.events.add(link.Event{Type: link.EventUserData, Status: status, Detail: detail})
}

func (g *Guest) userData(script string) (status int, detail string) {
	if !strings.HasPrefix(script, "#!") {
		detail = `cannot run user data: its first line must name an interpreter, as "#!/bin/sh"`
		g.console.printf("%s", detail)
		return statusCannotRun, detail
	}
	c, err := g.runLogged("user-data", program{Mode: modeUserData, Dir: "/"}, strings.NewReader(script))
	if err != nil {
		g.console.printf("%v", err)
		return statusCannotRun, err.Error()
	}
	<-c.done
	return exitCode(c.status), ""
}

// runLogged starts a program whose output goes to the console, also that of processes it leaves behind.
func (g *Guest) runLogged(name string, p program, stdin io.Reader) (*process, error) {
	t, err := newTerminal(execution{})
	if err != nil {
		return nil, err
	}
	files := [3]*os.File{t.inside[0], t.inside[1], t.inside[1]}
	c, err := g.procs.start(p, g.environment(), files, false)
	t.closeInside()
	if err != nil {
		t.closeOutside()
		return nil, err
	}
	t.stderr.Close()
	go t.feed(stdin)
	go func() {
		defer t.stdout.Close()
		g.console.copy(name, t.stdout)
	}()
	return c, nil
}
