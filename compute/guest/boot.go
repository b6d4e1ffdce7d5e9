//go:build linux

package guest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"nuage/compute/guest/cloudconfig"
	"nuage/compute/guest/link"
)

// bringUp boots the machine once it is configured: before that nothing inside runs, so nothing gets past rules that
// are still to come. Only the child that will run the boot scripts is there early, and waits for the word.
func (g *Guest) bringUp(ctx context.Context) {
	word, say := io.Pipe()
	defer say.Close() // without a word the child ends
	scripts, notes, err := g.startLogged("boot", program{Mode: modeScripts, Dir: "/"}, word, false)
	g.console.printf("waiting for the configuration")
	select {
	case <-g.configured:
	case <-ctx.Done():
		return
	}
	if err == nil {
		notes.Close()
		go func() { // a child that has ended takes no word
			<-scripts.done
			word.Close()
		}()
		err = json.NewEncoder(say).Encode(bootOrder{MachineID: g.currentConfig().MachineID, Env: g.environment()})
		say.Close()
		<-scripts.done
	}
	if err != nil {
		g.console.printf("boot scripts: %v", err)
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
	c, err := g.runLogged(name, program{Mode: modeService, Args: g.image, Dir: dir})
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
	status, note := g.userData(script)
	result := link.UserDataDone
	if status != 0 {
		result = link.UserDataFailed
	}
	g.update(func(s *link.State) { s.UserData, s.UserDataExit, s.UserDataNote = result, status, note })
	g.console.printf("user data has ended: %s, exit status %d", result, status)
	g.events.add(link.Event{Type: link.EventUserData, Status: status, Detail: note})
}

// maxNote bounds what is kept of the words in which user data says why it failed.
const maxNote = 2 << 10

// userData runs a script or carries a cloud-config out, and returns why it failed, in words.
func (g *Guest) userData(script string) (status int, note string) {
	if !strings.HasPrefix(script, "#!") && !cloudconfig.Is(script) {
		note = `cannot run user data: its first line must name an interpreter, as "#!/bin/sh", or be "#cloud-config"`
		g.console.printf("%s", note)
		return statusCannotRun, note
	}
	c, notes, err := g.startLogged("user-data", program{Mode: modeUserData, Dir: "/"}, strings.NewReader(script), true)
	if err != nil {
		g.console.printf("%v", err)
		return statusCannotRun, err.Error()
	}
	text := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(notes, maxNote)) // up to its end, or to the deadline below
		text <- string(b)
	}()
	<-c.done
	notes.SetReadDeadline(time.Now().Add(linger)) // somebody may hold the other end
	note = strings.ReplaceAll(strings.TrimPrefix(strings.TrimSpace(<-text), "nuage-guest: "), "\n", "; ")
	notes.Close()
	status = exitCode(c.status)
	if note == "" && status != 0 {
		note = fmt.Sprintf("exit status %d", status)
	}
	if status != 0 {
		g.console.printf("user data: %s", note)
	}
	return status, note
}

// runLogged starts a program whose output goes to the console, also that of processes it leaves behind.
func (g *Guest) runLogged(name string, p program) (*process, error) {
	c, notes, err := g.startLogged(name, p, nil, false)
	if err == nil {
		notes.Close()
	}
	return c, err
}

// startLogged starts a program whose stdout goes to the console, and its stderr too unless it is to be kept apart for the
// caller to read.
func (g *Guest) startLogged(name string, p program, stdin io.Reader, apart bool) (*process, *os.File, error) {
	t, err := newTerminal(execution{})
	if err != nil {
		return nil, nil, err
	}
	files := [3]*os.File{t.inside[0], t.inside[1], t.inside[1]}
	if apart {
		files[2] = t.inside[2]
	}
	c, err := g.procs.start(p, g.environment(), files, false)
	t.closeInside()
	if err != nil {
		t.closeOutside()
		return nil, nil, err
	}
	go t.feed(stdin)
	go func() {
		defer t.stdout.Close()
		g.console.copy(name, t.stdout)
	}()
	return c, t.stderr, nil
}
