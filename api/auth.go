package api

import (
	"context"
	"time"
)

// AuthPool is a pool of users and an OpenID provider for them, at Status.Issuer.
type AuthPool struct {
	Meta
	Spec   AuthPoolSpec   `json:"spec"`
	Status AuthPoolStatus `json:"status"`
}

// AuthPoolSpec is what a user asks of a pool.
type AuthPoolSpec struct {
	SignUp string `json:"signUp,omitempty" enum:",open,closed" doc:"who adds users; open when empty: anybody signs up; closed: the operator alone"`
}

// AuthPoolStatus is how the pool does.
type AuthPoolStatus struct {
	Status
	Issuer string   `json:"issuer" doc:"address of the OpenID provider; discovery is below it"`
	Users  int      `json:"users" doc:"number of users"`
	Apps   []string `json:"apps" doc:"names of the apps bound to it"`
}

// AuthPools are a project's user pools. Delete removes all users with the pool; Conflict: an app is bound to it.
type AuthPools interface {
	Resource[AuthPool, AuthPoolSpec]
}

// AppAuth binds an app to a pool: the app gets OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET and OIDC_INTERNAL_URL.
type AppAuth struct {
	Pool      string   `json:"pool,omitempty" doc:"name of a user pool in the project; empty: none"`
	Required  bool     `json:"required,omitempty" doc:"the edge lets only signed-in users through, and tells the app who they are in X-Nuage-User, X-Nuage-Email, X-Nuage-Roles and the signed X-Nuage-Token"`
	Callbacks []string `json:"callbacks,omitempty" maxItems:"20" doc:"paths of the app that a sign-in may come back to, exactly; when empty: /callback, /auth/callback, /oauth/callback, /oauth2/callback and /login/callback"`
}

// PoolUser is a person in a pool.
type PoolUser struct {
	ID           string     `json:"id" doc:"subject of tokens: usr- and 16 hex digits, never reused"`
	Email        string     `json:"email"`
	Name         string     `json:"name,omitempty"`
	Roles        []string   `json:"roles"`
	Verified     bool       `json:"verified" doc:"the operator added the user, and so vouches for the address"`
	SecondFactor bool       `json:"secondFactor" doc:"an authenticator app is asked for"`
	CreatedAt    time.Time  `json:"createdAt"`
	Reset        *PoolReset `json:"reset,omitempty" doc:"only in the answer to an add"`
}

// PoolUserSpec is a user to add.
type PoolUserSpec struct {
	Email string   `json:"email" maxLength:"254"`
	Name  string   `json:"name,omitempty" maxLength:"100"`
	Roles []string `json:"roles,omitempty" maxItems:"50" doc:"words as admin; the app is told them"`
}

// PoolReset lets a user choose a password, once, at URL. The operator hands it over; there is no mail.
type PoolReset struct {
	Code      string    `json:"code"`
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// PoolUsers are the users of pools, as the operator sees them.
type PoolUsers interface {
	// Add makes a user without a password; the answer has the code with which they choose one.
	// NotFound: the pool. Invalid: no address, or a role that is no name. Conflict: the address is taken.
	Add(ctx context.Context, project, pool string, spec PoolUserSpec) (PoolUser, error)
	// List answers in the order of addresses. NotFound. Invalid: bad page.
	List(ctx context.Context, project, pool string, page Page) (List[PoolUser], error)
	// Remove ends a user, with all sessions and refresh tokens. NotFound: the pool or the user.
	Remove(ctx context.Context, project, pool, email string) error
	// Reset makes a code with which the user chooses a password anew; the present one stays good until then.
	// NotFound: the pool or the user.
	Reset(ctx context.Context, project, pool, email string) (PoolReset, error)
}
