// Package api is the vocabulary of nuage: the nouns with their Spec and Status, the error codes, and one small
// interface per noun. It imports the standard library only. The faces (REST, client, CLI) speak it; package
// controlplane implements it.
//
// Every method can return Unauthenticated, Forbidden (the actor in ctx may not act on the project), Unavailable (the
// store cannot be written) and Internal; the interfaces name only what else they return.
package api

import (
	"context"
	"time"
)

// Cloud is the whole cloud as a struct of interfaces. client.New and controlplane.New return one.
type Cloud struct {
	Projects       Projects
	Users          Users
	Tokens         Tokens
	Keys           Keys
	Networks       Networks
	SecurityGroups SecurityGroups
	Images         Images
	Volumes        Volumes
	Snapshots      Snapshots
	Instances      Instances
	LoadBalancers  LoadBalancers
	InstanceGroups InstanceGroups
	Apps           Apps
	Databases      Databases
	Backups        Backups
	AuthPools      AuthPools
	PoolUsers      PoolUsers
	Functions      Functions
	Versions       FunctionVersions
	Triggers       Triggers
	Queues         Queues
	Messages       Messages
	Topics         Topics
	Sources        Sources
	Streams        Streams
	Activities     Activities
	Ledger         Ledger
	Budgets        Budgets
	Clock          Clock
	Comparisons    Comparisons
	Advisories     Advisories
	Labs           Labs
	System         System
}

// Resource is what every noun within a project offers. T is the noun, S its spec.
type Resource[T, S any] interface {
	// Create stores the intent and answers at once; Wait tells when it is done.
	// Invalid: bad name or spec. NotFound: the project, or something the spec names. Conflict: the name is taken.
	// Exhausted: a quota of the project is reached.
	Create(ctx context.Context, project, name string, spec S) (T, error)
	// Get. NotFound: no such noun.
	Get(ctx context.Context, project, name string) (T, error)
	// List answers in name order. NotFound: no such project. Invalid: bad page.
	List(ctx context.Context, project string, page Page) (List[T], error)
	// Update replaces the spec. generation, where not 0, must be the current one.
	// Invalid, NotFound; Conflict: another generation, being deleted, or a field that cannot change.
	Update(ctx context.Context, project, name string, spec S, generation int64) (T, error)
	// Delete marks for deletion; the record goes when the world is clean. generation as for Update.
	// NotFound; Conflict: another generation, or still in use (the message says by what).
	Delete(ctx context.Context, project, name string, generation int64) error
	// Wait answers as soon as the noun is Settled, or as it is when limit has passed.
	// NotFound: no such noun, or (the end of a deletion) no more.
	Wait(ctx context.Context, project, name string, limit time.Duration) (T, error)
}

// ActorKind says on which side of the responsibility line an actor stands.
type ActorKind string

// Who acts.
const (
	Customer ActorKind = "customer"
	Platform ActorKind = "platform"
)

// Actor is who makes a change. Project, where set, limits a customer to that project; Token is the name of the token in use.
type Actor struct {
	Kind    ActorKind `json:"kind" enum:"customer,platform"`
	Name    string    `json:"name" doc:"token or user for a customer; part of the cloud for the platform"`
	Project string    `json:"-"`
	Token   string    `json:"-"`
}

type actorKey struct{}

// WithActor returns a context in which actor acts.
func WithActor(ctx context.Context, actor Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorFrom returns the actor of ctx; ok is false where there is none.
func ActorFrom(ctx context.Context) (actor Actor, ok bool) {
	actor, ok = ctx.Value(actorKey{}).(Actor)
	return actor, ok
}

type idempotencyKey struct{}

// WithIdempotencyKey returns a context whose Create answers the noun made by an earlier Create with the same key
// and the same arguments, for a day. The same key with other arguments is a Conflict.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// IdempotencyKeyFrom returns the key, or "".
func IdempotencyKeyFrom(ctx context.Context) string {
	key, _ := ctx.Value(idempotencyKey{}).(string)
	return key
}
