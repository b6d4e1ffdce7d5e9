package identity

import (
	"time"
)

// Store keeps what must outlive the process. Reads and writes of one call are one transaction.
type Store interface {
	View(fn func(Tx) error) error
	Update(fn func(Tx) error) error
}

// Tx is one transaction. Keys of all tables begin with the pool's id and "/".
type Tx interface {
	Users() Table[User]       // by UserKey
	Clients() Table[Client]   // by ClientKey
	Keys() Table[Key]         // by pool/id
	Sessions() Table[Session] // by pool/hash
	Grants() Table[Grant]     // by pool/id

	// Pool finds a pool by project and name. NotFound.
	Pool(project, name string) (Pool, error)
	// UserByEmail finds a user by the address as CleanEmail writes it. NotFound.
	UserByEmail(pool, email string) (User, error)
	// Record notes work that the platform did for a pool: sign-up, sign-in, lock-out, rotate-key and the like.
	Record(pool Pool, verb, detail string) error
}

// Table keeps records of one kind.
type Table[T any] interface {
	Get(key string) (T, error) // NotFound
	Put(record T) error
	Delete(key string) error // an absent one is fine
	Each(prefix string, fn func(T) error) error
}

// Sealer encrypts secrets at rest; what was sealed opens with the same context only.
type Sealer interface {
	Seal(plain []byte, context string) []byte
	Open(sealed []byte, context string) ([]byte, error)
}

// Pool is a user pool as the provider sees it.
type Pool struct {
	ID, Project, Name string
	Issuer            string // http://auth.localhost:7080/PROJECT/POOL
	Closed            bool   // only the operator adds users
}

// path is where the pool is on its host.
func (p Pool) path() string { return "/" + p.Project + "/" + p.Name }

// User is a person in a pool.
type User struct {
	Pool      string    `json:"pool"`
	ID        string    `json:"id"` // usr-...: the subject of tokens, never reused
	Email     string    `json:"email"`
	Name      string    `json:"name,omitempty"`
	Roles     []string  `json:"roles,omitempty"`
	Verified  bool      `json:"verified,omitempty"` // the operator vouches for the address
	Password  string    `json:"password,omitempty"` // argon2id in PHC form; "": none yet, a reset code is out
	TOTP      []byte    `json:"totp,omitempty"`     // sealed key of the second factor
	TOTPStep  int64     `json:"totpStep,omitempty"` // step of the last code taken: none counts twice
	Reset     *Reset    `json:"reset,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
}

// UserKey is the key of a user in its table.
func UserKey(pool, id string) string { return pool + "/" + id }

// Key returns UserKey of the user.
func (u User) Key() string { return UserKey(u.Pool, u.ID) }

// Reset is a code that lets a user choose a password, once.
type Reset struct {
	Hash    string    `json:"hash"`
	Expires time.Time `json:"expires"`
	Tries   int       `json:"tries,omitempty"` // wrong ones
}

// Client is an app that signs users of a pool in.
type Client struct {
	Pool      string    `json:"pool"`
	ID        string    `json:"id"` // the app's
	Name      string    `json:"name"`
	Secret    []byte    `json:"secret"`    // sealed
	Redirects []string  `json:"redirects"` // exact addresses
	Origin    string    `json:"origin"`    // of the app, http://shop.app.localhost:7080
	CreatedAt time.Time `json:"createdAt"`
}

// ClientKey is the key of a client in its table.
func ClientKey(pool, id string) string { return pool + "/" + id }

// Key returns ClientKey of the client.
func (c Client) Key() string { return ClientKey(c.Pool, c.ID) }

// Key is a signing key of a pool.
type Key struct {
	Pool    string    `json:"pool"`
	ID      string    `json:"id"`
	Private []byte    `json:"private"` // sealed PKCS #8
	Created time.Time `json:"created"`
}

// Key returns the key of the record in its table.
func (k Key) Key() string { return k.Pool + "/" + k.ID }

// Session says that a browser belongs to a user: of the pool's own pages, or of an app behind the gate.
type Session struct {
	Pool     string    `json:"pool"`
	Hash     string    `json:"hash"` // of the cookie's secret
	User     string    `json:"user"`
	Client   string    `json:"client,omitempty"` // of the gate: the app
	Parent   string    `json:"parent,omitempty"` // of the gate: hash of the pool's session it came from
	AuthTime time.Time `json:"authTime"`
	AMR      []string  `json:"amr"`
	Expires  time.Time `json:"expires"`
}

// Key returns the key of the record in its table.
func (s Session) Key() string { return s.Pool + "/" + s.Hash }

// Grant is a chain of refresh tokens, of which the newest alone is good.
type Grant struct {
	Pool     string    `json:"pool"`
	ID       string    `json:"id"`
	Hash     string    `json:"hash"` // of the newest token's secret
	Client   string    `json:"client"`
	User     string    `json:"user"`
	Session  string    `json:"session,omitempty"`
	Scopes   []string  `json:"scopes"`
	AuthTime time.Time `json:"authTime"`
	AMR      []string  `json:"amr"`
	Expires  time.Time `json:"expires"`
}

// Key returns the key of the record in its table.
func (g Grant) Key() string { return g.Pool + "/" + g.ID }
