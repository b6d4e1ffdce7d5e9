package api

import (
	"context"
	"time"
)

// Project holds nouns, has a network of its own, and is what a bill can be split by.
type Project struct {
	Meta
	Spec   ProjectSpec   `json:"spec"`
	Status ProjectStatus `json:"status"`
}

// ProjectSpec is what a user says of a project.
type ProjectSpec struct {
	Description string `json:"description,omitempty" maxLength:"500"`
	Quota       Quota  `json:"quota,omitzero" doc:"the most the project may have"`
	Concurrency int    `json:"concurrency,omitempty" minimum:"0" maximum:"1000" doc:"calls of all its functions at once at most, more are refused with 429; 0: as many as the cloud has"`
}

// Quota are amounts over all of a project's nouns, as declared and not as used; stopped instances count. In a spec 0 means no limit.
type Quota struct {
	Instances   int64 `json:"instances,omitempty" minimum:"0"`
	MilliCPU    int64 `json:"milliCPU,omitempty" minimum:"0" doc:"of instances, in thousandths of a vCPU"`
	MemoryBytes int64 `json:"memoryBytes,omitempty" minimum:"0" doc:"of instances"`
	Volumes     int64 `json:"volumes,omitempty" minimum:"0"`
	VolumeBytes int64 `json:"volumeBytes,omitempty" minimum:"0" doc:"sizes of volumes"`
	Functions   int64 `json:"functions,omitempty" minimum:"0"`
	Triggers    int64 `json:"triggers,omitempty" minimum:"0" doc:"of all kinds, schedules among them"`
	Queues      int64 `json:"queues,omitempty" minimum:"0"`
	Topics      int64 `json:"topics,omitempty" minimum:"0"`
}

// ProjectStatus is what the cloud says of a project.
type ProjectStatus struct {
	Status
	CIDR string `json:"cidr" doc:"range of the project's default network"`
	Used Quota  `json:"used" doc:"what counts against the quota"`
}

// Projects is account-wide. The project "default" is made with the cloud.
type Projects interface {
	// Create. Invalid: bad name. Conflict: taken. Exhausted: no network range is left.
	Create(ctx context.Context, name string, spec ProjectSpec) (Project, error)
	// Get. NotFound.
	Get(ctx context.Context, name string) (Project, error)
	// List answers in name order those the actor may see.
	List(ctx context.Context, page Page) (List[Project], error)
	// Update replaces description and quota. What is there already stays, also above a new quota. Invalid, NotFound;
	// Conflict: another generation than the one given (0: any).
	Update(ctx context.Context, name string, spec ProjectSpec, generation int64) (Project, error)
	// Delete. NotFound. Conflict: not empty, or the project "default".
	Delete(ctx context.Context, name string) error
}

// Token is a bearer token's record. The secret itself is shown once, by Create, and stored as a hash.
type Token struct {
	Meta
	Spec   TokenSpec `json:"spec"`
	Status Status    `json:"status"`
	Secret string    `json:"secret,omitempty" doc:"only in the answer to create"`
}

// TokenSpec is what a token may do.
type TokenSpec struct {
	Project   string     `json:"project,omitempty" doc:"the only project it may act on; empty: all, or the user's"`
	User      string     `json:"user,omitempty" doc:"who acts with it, as activities name them; empty: the token's own name"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
}

// Tokens is account-wide; only a token without a project limit may use it.
type Tokens interface {
	// Create. Invalid, NotFound (the project, the user), Conflict (the name), Forbidden: the user is limited to another project.
	Create(ctx context.Context, name string, spec TokenSpec) (Token, error)
	List(ctx context.Context, page Page) (List[Token], error)
	// Revoke takes effect at once. NotFound. Conflict: the token in use, which would lock its user out.
	Revoke(ctx context.Context, name string) error
	// Authenticate returns the actor behind a secret. Unauthenticated.
	Authenticate(ctx context.Context, secret string) (Actor, error)
}
