package identity_test

import (
	"strings"
	"sync"

	"nuage/api"
	"nuage/controlplane/identity"
)

// memory is a Store in memory. A transaction that fails leaves no trace.
type memory struct {
	mu    sync.Mutex
	pools []identity.Pool
	state state
	notes []string // verbs recorded, as POOL VERB
}

type state struct {
	users    shelf[identity.User]
	clients  shelf[identity.Client]
	keys     shelf[identity.Key]
	sessions shelf[identity.Session]
	grants   shelf[identity.Grant]
}

func newState() state {
	return state{shelf[identity.User]{}, shelf[identity.Client]{}, shelf[identity.Key]{}, shelf[identity.Session]{}, shelf[identity.Grant]{}}
}

func newMemory(pools ...identity.Pool) *memory { return &memory{pools: pools, state: newState()} }

func (m *memory) View(fn func(identity.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fn(&memoryTx{m, m.state, nil})
}

func (m *memory) Update(fn func(identity.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := &memoryTx{m, state{copied(m.state.users), copied(m.state.clients), copied(m.state.keys), copied(m.state.sessions), copied(m.state.grants)}, nil}
	if err := fn(tx); err != nil {
		return err
	}
	m.state, m.notes = tx.state, append(m.notes, tx.notes...)
	return nil
}

func copied[T any](s shelf[T]) shelf[T] {
	out := shelf[T]{}
	for k, v := range s {
		out[k] = v
	}
	return out
}

type memoryTx struct {
	m     *memory
	state state
	notes []string
}

func (t *memoryTx) Users() identity.Table[identity.User] {
	return table[identity.User]{t.state.users, identity.User.Key}
}
func (t *memoryTx) Clients() identity.Table[identity.Client] {
	return table[identity.Client]{t.state.clients, identity.Client.Key}
}
func (t *memoryTx) Keys() identity.Table[identity.Key] {
	return table[identity.Key]{t.state.keys, identity.Key.Key}
}
func (t *memoryTx) Sessions() identity.Table[identity.Session] {
	return table[identity.Session]{t.state.sessions, identity.Session.Key}
}
func (t *memoryTx) Grants() identity.Table[identity.Grant] {
	return table[identity.Grant]{t.state.grants, identity.Grant.Key}
}

func (t *memoryTx) Pool(project, name string) (identity.Pool, error) {
	for _, p := range t.m.pools {
		if p.Project == project && p.Name == name {
			return p, nil
		}
	}
	return identity.Pool{}, api.Errorf(api.NotFound, "cannot find pool %q", name)
}

func (t *memoryTx) UserByEmail(pool, email string) (identity.User, error) {
	for _, u := range t.state.users {
		if u.Pool == pool && u.Email == email {
			return u, nil
		}
	}
	return identity.User{}, api.Errorf(api.NotFound, "cannot find user %q", email)
}

func (t *memoryTx) Record(pool identity.Pool, verb, _ string) error {
	t.notes = append(t.notes, verb)
	return nil
}

type shelf[T any] map[string]T

type table[T any] struct {
	rows shelf[T]
	key  func(T) string
}

func (t table[T]) Get(key string) (T, error) {
	row, ok := t.rows[key]
	if !ok {
		return row, api.Errorf(api.NotFound, "cannot find %q", key)
	}
	return row, nil
}

func (t table[T]) Put(row T) error {
	t.rows[t.key(row)] = row
	return nil
}

func (t table[T]) Delete(key string) error {
	delete(t.rows, key)
	return nil
}

func (t table[T]) Each(prefix string, fn func(T) error) error {
	for key, row := range t.rows {
		if strings.HasPrefix(key, prefix) {
			if err := fn(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// recorded returns the verbs recorded so far.
func (m *memory) recorded() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.notes...)
}
