// Package link is the control channel between the control plane and the guest, PID 1 of an instance. It runs over
// the stdin and stdout of the guest's container: Dial on the host's side, Serve inside. The host may come, die in the
// middle of a frame and come back; see handshake.go. Above the handshake lies yamux, above that HTTP.
package link

import (
	"context"
	"io"
	"time"
)

// Config is all a guest is told. Each Configure replaces the one before as a whole.
type Config struct {
	InstanceID     string            `json:"instanceId"`
	Hostname       string            `json:"hostname"`
	AuthorizedKeys []Key             `json:"authorizedKeys"`
	HostKey        string            `json:"hostKey"`   // PEM of an OpenSSH private key; "": SSH is off
	Rules          []Rule            `json:"rules"`     // inbound; none: nothing may come in
	DenyOut        []string          `json:"denyOut"`   // addresses or CIDRs nothing inside may open a connection to
	DenyIn         []string          `json:"denyIn"`    // sources that may open no connection, whatever Rules say
	AllowOut       []string          `json:"allowOut"`  // where things inside may open connections to at all; nil: anywhere that DenyOut does not name. Loopback and metadata always
	MachineID      string            `json:"machineId"` // 32 hex digits for /etc/machine-id, written at each boot where the file holds another; "": left alone
	Metadata       Metadata          `json:"metadata"`
	UserData       string            `json:"userData"`    // a script with #!, or #cloud-config
	RunUserData    bool              `json:"runUserData"` // run it in this boot; the guest runs it once a boot at most
	Env            map[string]string `json:"env"`         // for everything the guest starts, over the container's own
}

// Metadata is what the service at 169.254.169.254 tells the machine of itself, beside what Config says already.
type Metadata struct {
	Image          string            `json:"image"` // ami-id
	Type           string            `json:"type"`  // instance-type
	Address        string            `json:"address"`
	PublicAddress  string            `json:"publicAddress"` // "": 404
	Project        string            `json:"project"`
	Region         string            `json:"region"`
	Zone           string            `json:"zone"` // of placement
	SecurityGroups []string          `json:"securityGroups"`
	Tags           map[string]string `json:"tags"`
	Spot           bool              `json:"spot"`    // instance-life-cycle: spot or on-demand
	Reclaim        *time.Time        `json:"reclaim"` // of spot/instance-action and spot/termination-time; nil: 404
}

// Key lets its holder in as root.
type Key struct {
	Name string `json:"name"` // shown in events
	Line string `json:"line"` // authorized_keys form, without options
}

// Rule lets inbound traffic in.
type Rule struct {
	Protocol string   `json:"protocol"` // tcp, udp, icmp, all
	FromPort int      `json:"fromPort"` // tcp and udp only; 0 and 0: every port
	ToPort   int      `json:"toPort"`   // 0: FromPort
	Sources  []string `json:"sources"`  // CIDRs or addresses, IPv4 or IPv6; none: nobody
}

// The values of State.UserData.
const (
	UserDataNone    = "none"
	UserDataRunning = "running"
	UserDataDone    = "done"
	UserDataFailed  = "failed"
)

// FirewallOK is State.Firewall when the rules of the last Config are loaded; anything else is what went wrong.
const FirewallOK = "ok"

// State is how the machine is.
type State struct {
	Boot         string `json:"boot"`       // another one after each start of the guest
	Version      string `json:"version"`    // of the guest
	Configured   bool   `json:"configured"` // a Config has arrived in this boot
	Booted       bool   `json:"booted"`     // boot scripts have run and the image's own service is started
	SSH          bool   `json:"ssh"`        // the SSH server accepts connections
	UserData     string `json:"userData"`   // none (not run in this boot), running, done, failed
	UserDataExit int    `json:"userDataExit"`
	UserDataNote string `json:"userDataNote"` // what failed, in words: as `runcmd: exit status 2`
	OOMKills     int    `json:"oomKills"`     // processes the kernel has killed in this boot for want of memory
	Firewall     string `json:"firewall"`
}

// The values of Event.Type.
const (
	EventConfigured  = "configured"
	EventBooted      = "booted"
	EventUserData    = "user-data"    // Status is its exit status
	EventServiceExit = "service-exit" // Command, Status
	EventSSHOpen     = "ssh-open"     // a connection passed authentication
	EventSSHExec     = "ssh-exec"     // Command; "" is a login shell, "sftp" the subsystem
	EventSSHLine     = "ssh-line"     // Command, a line typed at the prompt of a login shell, without passwords
	EventSSHClose    = "ssh-close"
	EventOOM         = "oom"  // Status is how many processes the kernel has killed for want of memory
	EventLost        = "lost" // Status events before this one were dropped, because nobody fetched them
)

// Event is something that happened in the machine.
type Event struct {
	Cursor
	Time        time.Time `json:"time"`
	Type        string    `json:"type"`
	Detail      string    `json:"detail,omitempty"`
	User        string    `json:"user,omitempty"`
	Key         string    `json:"key,omitempty"`         // Key.Name
	Fingerprint string    `json:"fingerprint,omitempty"` // SHA256:...
	From        string    `json:"from,omitempty"`        // address and port
	Command     string    `json:"command,omitempty"`
	Status      int       `json:"status"`
}

// Cursor is an event's place. The zero Cursor lies before all events.
type Cursor struct {
	Boot string `json:"boot"`
	Seq  uint64 `json:"seq"` // from 1 in each boot
}

// Command is what to run. No word: root's login shell. One word: a line for the shell, where the image has one.
// Several words: run as they are.
type Command struct {
	Args []string `json:"args"`
	Env  []string `json:"env"` // NAME=value
	Dir  string   `json:"dir"` // "": root's home
	TTY  bool     `json:"tty"`
	Rows int      `json:"rows"`
	Cols int      `json:"cols"`
}

// Stdio is where a command reads and writes. Stdin nil: nothing; Stdout or Stderr nil: thrown away.
// The end of Stdin closes the command's stdin. With a TTY everything arrives on Stdout.
type Stdio struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Resize <-chan [2]int // rows, cols
}

// Machine is what a guest can do, the body behind Serve. Safe for concurrent use.
type Machine interface {
	// Configure takes a Config over. Invalid: a field is unusable; what was usable before stays.
	Configure(ctx context.Context, c Config) error
	State() State
	// Exec runs a command until it ends and returns its exit status, 128+n for signal n. It is killed when ctx ends.
	Exec(ctx context.Context, c Command, s Stdio) (int, error)
	// Events returns what came after the cursor, oldest first; when there is nothing it waits for something or for the end of ctx.
	Events(ctx context.Context, after Cursor) []Event
}
