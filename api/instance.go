package api

import "context"

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
	UserData       string            `json:"userData,omitempty" maxLength:"65536" doc:"shell script, run once as root at first boot"`
	SecurityGroups []string          `json:"securityGroups,omitempty" doc:"default when empty"`
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
	UserData string     `json:"userData" enum:"none,running,done,failed"`
	Restarts int        `json:"restarts" doc:"times the platform brought it back"`
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
