package api

// Network is a private range of addresses in which instances find each other by name. Two networks cannot reach each other.
type Network struct {
	Meta
	Spec   NetworkSpec   `json:"spec"`
	Status NetworkStatus `json:"status"`
}

// NetworkSpec is what a user asks of a network.
type NetworkSpec struct {
	CIDR  string `json:"cidr" doc:"private IPv4 range of /16 to /28, as 10.20.0.0/24; cannot change, and no two networks of the cloud may overlap"`
	NoNAT bool   `json:"noNat,omitempty" doc:"true: instances in it reach nothing outside the network; takes effect on running ones"`
}

// NetworkStatus is what the cloud says of a network.
type NetworkStatus struct {
	Status
	Gateway   string `json:"gateway" doc:"address of the laptop in the network"`
	Instances int    `json:"instances" doc:"how many are in it"`
}

// Networks are a project's networks. The network "default" is made with the project and goes with it: apps, databases and
// instances without a network of their own are in it. Delete: Conflict while an instance is in it.
type Networks interface {
	Resource[Network, NetworkSpec]
}
