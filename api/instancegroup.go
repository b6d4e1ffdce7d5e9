package api

import "time"

// InstanceGroup keeps a number of like instances: it replaces those that fail, and scales them on their load.
type InstanceGroup struct {
	Meta
	Spec   InstanceGroupSpec   `json:"spec"`
	Status InstanceGroupStatus `json:"status"`
}

// InstanceGroupSpec is what a user asks of a group.
type InstanceGroupSpec struct {
	Min             int          `json:"min" minimum:"0" maximum:"100"`
	Max             int          `json:"max" minimum:"1" maximum:"100"`
	CPU             int          `json:"cpu,omitempty" minimum:"0" maximum:"100" doc:"target of the members' mean use, in percent of their type; 0: no scaling, min members"`
	CooldownSeconds int          `json:"cooldownSeconds,omitempty" minimum:"0" maximum:"3600" doc:"rest after a scaling; 60 when 0"`
	Health          HealthCheck  `json:"health,omitzero" doc:"port 0: an instance is healthy while it runs"`
	Template        InstanceSpec `json:"template" doc:"what each member is made from; without volumes. A change replaces the members one after another"`
}

// InstanceGroupStatus is what the cloud says of a group.
type InstanceGroupStatus struct {
	Status
	Desired    int           `json:"desired"`
	CPUPercent float64       `json:"cpuPercent" doc:"mean of the members over the last minute, in percent of their type"`
	ScaledAt   *time.Time    `json:"scaledAt,omitempty"`
	Members    []GroupMember `json:"members"`
}

// GroupMember is one instance of a group.
type GroupMember struct {
	Instance string `json:"instance"`
	Health   string `json:"health" enum:"unknown,healthy,unhealthy,leaving"`
	Reason   string `json:"reason"`
	Current  bool   `json:"current" doc:"made from the present template"`
}

// InstanceGroups are a project's groups. Members are instances named NAME-xxxxx; Delete deletes them too.
type InstanceGroups interface {
	Resource[InstanceGroup, InstanceGroupSpec]
}
