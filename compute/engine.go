// Package compute is what the control plane asks of something that runs workloads. Package docker does it with a
// Docker engine, package sim in memory. Verbs are idempotent on the workload's id and safe for concurrent use.
package compute

import (
	"context"
	"io"
	"time"
)

// Engine runs workloads. All methods may return Unavailable (the engine does not answer).
type Engine interface {
	// Info says what the engine is, freshly asked.
	Info(ctx context.Context) (Info, error)
	// Create makes the workload's container, stopped. One that exists with the same template is left as it is.
	// NotFound: the image, network or volume (the message says which). Conflict: exists with another template or is half
	// removed; the address is in use. Invalid: the engine refuses the fields. Unsupported: no guest for the guest mode.
	Create(ctx context.Context, w Workload) error
	// Start starts it; one that runs is left running. NotFound. Conflict: dead. Invalid: the command can't be run.
	Start(ctx context.Context, id string) error
	// Stop asks it to end (SIGTERM) and kills it after grace. One that is stopped or absent is fine.
	Stop(ctx context.Context, id string, grace time.Duration) error
	// Remove kills and removes the container; volumes stay. An absent one is fine.
	Remove(ctx context.Context, id string) error
	// Update changes limits in place; a zero field is left as it is. NotFound. Conflict: it cannot go as low as asked.
	Update(ctx context.Context, id string, limits Limits) error
	// List returns everything of this cloud, however it came about. It is the truth.
	List(ctx context.Context) ([]Observed, error)
	// Watch sends an event when something may have changed, until ctx ends; then it closes the channel.
	// It is a hint: events may be lost, List is asked again anyway.
	Watch(ctx context.Context) (<-chan Event, error)
	// Close frees what the engine's client holds. Workloads stay.
	Close() error
}

// Info describes an engine.
type Info struct {
	Name    string // docker, sim
	Version string
	Real    bool   // false: nothing really runs
	Note    string // limits a user should know, or ""
	Routes  bool   // the laptop can reach container addresses
}

// Kinds of workloads, the values of the label nuage.kind.
const (
	KindInstance = "instance"
	KindApp      = "app"
	KindDatabase = "database"
	KindFunction = "function"
	KindBuilder  = "builder"
	KindHelper   = "helper"
)

// Labels on everything made in an engine. The values of Cloud protect the neighbours' containers.
const (
	LabelCloud      = "nuage.cloud"
	LabelKind       = "nuage.kind"
	LabelProject    = "nuage.project"
	LabelName       = "nuage.name"
	LabelID         = "nuage.id"
	LabelGeneration = "nuage.generation"
	LabelTemplate   = "nuage.template"
	LabelOwner      = "nuage.owner"
)

// Workload is one container as it should be.
type Workload struct {
	ID         string `json:",omitzero"` // unique, and the engine's name for it: the noun's id, or that with a suffix per replica
	Owner      string `json:",omitzero"` // id of the noun it belongs to
	Kind       string `json:",omitzero"`
	Project    string `json:",omitzero"`
	Name       string `json:",omitzero"` // the noun's name
	Generation int64  `json:",omitzero"` // of the noun when it was made

	Image      string            `json:",omitzero"` // reference or id, as the engine knows it
	Entrypoint []string          `json:",omitzero"`
	Command    []string          `json:",omitzero"`
	WorkDir    string            `json:",omitzero"`
	User       string            `json:",omitzero"`
	Env        map[string]string `json:",omitempty"`
	Hostname   string            `json:",omitzero"`
	Aliases    []string          `json:",omitempty"` // further names in its network
	Network    string            `json:",omitzero"`  // id of a Network, or "" for none at all
	Address    string            `json:",omitzero"`  // IPv4 in Network, or "" for any
	Hosts      map[string]string `json:",omitempty"` // extra /etc/hosts lines: name -> address
	Ports      []int             `json:",omitempty"` // TCP ports a program on the laptop must be able to reach
	Mounts     []Mount           `json:",omitempty"`
	Tmpfs      map[string]string `json:",omitempty"` // path -> options
	ReadOnly   bool              `json:",omitzero"`  // root file system
	Caps       []string          `json:",omitzero"`  // capabilities kept; nil: the engine's usual set, empty: none
	Privileges bool              `json:",omitzero"`  // may gain privileges (setuid); false sets no-new-privileges
	Guest      GuestMode         `json:",omitzero"`
	StopSignal string            `json:",omitzero"`

	Limits  Limits   `json:",omitzero"`  // live: changed in place
	Running bool     `json:",omitzero"`  // live: on or off
	Joined  []string `json:",omitempty"` // live: ids of further networks, in order; there it has any address, and Aliases as names
}

// GuestMode says whether and how nuage's guest is PID 1 of the workload.
type GuestMode string

// The guest modes. GuestMachine keeps stdin attached for the control channel (Attacher); the image's own
// ENTRYPOINT and CMD are handed to the guest as its arguments.
const (
	GuestNone    GuestMode = ""
	GuestMachine GuestMode = "machine"
	GuestSandbox GuestMode = "sandbox"
)

// Mount puts a volume of this cloud, or a directory of the host, at Path.
type Mount struct {
	Volume   string `json:",omitzero"` // id of a volume, or
	Host     string `json:",omitzero"` // absolute path of a directory on the host (Linux only)
	Path     string `json:",omitzero"`
	ReadOnly bool   `json:",omitzero"`
}

// Limits are real limits.
type Limits struct {
	MilliCPU    int64
	MemoryBytes int64
	Pids        int64
}

// Observed is one container as it is.
type Observed struct {
	ID         string // the workload's
	Owner      string
	Kind       string
	Project    string
	Name       string
	Generation int64
	Template   string
	Engine     string // the engine's own id of it; another one after a recreation
	Image      string
	State      State
	ExitCode   int
	OOMKilled  bool
	StartedAt  time.Time
	FinishedAt time.Time // of the last end: while it runs, of the run before; zero: it never ended
	Address    string
	Endpoints  map[int]Endpoint // by container port: where a program on the laptop dials; only while running
	Limits     Limits
	Mounts     []Mount  // volumes of this cloud that it was made with, by path
	Joined     []string // ids of further networks that it is in, in order
}

// Endpoint is a host and port.
type Endpoint struct {
	Host string
	Port int
}

// State is a container's state.
type State string

// The states.
const (
	StateCreated State = "created"
	StateRunning State = "running"
	StateExited  State = "exited"
	StateDead    State = "dead" // half removed; only Remove helps
)

// Event says that something about a workload may have changed. ID "" means anything.
type Event struct {
	ID   string
	What string // create, start, die, oom, destroy, lost
	Time time.Time
}

// Rare abilities, found by type assertion. A missing one is answered with Unsupported.

// Network is a private network.
type Network struct {
	ID       string // as net-...; the engine's name for it
	Project  string
	Name     string
	CIDR     string
	Range    string // part of CIDR from which the engine gives addresses to workloads that ask for any; "": all
	Internal bool   // no way out
}

// Networks makes networks.
type Networks interface {
	EnsureNetwork(ctx context.Context, n Network) error // Conflict: the range is in use, or it exists with another one
	RemoveNetwork(ctx context.Context, id string) error // an absent one is fine. Conflict: a workload is in it, stopped or not, or has joined it
	ListNetworks(ctx context.Context) ([]Network, error)
}

// Joiner puts workloads into further networks beside their own, while they run. Connections that are open stay, and the way out
// is that of its own network as long as that one's id comes first in the order of text.
type Joiner interface {
	// Join puts a workload, running or not, into a network under the names given; one that is in it is left as it is.
	// NotFound: the workload or the network.
	Join(ctx context.Context, id, network string, aliases []string) error
	// Leave takes it out of one that it has joined. One that is not in it, or not there, or a network that is gone, is fine.
	// Conflict: it was made in that network.
	Leave(ctx context.Context, id, network string) error
}

// Volume is a named disk.
type Volume struct {
	ID, Project, Name string
	Bytes             int64 // its size; 0: as large as it gets. Listed as it was when the volume was made
	Enforced          bool  // only listed: the engine holds it to Bytes
}

// Volumes makes disks. Nothing but RemoveVolume ever destroys data.
type Volumes interface {
	// EnsureVolume makes it, held to its size where the engine can. One that exists is left as it is.
	EnsureVolume(ctx context.Context, v Volume) error
	RemoveVolume(ctx context.Context, id string) error // an absent one is fine. Conflict: a workload mounts it, stopped or not
	ListVolumes(ctx context.Context) ([]Volume, error)
	// VolumeBytes is the disk space a volume takes now. NotFound.
	VolumeBytes(ctx context.Context, id string) (int64, error)
}

// Copier copies disks.
type Copier interface {
	// CopyVolume makes to hold exactly what from holds at one moment: owners, modes, links, sparse files and extended attributes.
	// Workloads that mount from are held meanwhile; one that is cut off lets them go on, at the latest when the engine is opened
	// again, and is simply called again. NotFound: either. Conflict: a workload mounts to.
	CopyVolume(ctx context.Context, from, to string) error
}

// Image is an image the engine has.
type Image struct {
	ID    string // content id, sha256:...
	Size  int64
	Ports []int // EXPOSEd TCP ports
}

// Images finds images.
type Images interface {
	// Image looks a reference up, pulling it where it is absent and a registry answers within wait.
	// NotFound: no such image (the message says whether a registry answered).
	Image(ctx context.Context, ref string, wait time.Duration) (Image, error)
	// RemoveImage removes an image of ours by id or tag. An absent one is fine. Conflict: not ours; in use.
	RemoveImage(ctx context.Context, ref string) error
}

// Tagger gives images further names.
type Tagger interface {
	// TagImage gives an image that this cloud made, by id, another tag beside those it has: it stays until its last tag is removed.
	// NotFound: no such image. Conflict: not ours.
	TagImage(ctx context.Context, id, tag string) error
}

// Committer makes images of root disks.
type Committer interface {
	// Commit makes an image of a workload's root disk, running or not, and tags it b.Tag. The image's own command, user and
	// environment are those of the image the workload was made from: nothing of the workload's spec is in it, no volume is.
	// NotFound. Processes are held meanwhile.
	Commit(ctx context.Context, id string, b Build) (Image, error)
}

// Builder builds images.
type Builder interface {
	// Build builds the Dockerfile at the root of the tar and tags the image; log receives readable lines.
	// Invalid: the build failed; the message is its last error.
	Build(ctx context.Context, b Build, source io.Reader, log io.Writer) (Image, error)
}

// Build is what to build and what labels the image gets.
type Build struct {
	Tag, Owner, Project, Name string
}

// Process is one command inside a running workload.
type Process struct {
	Command    []string
	Env        []string
	User       string
	WorkDir    string
	TTY        bool
	Rows, Cols int
	Resize     <-chan [2]int // rows, cols
	Stdin      io.Reader
	Stdout     io.Writer
	Stderr     io.Writer
}

// Execer runs commands through the engine. Never used for instances: the command would carry the container's capabilities.
type Execer interface {
	// Exec returns the exit status. NotFound. Conflict: not running.
	Exec(ctx context.Context, id string, p Process) (int, error)
}

// Logger reads what a workload has printed.
type Logger interface {
	// Logs returns the lines, oldest first; stderr only where a guest uses stdout for its channel. NotFound.
	Logs(ctx context.Context, id string, q LogQuery) (io.ReadCloser, error)
}

// LogQuery says which lines of a log, and how.
type LogQuery struct {
	Tail    int       // only so many last lines; 0: all that is kept
	Follow  bool      // go on as lines come, until the workload ends
	Since   time.Time // only lines printed then or later; zero: all
	Stamped bool      // each line begins with when it was printed, as RFC 3339 with nanoseconds, and a space
}

// Attacher connects to the stdin and stdout of PID 1 of a GuestMachine workload.
type Attacher interface {
	// Attach. NotFound; Conflict: not running. Only what is printed after the attach is read.
	Attach(ctx context.Context, id string) (io.ReadWriteCloser, error)
}

// Stats are counters and gauges of one workload.
type Stats struct {
	CPUNanos              uint64
	MemoryBytes           uint64
	RxBytes, TxBytes      uint64
	ReadBytes, WriteBytes uint64
	Pids                  uint64
}

// Stater measures.
type Stater interface {
	// Stats may take a second. Of a stopped workload they are zero. NotFound.
	Stats(ctx context.Context, id string) (Stats, error)
}

// Remover removes all that a cloud has in an engine, volumes too: the end of `nuage reset`. Base images stay.
type Remover interface {
	RemoveAll(ctx context.Context) error
}
