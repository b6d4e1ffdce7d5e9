package api

// LoadBalancer passes connections on to instances that are healthy.
type LoadBalancer struct {
	Meta
	Spec   LoadBalancerSpec   `json:"spec"`
	Status LoadBalancerStatus `json:"status"`
}

// LoadBalancerSpec is what a user asks of a load balancer.
type LoadBalancerSpec struct {
	Port          int         `json:"port" minimum:"1" maximum:"65535" doc:"port it stands for; the laptop's port is in the status"`
	Protocol      string      `json:"protocol,omitempty" enum:",http,tcp" doc:"http when empty: requests are balanced and carry X-Forwarded-For; tcp: connections are"`
	Algorithm     string      `json:"algorithm,omitempty" enum:",round-robin,least-connections" doc:"round-robin when empty"`
	Targets       []Target    `json:"targets" maxItems:"100"`
	Health        HealthCheck `json:"health,omitzero"`
	ProxyProtocol bool        `json:"proxyProtocol,omitempty" doc:"tcp only: a PROXY protocol version 2 header tells the target the client's address"`
	DrainSeconds  int         `json:"drainSeconds,omitempty" minimum:"0" maximum:"3600" doc:"how long a removed target may end what it has begun; 30 when 0"`
}

// Target is where a load balancer passes connections on to: an instance, or all members of an instance group.
type Target struct {
	Instance string `json:"instance,omitempty"`
	Group    string `json:"group,omitempty"`
	Port     int    `json:"port" minimum:"1" maximum:"65535"`
}

// HealthCheck says when an instance is taken as healthy: 2 good answers in a row make it so, 2 bad ones end it.
type HealthCheck struct {
	Path            string `json:"path,omitempty" doc:"HTTP path that must answer 200 to 399; empty: the port must accept a connection"`
	Port            int    `json:"port,omitempty" minimum:"0" maximum:"65535" doc:"the target's own when 0"`
	IntervalSeconds int    `json:"intervalSeconds,omitempty" minimum:"0" maximum:"300" doc:"2 when 0"`
	TimeoutSeconds  int    `json:"timeoutSeconds,omitempty" minimum:"0" maximum:"60" doc:"2 when 0"`
}

// LoadBalancerStatus is what the cloud says of a load balancer.
type LoadBalancerStatus struct {
	Status
	Endpoint *Endpoint      `json:"endpoint,omitempty" doc:"where the laptop reaches it: the port asked for where that is free on 127.0.0.1, else another"`
	Targets  []TargetStatus `json:"targets"`
}

// TargetStatus is how one target is.
type TargetStatus struct {
	Instance    string `json:"instance"`
	Address     string `json:"address" doc:"host:port it is reached at"`
	Health      string `json:"health" enum:"unknown,healthy,unhealthy,draining"`
	Reason      string `json:"reason"`
	Connections int    `json:"connections" doc:"requests or connections in flight"`
}

// LoadBalancers are a project's load balancers.
type LoadBalancers interface {
	Resource[LoadBalancer, LoadBalancerSpec]
}
