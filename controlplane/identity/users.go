package identity

import (
	"crypto/rand"
	"math/big"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"

	"nuage/api"
)

const (
	resetLife  = 24 * time.Hour
	resetTries = 5
)

// CleanEmail is an address as it is stored and looked up: lower case, and nothing but the address. Invalid: it is none, or
// has a slash, which paths and keys are cut at.
func CleanEmail(text string) (string, error) {
	text = strings.TrimSpace(text)
	parsed, err := mail.ParseAddress(text)
	if err != nil || parsed.Address != text || len(text) > 254 || !strings.Contains(text, "@") || strings.Contains(text, "/") || strings.ContainsFunc(text, unicode.IsControl) {
		return "", api.Errorf(api.Invalid, "cannot use %q as an e-mail address: give one as ada@example.com", text)
	}
	return strings.ToLower(text), nil
}

// NewUser makes a user without a password; it is not stored. Invalid: no address, or a role that is no word.
func (s *Service) NewUser(pool, email, name string, roles []string) (User, error) {
	clean, err := CleanEmail(email)
	if err != nil {
		return User{}, err
	}
	name = strings.TrimSpace(name)
	if len(name) > 100 || strings.ContainsFunc(name, unicode.IsControl) {
		return User{}, api.Errorf(api.Invalid, "cannot use the name of user %q: it has 100 characters at most, on one line", clean)
	}
	for _, role := range roles {
		if err := api.CheckName("role", role); err != nil {
			return User{}, err
		}
	}
	roles = slices.Sorted(slices.Values(roles))
	return User{Pool: pool, ID: s.NewID("usr"), Email: clean, Name: name, Roles: slices.Compact(roles), CreatedAt: s.Now().UTC()}, nil
}

// GiveReset puts a new reset code into a user and returns it, in the form XXXX-XXXX-XXXX-XXXX. What it resets goes on
// being good until the code is used.
func (s *Service) GiveReset(u *User) (code string, expires time.Time) {
	code = resetCode()
	expires = s.Now().UTC().Add(resetLife)
	u.Reset = &Reset{Hash: hashOf(plainCode(code)), Expires: expires}
	return code, expires
}

// resetCode has 80 bits, in letters that nobody mixes up.
func resetCode() string {
	const letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	var b strings.Builder
	for i := range 16 {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			panic(err) // crypto/rand never fails on the systems Go supports
		}
		b.WriteByte(letters[n.Int64()])
	}
	return b.String()
}

// plainCode is a code as it is compared: how people typed it does not matter.
func plainCode(code string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToUpper(r)
	}, code)
}

// takeReset tells whether a code lets the user in; it counts a wrong one. The user is to be stored either way.
func (s *Service) takeReset(u *User, code string) bool {
	if u.Reset == nil || !s.Now().Before(u.Reset.Expires) {
		return false
	}
	if sameText(u.Reset.Hash, hashOf(plainCode(code))) {
		u.Reset = nil
		return true
	}
	next := *u.Reset
	if next.Tries++; next.Tries >= resetTries {
		u.Reset = nil
		return false
	}
	u.Reset = &next
	return false
}

// EndUser ends all that a user has begun: sessions, sign-ins of apps, refresh tokens.
func EndUser(tx Tx, u User) error {
	if err := endSessions(tx, u.Pool, func(s Session) bool { return s.User == u.ID }); err != nil {
		return err
	}
	return endGrants(tx, u.Pool, u.ID, func(Grant) bool { return true })
}

// DropPool removes all that is stored of a pool.
func DropPool(tx Tx, pool string) error {
	for _, drop := range []func() error{
		func() error { return dropAll(tx.Users(), pool, User.Key) },
		func() error { return dropAll(tx.Clients(), pool, Client.Key) },
		func() error { return dropAll(tx.Keys(), pool, Key.Key) },
		func() error { return dropAll(tx.Sessions(), pool, Session.Key) },
		func() error { return dropAll(tx.Grants(), pool, Grant.Key) },
	} {
		if err := drop(); err != nil {
			return err
		}
	}
	return nil
}

func dropAll[T any](table Table[T], pool string, key func(T) string) error {
	var keys []string
	err := table.Each(pool+"/", func(one T) error { keys = append(keys, key(one)); return nil })
	for _, k := range keys {
		if err == nil {
			err = table.Delete(k)
		}
	}
	return err
}
