//go:build linux

package guest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"nuage/api"
	"nuage/compute/guest/link"
)

// Guest is the state of one machine. It is a link.Machine.
type Guest struct {
	version  string
	boot     string
	image    []string // ENTRYPOINT and CMD of the image
	console  *console
	events   *ring
	procs    *processes
	firewall firewall
	ssh      *sshServer
	metadata *http.Server // nil where it could not be served

	configuring sync.Mutex // one Configure at a time
	configured  chan struct{}

	mu     sync.Mutex // guards the rest
	state  link.State
	config link.Config
}

// Main runs `machine [--] ENTRYPOINT CMD...`: it is PID 1 until the engine asks it to stop, and returns the exit status.
func Main(version string, args []string) int {
	if err := protect(); err != nil {
		os.Stderr.WriteString("nuage-guest: " + err.Error() + "\n")
		return 1
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	g := newGuest(version, args, os.Stderr, time.Now)
	return g.run(os.Stdin, os.Stdout)
}

func newGuest(version string, image []string, stderr io.Writer, now func() time.Time) *Guest {
	id := make([]byte, 8)
	rand.Read(id)
	boot := hex.EncodeToString(id)
	g := &Guest{
		version: version, boot: boot, image: image,
		console: newConsole(stderr, now), events: newRing(boot, now), procs: newProcesses(),
		configured: make(chan struct{}),
		state:      link.State{Boot: boot, Version: version, UserData: link.UserDataNone},
	}
	g.ssh = newSSHServer(g)
	return g
}

// run boots the machine and serves the link until the engine asks for the end.
func (g *Guest) run(stdin io.Reader, stdout io.Writer) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stops, err := watchStops()
	if err != nil {
		g.console.printf("%v", err)
		g.console.close()
		return 1
	}
	reserveThreads(threads)
	g.console.printf("nuage-guest %s: boot %s", g.version, g.boot)
	go g.procs.reap()
	go watchOOM(ctx, cgroupRoot, g.oom)
	g.loadFirewall(policy{})
	go func() {
		if err := link.Serve(ctx, stdin, stdout, g); err != nil {
			g.console.printf("control channel: %v", err)
			return
		}
		g.console.printf("control channel: stdin has ended")
	}()
	if err := g.serveMetadata(); err != nil { // before anything of the customer's runs, and while the host says hello
		g.console.printf("metadata: %v", err)
	}
	go g.bringUp(ctx)
	g.console.printf("stopping: %s", <-stops)
	g.ssh.close()
	if g.metadata != nil {
		g.metadata.Close() // closing sockets has no failure worth a word
	}
	g.procs.stopAll(stopGrace)
	g.console.printf("stopped")
	g.console.close()
	return 0
}

// State implements link.Machine.
func (g *Guest) State() link.State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

func (g *Guest) update(change func(*link.State)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.state)
}

// Events implements link.Machine.
func (g *Guest) Events(ctx context.Context, after link.Cursor) []link.Event {
	return g.events.after(ctx, after)
}

var machineID = regexp.MustCompile("^[0-9a-f]{32}$")

// Configure implements link.Machine.
func (g *Guest) Configure(_ context.Context, c link.Config) error {
	g.configuring.Lock()
	defer g.configuring.Unlock()
	rules, err := parsePolicy(c)
	if err != nil {
		return err
	}
	if c.MachineID != "" && !machineID.MatchString(c.MachineID) {
		return api.Errorf(api.Invalid, "cannot use machine id %q: give 32 hex digits", c.MachineID)
	}
	login, err := parseLogin(c)
	if err != nil {
		return err
	}
	g.loadFirewall(rules)
	g.mu.Lock()
	g.config = c
	first := !g.state.Configured
	g.state.Configured = true
	g.mu.Unlock()
	err = g.ssh.configure(login)
	g.update(func(s *link.State) { s.SSH = g.ssh.serving() })
	if first {
		g.console.printf("configured: %d keys, %d firewall rules", len(c.AuthorizedKeys), len(c.Rules))
		g.events.add(link.Event{Type: link.EventConfigured})
		close(g.configured)
	}
	return err
}

// loadFirewall puts the rules into the kernel. A kernel that refuses is reported, and changes nothing else.
func (g *Guest) loadFirewall(p policy) {
	result := link.FirewallOK
	if err := g.firewall.load(p); err != nil {
		result = err.Error()
	}
	g.mu.Lock()
	before := g.state.Firewall
	g.state.Firewall = result
	g.mu.Unlock()
	if result != before {
		g.console.printf("firewall: %s", result)
	}
}

// environment is what every process inside starts with: the container's, and the Config's over it.
func (g *Guest) environment(more ...string) []string {
	g.mu.Lock()
	extra := g.config.Env
	g.mu.Unlock()
	env := os.Environ()
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		env = append(env, name+"="+extra[name])
	}
	return lastWins(append(env, more...))
}

// lastWins drops variables that a later one of the same name replaces.
func lastWins(env []string) []string {
	seen := map[string]bool{}
	kept := make([]string, 0, len(env))
	for _, kv := range slices.Backward(env) {
		name, _, ok := strings.Cut(kv, "=")
		if ok && !seen[name] {
			seen[name] = true
			kept = append(kept, kv)
		}
	}
	slices.Reverse(kept)
	return kept
}

// Exec implements link.Machine.
func (g *Guest) Exec(ctx context.Context, c link.Command, s link.Stdio) (int, error) {
	mode := modeExec
	switch len(c.Args) {
	case 0:
		mode = modeLogin
	case 1:
		mode = modeLine
	}
	e := execution{
		program: program{Mode: mode, Args: c.Args, Dir: c.Dir},
		env:     g.environment(c.Env...), tty: c.TTY, size: [2]int{c.Rows, c.Cols}, killAtEnd: true,
	}
	status, err := g.procs.execute(ctx, e, s)
	if err != nil {
		return 0, err
	}
	return exitCode(status), nil
}

func (g *Guest) oom(killed int) {
	g.update(func(s *link.State) { s.OOMKills = killed })
	g.console.printf("out of memory: the kernel has killed %d processes in this boot", killed)
	g.events.add(link.Event{Type: link.EventOOM, Status: killed})
}

// errStopping answers whoever wants to start something while the machine goes down.
func errStopping() error {
	return api.Errorf(api.Conflict, "cannot start a process: the machine is stopping")
}
