package controlplane

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"nuage/api"
	"nuage/storage"
)

// access is one login of a database's clients. The first has number 0 and the owner's name; those that came by rotations are other
// users of the server that act as the owner, two names by turns, so that what they make is the owner's.
type access struct {
	Number   int        `json:"number"`
	Password []byte     `json:"password"`         // sealed
	Since    time.Time  `json:"since"`            // when it was asked for
	Opened   bool       `json:"opened,omitempty"` // the server lets it in
	Moved    *time.Time `json:"moved,omitempty"`  // when functions were asked to be deployed again with it
	Closed   bool       `json:"closed,omitempty"` // nothing uses it and nothing will: it is being closed
}

// rotationTimeout is how long a caller waits for the server to let new credentials in.
const rotationTimeout = 30 * time.Second

// accesses are the logins that there are, oldest first: one, or two while they are rotated.
func (s server) accesses() []access {
	if len(s.Logins) == 0 {
		return []access{{Password: s.Password, Opened: true}}
	}
	return s.Logins
}

// newest is the login that was asked for last.
func (s server) newest() access { all := s.accesses(); return all[len(all)-1] }

// current is the newest login that the server lets in: what clients get.
func (s server) current() access {
	all := s.accesses()
	if last := all[len(all)-1]; last.Opened || len(all) == 1 {
		return last
	}
	return all[len(all)-2]
}

func (s server) rotating() bool { return len(s.accesses()) > 1 }

// userName is what the server calls a login.
func (s server) userName(number int) string {
	if number == 0 {
		return s.User
	}
	return s.User + [2]string{"_b", "_a"}[number%2]
}

// passwordKey is what the password of a login is sealed for.
func passwordKey(database string, number int) string {
	if number == 0 {
		return database + "/password"
	}
	return database + "/password/" + itoa(number)
}

// newPassword returns one that nobody guesses, sealed.
func (cp *ControlPlane) newPassword(database string, number int) ([]byte, error) {
	var raw [24]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return nil, err
	}
	return cp.Sealer.Seal([]byte(base64.RawURLEncoding.EncodeToString(raw[:])), passwordKey(database, number)), nil
}

// openLogins opens the sealed passwords of all logins of a database, by number, with that its server is made with.
func (cp *ControlPlane) openLogins(d api.Database, s server) (map[int]login, error) {
	engine, err := databaseEngineOf(d.Spec.Engine)
	if err != nil {
		return nil, err
	}
	out := map[int]login{}
	for _, a := range append([]access{{Password: s.Password}}, s.accesses()...) {
		password, err := cp.Sealer.Open(a.Password, passwordKey(d.ID, a.Number))
		if err != nil {
			return nil, err
		}
		out[a.Number] = login{user: s.userName(a.Number), password: string(password), database: engine.database(d.Name)}
	}
	return out, nil
}

// Rotate asks for another login and waits until the server lets it in.
func (r databases) Rotate(ctx context.Context, project, name string) (api.Credentials, error) {
	actor, err := r.cp.authorize(ctx, project)
	if err != nil {
		return api.Credentials{}, err
	}
	var d api.Database
	var wanted access
	err = r.cp.Store.Update(func(tx *storage.Tx) (err error) {
		if d, err = r.find(tx, project, name); err != nil {
			return err
		}
		if wanted, err = r.admitRotation(tx, d); err != nil {
			return err
		}
		return r.cp.record(tx, actor, r.noun, &d.Meta, "rotate", "other credentials; those before are valid until nothing uses them")
	})
	if err != nil {
		return api.Credentials{}, err
	}
	return r.awaitLogin(ctx, d, wanted.Number)
}

// admitRotation stores the login to come. Unsupported, Conflict.
func (r databases) admitRotation(tx *storage.Tx, d api.Database) (access, error) {
	s, err := serverTable.Get(tx, d.ID)
	if err != nil {
		return access{}, err
	}
	engine, err := databaseEngineOf(d.Spec.Engine)
	switch {
	case err != nil:
		return access{}, err
	case engine.open == nil:
		return access{}, api.Errorf(api.Unsupported, "cannot rotate the credentials of database %q: %s has one login only", d.Name, engine.name)
	case d.DeletedAt != nil || d.Status.Phase != api.Running || d.Status.Host == "":
		return access{}, api.Errorf(api.Conflict, "cannot rotate the credentials of database %q: it is %s (%s)", d.Name, d.Status.Phase, d.Status.Reason)
	case s.rotating():
		why := "the new ones are being made"
		if d.Status.Rotation != nil {
			why = rotationText(*d.Status.Rotation)
		}
		return access{}, api.Errorf(api.Conflict, "cannot rotate the credentials of database %q: that is under way already; %s", d.Name, why)
	}
	last := s.newest()
	a := access{Number: last.Number + 1, Since: r.cp.Now().UTC()}
	if a.Password, err = r.cp.newPassword(d.ID, a.Number); err != nil {
		return access{}, err
	}
	s.Logins = []access{last, a}
	return a, serverTable.Put(tx, s)
}

// awaitLogin answers the credentials of a login once the server lets it in. Unavailable: it does not within rotationTimeout.
func (r databases) awaitLogin(ctx context.Context, d api.Database, number int) (api.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, rotationTimeout)
	defer cancel()
	for {
		changed := r.cp.changes.next()
		var s server
		var logins map[int]login
		err := r.cp.Store.View(func(tx *storage.Tx) (err error) {
			if d, err = databaseTable.Get(tx, d.ID); err == nil {
				s, err = serverTable.Get(tx, d.ID)
			}
			return err
		})
		if err == nil {
			logins, err = r.cp.openLogins(d, s)
		}
		if err != nil {
			return api.Credentials{}, err
		}
		if s.current().Number >= number {
			return credentialsOf(d, logins[s.current().Number]), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return api.Credentials{}, api.Errorf(api.Unavailable, "cannot give the new credentials of database %q yet: its server has not taken them; "+
				"that goes on, and nuage database credentials %s prints them then", d.Name, d.Name)
		}
	}
}

// credentialsOf is what lets a client in.
func credentialsOf(d api.Database, l login) api.Credentials {
	return api.Credentials{User: l.user, Password: l.password, URL: databaseURL(d, l, hostPort(d.Status.Host, d.Status.Port)), InternalURL: internalURL(d, l)}
}

// currentLogin is the number of the login that a new release of an app gets of a database; 0 where it has none.
func currentLogin(tx *storage.Tx, project, database string) (int, error) {
	if database == "" {
		return 0, nil
	}
	d, err := databaseTable.GetBy(tx, "name", project+"/"+database)
	if err != nil {
		return 0, err
	}
	s, err := serverTable.Get(tx, d.ID)
	return s.current().Number, ignoreGone(err)
}

// relogin gives a release that is to serve again a login that is open: its own may have been closed since.
func relogin(tx *storage.Tx, project string, r *release) error {
	if r.Spec.Database == "" {
		return nil
	}
	d, err := databaseTable.GetBy(tx, "name", project+"/"+r.Spec.Database)
	if err != nil {
		return err
	}
	s, err := serverTable.Get(tx, d.ID)
	if err != nil {
		return ignoreGone(err)
	}
	for _, a := range s.accesses() {
		if a.Number == r.Login && !a.Closed {
			return nil
		}
	}
	r.Login = s.current().Number
	return nil
}

// rotationText says how a rotation goes.
func rotationText(r api.Rotation) string {
	if len(r.Waiting) == 0 {
		return "its credentials are rotated: closing those before"
	}
	return fmt.Sprintf("its credentials are rotated: those before are valid until %s", waitingText(r.Waiting))
}

func waitingText(waiting []string) string {
	if len(waiting) == 1 {
		return waiting[0]
	}
	return fmt.Sprintf("%s, and %d more", waiting[0], len(waiting)-1)
}

// errRotated tells that a rotation has gone on since the world was read.
var errRotated = errors.New("the rotation has gone on since")

// changeLogins changes the logins of a database whose newest is still the one with a number.
func (cp *ControlPlane) changeLogins(d api.Database, number int, change func(tx *storage.Tx, s *server) error) error {
	err := cp.Store.Update(func(tx *storage.Tx) error {
		s, err := serverTable.Get(tx, d.ID)
		if err != nil {
			return ignoreGone(err)
		}
		if !s.rotating() || s.newest().Number != number {
			return errRotated
		}
		if err := change(tx, &s); err != nil {
			return err
		}
		return serverTable.Put(tx, s)
	})
	if errors.Is(err, errRotated) {
		return nil
	}
	return err
}
