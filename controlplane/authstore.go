package controlplane

import (
	"nuage/api"
	"nuage/controlplane/identity"
	"nuage/storage"
)

// The tables of the managed auth. Keys begin with the pool's id.
var (
	authUserTable = storage.NewTable("auth-users", func(u *identity.User) string { return u.Key() },
		storage.Unique("email", func(u *identity.User) string { return u.Pool + "/" + u.Email }))
	authClientTable  = storage.NewTable("auth-clients", func(c *identity.Client) string { return c.Key() })
	authKeyTable     = storage.NewTable("auth-keys", func(k *identity.Key) string { return k.Key() })
	authSessionTable = storage.NewTable("auth-sessions", func(s *identity.Session) string { return s.Key() })
	authGrantTable   = storage.NewTable("auth-grants", func(g *identity.Grant) string { return g.Key() })
)

// authStore is where the managed auth keeps what it has.
type authStore struct{ cp *ControlPlane }

func (s authStore) View(fn func(identity.Tx) error) error {
	return s.cp.Store.View(func(tx *storage.Tx) error { return fn(authTx{s.cp, tx}) })
}

func (s authStore) Update(fn func(identity.Tx) error) error {
	return s.cp.Store.Update(func(tx *storage.Tx) error { return fn(authTx{s.cp, tx}) })
}

// authTx is one transaction. Without a control plane it reads and writes the tables only.
type authTx struct {
	cp *ControlPlane
	tx *storage.Tx
}

func (t authTx) Users() identity.Table[identity.User] {
	return authTable[identity.User]{t.tx, authUserTable}
}
func (t authTx) Clients() identity.Table[identity.Client] {
	return authTable[identity.Client]{t.tx, authClientTable}
}
func (t authTx) Keys() identity.Table[identity.Key] {
	return authTable[identity.Key]{t.tx, authKeyTable}
}
func (t authTx) Sessions() identity.Table[identity.Session] {
	return authTable[identity.Session]{t.tx, authSessionTable}
}
func (t authTx) Grants() identity.Table[identity.Grant] {
	return authTable[identity.Grant]{t.tx, authGrantTable}
}

func (t authTx) Pool(project, name string) (identity.Pool, error) {
	p, err := poolTable.GetBy(t.tx, "name", project+"/"+name)
	return t.cp.poolOf(p), err
}

// poolOf is a pool as the provider sees it.
func (cp *ControlPlane) poolOf(p api.AuthPool) identity.Pool {
	return identity.Pool{ID: p.ID, Project: p.Project, Name: p.Name, Issuer: cp.issuer(p), Closed: p.Spec.SignUp == "closed"}
}

func (t authTx) UserByEmail(pool, email string) (identity.User, error) {
	return authUserTable.GetBy(t.tx, "email", pool+"/"+email)
}

// Record notes what the platform did for the pool's users. Checking who somebody is, is the work that a customer with a
// pool does not do.
func (t authTx) Record(p identity.Pool, verb, detail string) error {
	return t.cp.record(t.tx, platform("auth"), "auth-pool", &api.Meta{ID: p.ID, Name: p.Name, Project: p.Project}, verb, detail)
}

// authTable is a table in a transaction.
type authTable[T any] struct {
	tx    *storage.Tx
	table *storage.Table[T]
}

func (t authTable[T]) Get(key string) (T, error) { return t.table.Get(t.tx, key) }
func (t authTable[T]) Put(record T) error        { return t.table.Put(t.tx, record) }
func (t authTable[T]) Delete(key string) error   { return erase(t.tx, t.table, key) }
func (t authTable[T]) Each(prefix string, fn func(T) error) error {
	return t.table.Each(t.tx, prefix, fn)
}
