package api

import (
	"context"
	"time"
)

// Instance is a machine: a container that boots, with SSH, an address, limits and user data.
type Instance struct {
	Meta
	Spec   InstanceSpec   `json:"spec"`
	Status InstanceStatus `json:"status"`
}

// InstanceSpec is what a user asks of a machine.
type InstanceSpec struct {
	Image          string            `json:"image,omitempty" doc:"name from the catalog or an image reference; debian-12 when empty"`
	Type           string            `json:"type,omitempty" enum:",nano,micro,small,medium,large" doc:"small when empty"`
	Key            string            `json:"key,omitempty" doc:"name of a key in the project, let in as root"`
	UserData       string            `json:"userData,omitempty" maxLength:"65536" doc:"shell script (#!) or #cloud-config, run once as root at first boot"`
	Network        string            `json:"network,omitempty" doc:"name of a network; default when empty; cannot change"`
	Private        bool              `json:"private,omitempty" doc:"true: no public address, so only its network reaches it"`
	Unrecorded     bool              `json:"unrecorded,omitempty" doc:"true: activities say that there was an SSH session or an exec, and not what was typed"`
	SecurityGroups []string          `json:"securityGroups,omitempty" doc:"default when empty"`
	Volumes        []VolumeMount     `json:"volumes,omitempty" maxItems:"16" doc:"of a running instance only changed by attach and detach"`
	Spot           bool              `json:"spot,omitempty" doc:"cheaper, and the cloud may take it back after a notice; cannot change"`
	Env            map[string]string `json:"env,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	Stopped        bool              `json:"stopped,omitempty" doc:"true: the machine shall be off"`
	Boot           int64             `json:"boot,omitempty" doc:"grows with each reboot asked for"`
}

// InstanceStatus is where the machine is.
type InstanceStatus struct {
	Status
	Address  string     `json:"address,omitempty" doc:"private address in the project's network, stable for life"`
	SSH      *Endpoint  `json:"ssh,omitempty" doc:"where an SSH client on the laptop reaches it"`
	HostKey  string     `json:"hostKey,omitempty" doc:"SSH host key in authorized_keys form"`
	Ports    []HostPort `json:"ports,omitempty" doc:"ports that security groups open and how the laptop reaches them"`
	Public   bool       `json:"public" doc:"the laptop reaches it: a public address is billed while it runs"`
	UserData string     `json:"userData" enum:"none,running,done,failed"`
	Restarts int        `json:"restarts" doc:"times the platform brought it back"`
	OOMKills int        `json:"oomKills,omitempty" doc:"processes the kernel has killed since boot for want of memory"`
	Group    string     `json:"group,omitempty" doc:"instance group it is a member of"`
	Reclaim  *time.Time `json:"reclaim,omitempty" doc:"when a spot instance is taken back"`
}

// Endpoint is an address a program on the laptop can dial.
type Endpoint struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// HostPort says how a port of a machine is reached from the laptop.
type HostPort struct {
	Port     int    `json:"port"`
	Host     string `json:"host"`
	HostPort int    `json:"hostPort"`
}

// PowerAction is what Power does to a machine.
type PowerAction string

// The power actions.
const (
	PowerStart  PowerAction = "start"
	PowerStop   PowerAction = "stop"
	PowerReboot PowerAction = "reboot"
)

// Instances are the machines of a project.
type Instances interface {
	Resource[Instance, InstanceSpec]
	// Power changes what should run. Starting a running machine or stopping a stopped one changes nothing. NotFound; Conflict: being deleted.
	Power(ctx context.Context, project, name string, action PowerAction) (Instance, error)
	// Reclaim takes a spot instance back: after the notice it is deleted, its volumes are kept. The notice is in its metadata at
	// once. A second call with a shorter notice hastens it. NotFound. Invalid: notice below 0 or over an hour. Conflict: no spot instance.
	Reclaim(ctx context.Context, project, name string, notice time.Duration) (Instance, error)
	// Metrics returns the newest sample. NotFound. Conflict: not running. Unavailable: none was taken yet. Unsupported: the engine does not measure.
	Metrics(ctx context.Context, project, name string) (InstanceMetrics, error)
}

// InstanceMetrics are counters since the start of the machine, and gauges. A sample is taken every few seconds.
type InstanceMetrics struct {
	At            time.Time `json:"at"`
	CPUSeconds    float64   `json:"cpuSeconds"`
	CPUPercent    float64   `json:"cpuPercent" doc:"over the last minute or since boot, in percent of the type's vCPU"`
	MemoryBytes   uint64    `json:"memoryBytes"`
	MemoryLimit   int64     `json:"memoryLimit"`
	ReceiveBytes  uint64    `json:"receiveBytes" doc:"network"`
	TransmitBytes uint64    `json:"transmitBytes" doc:"network"`
	ReadBytes     uint64    `json:"readBytes" doc:"disks"`
	WriteBytes    uint64    `json:"writeBytes" doc:"disks"`
	Processes     uint64    `json:"processes"`
	ProcessLimit  int64     `json:"processLimit"`
}

// Size is an instance type or an app's or database's size: real limits.
type Size struct {
	Name        string `json:"name"`
	MilliCPU    int64  `json:"milliCPU" doc:"thousandths of a vCPU"`
	MemoryBytes int64  `json:"memoryBytes"`
}

// Sizes returns all sizes, smallest first. Instances, apps and databases share them.
func Sizes() []Size {
	const mib = 1 << 20
	return []Size{
		{"nano", 250, 256 * mib},
		{"micro", 500, 512 * mib},
		{"small", 1000, 1024 * mib},
		{"medium", 2000, 2048 * mib},
		{"large", 2000, 4096 * mib},
	}
}

// SizeOf returns the size with that name. Invalid: no such size.
func SizeOf(name string) (Size, error) {
	for _, s := range Sizes() {
		if s.Name == name {
			return s, nil
		}
	}
	return Size{}, Errorf(Invalid, "cannot use size %q: there are nano, micro, small, medium and large", name)
}

// Key is the public half of an SSH key pair. The private half never reaches the cloud.
type Key struct {
	Meta
	Spec   KeySpec   `json:"spec"`
	Status KeyStatus `json:"status"`
}

// KeySpec holds the key.
type KeySpec struct {
	PublicKey string `json:"publicKey" maxLength:"16384" doc:"one line in authorized_keys form"`
}

// KeyStatus is what the cloud read from it.
type KeyStatus struct {
	Status
	Fingerprint string `json:"fingerprint" doc:"SHA256:... as ssh-keygen -l prints it"`
}

// Keys are a project's keys. Update is Unsupported: instances were let in by the key as it was.
type Keys interface{ Resource[Key, KeySpec] }

// SecurityGroup is a set of rules for what may reach an instance. Without a rule nothing may.
type SecurityGroup struct {
	Meta
	Spec   SecurityGroupSpec `json:"spec"`
	Status Status            `json:"status"`
}

// SecurityGroupSpec holds the rules; their order has no meaning.
type SecurityGroupSpec struct {
	Description string `json:"description,omitempty" maxLength:"500"`
	Rules       []Rule `json:"rules" maxItems:"100"`
}

// Rule lets inbound traffic in. Exactly one of CIDR and Group is set.
type Rule struct {
	Protocol string `json:"protocol" enum:"tcp,udp,icmp,all"`
	FromPort int    `json:"fromPort,omitempty" minimum:"0" maximum:"65535" doc:"first port; tcp and udp only"`
	ToPort   int    `json:"toPort,omitempty" minimum:"0" maximum:"65535" doc:"last port; fromPort when 0"`
	CIDR     string `json:"cidr,omitempty" doc:"source range, as 0.0.0.0/0"`
	Group    string `json:"group,omitempty" doc:"source: members of this group"`
}

// SecurityGroups are a project's groups. The group "default" is made with the project: tcp/22 from anywhere, all from its own members.
type SecurityGroups interface {
	Resource[SecurityGroup, SecurityGroupSpec]
}
