package api

import "context"

// Volume is a disk with a life of its own: it outlives the instance it is attached to, and only Delete destroys its data.
type Volume struct {
	Meta
	Spec   VolumeSpec   `json:"spec"`
	Status VolumeStatus `json:"status"`
}

// VolumeSpec is what a user asks of a volume.
type VolumeSpec struct {
	SizeBytes int64  `json:"sizeBytes,omitempty" doc:"1 MiB to 16 TiB; may grow, never shrink; of a restored volume, the size of the snapshot's when 0"`
	Snapshot  string `json:"snapshot,omitempty" doc:"name of a snapshot to begin with; cannot change"`
}

// VolumeStatus is what the cloud says of a volume.
type VolumeStatus struct {
	Status
	Attached  *Attachment `json:"attached,omitempty" doc:"absent: attached to nothing"`
	UsedBytes int64       `json:"usedBytes" doc:"disk space its data takes, measured now and then"`
	Enforced  bool        `json:"enforced" doc:"the engine holds it to its size; false: a volume over its size is degraded and says so"`
}

// Attachment says where a volume is.
type Attachment struct {
	Instance string `json:"instance"`
	Path     string `json:"path" doc:"absolute path inside the instance"`
}

// VolumeMount attaches a volume to an instance.
type VolumeMount struct {
	Volume string `json:"volume" doc:"name of a volume in the project"`
	Path   string `json:"path" doc:"absolute path inside the instance, as /data"`
}

// Volumes are a project's volumes. What is attached where is part of the instances' specs; these verbs change it there.
type Volumes interface {
	Resource[Volume, VolumeSpec]
	// Attach puts a volume at a path of an instance. A running instance has to boot again for it (its root disk is kept), so
	// restart must be true for one. NotFound: volume or instance. Invalid: the path. Conflict: attached already, the path
	// is taken, or the instance runs and restart is false.
	Attach(ctx context.Context, project, name string, to Attachment, restart bool) (Volume, error)
	// Detach takes it from its instance; of one that is attached to nothing it changes nothing. NotFound. Conflict: the
	// instance runs and restart is false.
	Detach(ctx context.Context, project, name string, restart bool) (Volume, error)
}

// Snapshot is a copy of a volume as it was at one moment.
type Snapshot struct {
	Meta
	Spec   SnapshotSpec   `json:"spec"`
	Status SnapshotStatus `json:"status"`
}

// SnapshotSpec says of what.
type SnapshotSpec struct {
	Volume string `json:"volume" doc:"name of a volume in the project; it may be deleted afterwards"`
}

// SnapshotStatus is what the cloud says of a snapshot.
type SnapshotStatus struct {
	Status
	SizeBytes  int64 `json:"sizeBytes" doc:"disk space the copy takes, which is what is billed"`
	VolumeSize int64 `json:"volumeSize" doc:"size of the volume it was made of; a restored volume is at least as large"`
}

// Snapshots are a project's snapshots. Update is Unsupported: a snapshot is what it was. Processes of a running instance
// are held while the copy is made.
type Snapshots interface {
	Resource[Snapshot, SnapshotSpec]
}
