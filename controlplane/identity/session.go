package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	sessionLife = 12 * time.Hour // of a browser at the pool, and of an app's sign-in behind the gate
	formLife    = 24 * time.Hour
)

// secure reports whether a request came over TLS.
func secure(r *http.Request) bool { return r.TLS != nil }

// cookieName has the prefix __Host- over TLS, where browsers hold a cookie of that name to this very host. Over plain
// HTTP they refuse the prefix, and the cookie is bound to the host by having no Domain.
func cookieName(r *http.Request, name string) string {
	if secure(r) {
		return "__Host-" + name
	}
	return name
}

func sessionCookie(r *http.Request, pool string) string { return cookieName(r, "nuage-"+pool) }
func formCookie(r *http.Request) string                 { return cookieName(r, "nuage-form") }

func setCookie(w http.ResponseWriter, r *http.Request, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second), HttpOnly: true, Secure: secure(r), SameSite: http.SameSiteLaxMode})
}

func clearCookie(w http.ResponseWriter, r *http.Request, name string) {
	http.SetCookie(w, &http.Cookie{Name: name, Path: "/", MaxAge: -1, HttpOnly: true, Secure: secure(r), SameSite: http.SameSiteLaxMode})
}

// browserSession is who a browser belongs to in a pool.
func (s *Service) browserSession(r *http.Request, pool Pool) (Session, bool) {
	return s.sessionBy(r, pool.ID, sessionCookie(r, pool.ID), "")
}

// sessionBy reads the session that a cookie names, of a user who is there still. client: of the gate of that app.
func (s *Service) sessionBy(r *http.Request, pool, cookie, client string) (found Session, ok bool) {
	c, err := r.Cookie(cookie)
	if err != nil || c.Value == "" {
		return found, false
	}
	err = s.Store.View(func(tx Tx) error {
		found, err = tx.Sessions().Get(pool + "/" + hashOf(c.Value))
		if err == nil {
			_, err = tx.Users().Get(UserKey(pool, found.User))
		}
		return err
	})
	if err != nil || found.Client != client || !s.Now().Before(found.Expires) {
		return Session{}, false
	}
	return found, true
}

// begin stores a session and returns the secret of its cookie.
func (s *Service) begin(tx Tx, one Session) (string, Session, error) {
	secret := newSecret()
	one.Hash, one.Expires = hashOf(secret), s.Now().UTC().Add(sessionLife)
	return secret, one, tx.Sessions().Put(one)
}

// endSession ends a browser's session, and with it the sign-ins of apps behind the gate and the refresh tokens that came
// of it, where allowed says so.
func (s *Service) endSession(pool Pool, hash string, allowed func(Session) bool) error {
	return s.Store.Update(func(tx Tx) error {
		one, err := tx.Sessions().Get(pool.ID + "/" + hash)
		if err != nil || !allowed(one) {
			return nil // gone already, or somebody else's
		}
		if err := endSessions(tx, pool.ID, func(other Session) bool { return other.Hash == hash || other.Parent == hash }); err != nil {
			return err
		}
		if err := endGrants(tx, pool.ID, one.User, func(g Grant) bool { return g.Session == hash }); err != nil {
			return err
		}
		return tx.Record(pool, "sign-out", "user "+one.User)
	})
}

func endSessions(tx Tx, pool string, ends func(Session) bool) error {
	var over []string
	err := tx.Sessions().Each(pool+"/", func(s Session) error {
		if ends(s) {
			over = append(over, s.Key())
		}
		return nil
	})
	for _, key := range over {
		if err == nil {
			err = tx.Sessions().Delete(key)
		}
	}
	return err
}

// Sweep drops what has expired of a pool.
func (s *Service) Sweep(pool Pool) error {
	now := s.Now()
	return s.Store.Update(func(tx Tx) error {
		if err := endSessions(tx, pool.ID, func(one Session) bool { return !now.Before(one.Expires) }); err != nil {
			return err
		}
		var over []string
		err := tx.Grants().Each(pool.ID+"/", func(g Grant) error {
			if !now.Before(g.Expires) {
				over = append(over, g.Key())
			}
			return nil
		})
		for _, key := range slices.Compact(over) {
			if err == nil {
				err = tx.Grants().Delete(key)
			}
		}
		return err
	})
}

// formToken binds a form to the browser it was sent to: what another site makes a browser send does not carry it.
func (s *Service) formToken(browser, pool string) string {
	mac := hmac.New(sha256.New, s.formKey)
	mac.Write([]byte(pool + "\x00" + browser))
	return hex.EncodeToString(mac.Sum(nil))
}

// browser is the secret that forms of this browser are bound to; made where it has none.
func (s *Service) browser(w http.ResponseWriter, r *http.Request) string {
	if c, err := r.Cookie(formCookie(r)); err == nil && len(c.Value) >= 32 {
		return c.Value
	}
	secret := newSecret()
	setCookie(w, r, formCookie(r), secret, formLife)
	return secret
}

// ours reports whether a form was sent by the page that we gave to this browser.
func (s *Service) ours(r *http.Request, pool string) bool {
	c, err := r.Cookie(formCookie(r))
	if err != nil || c.Value == "" || s.crossing.Check(r) != nil {
		return false
	}
	return sameText(r.PostFormValue("form"), s.formToken(c.Value, pool))
}

// addressOf is the address a request came from, without port.
func addressOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// signOutQuery keeps of an end of session what the page that asks for a word needs.
func signOutQuery(r *http.Request) string {
	kept := url.Values{}
	for _, name := range []string{"client_id", "post_logout_redirect_uri", "state"} {
		if v := r.FormValue(name); v != "" {
			kept.Set(name, v)
		}
	}
	return kept.Encode()
}
