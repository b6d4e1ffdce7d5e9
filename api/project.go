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
}

// ProjectStatus is what the cloud says of a project.
type ProjectStatus struct {
	Status
	CIDR string `json:"cidr" doc:"range of the project's default network"`
}

// Projects is account-wide. The project "default" is made with the cloud.
type Projects interface {
	// Create. Invalid: bad name. Conflict: taken. Exhausted: no network range is left.
	Create(ctx context.Context, name string, spec ProjectSpec) (Project, error)
	// Get. NotFound.
	Get(ctx context.Context, name string) (Project, error)
	// List answers in name order those the actor may see.
	List(ctx context.Context, page Page) (List[Project], error)
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
	Project   string     `json:"project,omitempty" doc:"the only project it may act on; empty: all"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
}

// Tokens is account-wide; only a token without a project limit may use it.
type Tokens interface {
	// Create. Invalid, NotFound (the project), Conflict (the name).
	Create(ctx context.Context, name string, spec TokenSpec) (Token, error)
	List(ctx context.Context, page Page) (List[Token], error)
	// Revoke takes effect at once. NotFound. Conflict: the token in use, which would lock its user out.
	Revoke(ctx context.Context, name string) error
	// Authenticate returns the actor behind a secret. Unauthenticated.
	Authenticate(ctx context.Context, secret string) (Actor, error)
}
