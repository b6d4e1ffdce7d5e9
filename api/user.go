package api

import "context"

// User is a person who works in the cloud. What they do is recorded under their name, with whichever of their tokens.
// Users of apps are something else: they are in auth pools.
type User struct {
	Meta
	Spec   UserSpec `json:"spec"`
	Status Status   `json:"status"`
}

// UserSpec is what a user may do.
type UserSpec struct {
	Project     string `json:"project,omitempty" doc:"the only project they may act on; empty: all of the cloud"`
	Description string `json:"description,omitempty" maxLength:"500" doc:"as their full name"`
}

// Users is account-wide; only a token without a project limit may use it. A user has no password: tokens let them in.
type Users interface {
	// Create. Invalid, NotFound (the project), Conflict (the name).
	Create(ctx context.Context, name string, spec UserSpec) (User, error)
	// Get. NotFound.
	Get(ctx context.Context, name string) (User, error)
	List(ctx context.Context, page Page) (List[User], error)
	// Delete revokes all tokens of the user at once. NotFound. Conflict: the user who asks, who would be locked out.
	Delete(ctx context.Context, name string) error
}
