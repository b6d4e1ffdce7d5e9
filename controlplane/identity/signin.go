package identity

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"nuage/api"
)

func isBusy(err error) bool { return errors.Is(err, api.Unavailable) }

// showSignIn goes on at once where the browser is signed in already and the client does not ask for more.
func (s *Service) showSignIn(v *visit) {
	asked, ok := v.asked(v.r.URL.Query().Get("request"))
	if id := v.r.URL.Query().Get("request"); id != "" && !ok {
		s.refuse(v.w, v.r, v.pool, http.StatusBadRequest, "stale")
		return
	}
	session, signedIn := s.browserSession(v.r, v.pool)
	switch {
	case signedIn && !ok:
		http.Redirect(v.w, v.r, v.view.Base+"/account", http.StatusSeeOther)
	case signedIn && enough(asked, session, s.Now()):
		s.finish(v, asked, session)
	case ok && asked.prompts("none"):
		v.silent(asked)
	default:
		v.view.Email = clip(asked.asked.LoginHint, 254)
		if asked.prompts("create") && !v.pool.Closed {
			v.render("signUp", http.StatusOK)
			return
		}
		v.render("signIn", http.StatusOK)
	}
}

// enough reports whether a session is fresh enough for what a client asks.
func enough(asked request, session Session, now time.Time) bool {
	if asked.prompts("login") || asked.prompts("select_account") {
		return false
	}
	return asked.asked.MaxAge == nil || now.Sub(session.AuthTime) <= time.Duration(*asked.asked.MaxAge)*time.Second
}

// finish tells the client's request who signed in, and leads the browser back to the client.
func (s *Service) finish(v *visit, asked request, session Session) {
	asked.user, asked.session, asked.authTime, asked.amr = session.User, session.Hash, session.AuthTime, session.AMR
	s.pending.requests.put(asked.id, asked)
	http.Redirect(v.w, v.r, v.view.Base+"/authorize/callback?id="+url.QueryEscape(asked.id), http.StatusSeeOther)
}

// signIn checks a password. Unknown addresses get the same answers as known ones, after the same work.
func (s *Service) signIn(v *visit) {
	email, password := strings.ToLower(strings.TrimSpace(v.r.PostFormValue("email"))), v.r.PostFormValue("password")
	v.view.Email = clip(email, 254)
	tracked := v.pool.ID + "/" + email
	if wait := s.limits.locked(tracked); wait > 0 {
		s.metrics.signIn(v.pool, "locked")
		v.locked("signIn", wait)
		return
	}
	u := s.byEmail(v.pool, email)
	good, err := s.hasher.verify(v.r.Context(), u.Password, password)
	if err != nil {
		v.fail("signIn", err)
		return
	}
	if !good {
		s.refused(v, tracked, "signIn", "wrong")
		return
	}
	if len(u.TOTP) > 0 {
		c := challenge{id: newSecret(), pool: v.pool.ID, user: u.ID, request: v.view.Request}
		s.pending.challenges.put(c.id, c)
		v.view.Ticket = c.id
		v.render("code", http.StatusOK)
		return
	}
	s.limits.succeeded(tracked)
	s.welcome(v, u, "sign-in", []string{"pwd"})
}

// byEmail is the user of an address; nobody where there is none, or the store says no.
func (s *Service) byEmail(pool Pool, email string) (u User) {
	_ = s.Store.View(func(tx Tx) (err error) { u, err = tx.UserByEmail(pool.ID, email); return err })
	return u
}

// refused counts a failure and shows the page again.
func (s *Service) refused(v *visit, tracked, page, word string) {
	s.metrics.signIn(v.pool, "refused")
	if wait := s.limits.failed(tracked); wait > 0 {
		err := s.Store.Update(func(tx Tx) error {
			return tx.Record(v.pool, "lock-out", fmt.Sprintf("too many wrong sign-ins as one user: nothing is taken for %s", wait))
		})
		if err != nil {
			s.Logger.Error("activity not recorded", "pool", v.pool.Name, "error", err)
		}
		v.locked(page, wait)
		return
	}
	v.again(page, http.StatusUnauthorized, word)
}

// locked says how long to wait.
func (v *visit) locked(page string, wait time.Duration) {
	seconds := int((wait + time.Second - 1) / time.Second)
	v.w.Header().Set("Retry-After", fmt.Sprint(seconds))
	v.view.Error = fmt.Sprintf(v.view.T["locked"], seconds)
	v.render(page, http.StatusTooManyRequests)
}

// secondFactor checks the code of a sign-in whose password was right. Each ticket is good for one try; a wrong one gets
// the next ticket, and counts as a wrong password does.
func (s *Service) secondFactor(v *visit) {
	c, ok := s.pending.challenges.take(v.r.PostFormValue("ticket"))
	if !ok || c.pool != v.pool.ID {
		s.refuse(v.w, v.r, v.pool, http.StatusBadRequest, "stale")
		return
	}
	u, err := s.user(v.pool, c.user)
	if err != nil {
		s.refuse(v.w, v.r, v.pool, http.StatusBadRequest, "stale")
		return
	}
	tracked := v.pool.ID + "/" + u.Email
	if wait := s.limits.locked(tracked); wait > 0 {
		v.locked("signIn", wait)
		return
	}
	good, err := s.spendTOTP(u, v.r.PostFormValue("code"))
	switch {
	case err != nil:
		v.fail("signIn", err)
	case !good:
		c.id = newSecret()
		s.pending.challenges.put(c.id, c)
		v.view.Ticket = c.id
		s.refused(v, tracked, "code", "wrongCode")
	default:
		s.limits.succeeded(tracked)
		v.asked(c.request)
		s.welcome(v, u, "sign-in", []string{"pwd", "otp", "mfa"})
	}
}

// spendTOTP takes a code once.
func (s *Service) spendTOTP(u User, code string) (good bool, err error) {
	err = s.Store.Update(func(tx Tx) error {
		good = false
		now, err := tx.Users().Get(u.Key())
		if err != nil || len(now.TOTP) == 0 {
			return err
		}
		key, err := s.Sealer.Open(now.TOTP, totpContext(now))
		if err != nil {
			return err
		}
		step, ok := matchTOTP(key, code, now.TOTPStep, s.Now())
		if !ok {
			return nil
		}
		good, now.TOTPStep = true, step
		return tx.Users().Put(now)
	})
	return good, err
}

// welcome begins a session for a user, and goes on with what was under way. A session from before in this browser ends:
// it may have been somebody else's.
func (s *Service) welcome(v *visit, u User, verb string, amr []string) {
	before, signedIn := s.browserSession(v.r, v.pool)
	var secret string
	var session Session
	err := s.Store.Update(func(tx Tx) (err error) {
		if signedIn && before.User != u.ID {
			if err := endSessions(tx, v.pool.ID, func(o Session) bool { return o.Hash == before.Hash || o.Parent == before.Hash }); err != nil {
				return err
			}
		}
		secret, session, err = s.begin(tx, Session{Pool: v.pool.ID, User: u.ID, AuthTime: s.Now().UTC(), AMR: amr})
		if err != nil {
			return err
		}
		return tx.Record(v.pool, verb, "user "+u.ID)
	})
	if err != nil {
		v.fail("signIn", err)
		return
	}
	s.metrics.signIn(v.pool, "ok")
	setCookie(v.w, v.r, sessionCookie(v.r, v.pool.ID), secret, sessionLife)
	clearCookie(v.w, v.r, formCookie(v.r)) // forms of before are over
	if asked, ok := s.pending.requests.get(v.view.Request); ok {
		s.finish(v, asked, session)
		return
	}
	http.Redirect(v.w, v.r, v.view.Base+"/account"+v.view.Query, http.StatusSeeOther)
}

func (s *Service) showSignUp(v *visit) {
	if v.pool.Closed {
		v.again("problem", http.StatusForbidden, "closed")
		return
	}
	v.render("signUp", http.StatusOK)
}

// signUp makes a user. An address that is taken is refused, and so told: without mail there is no other way.
func (s *Service) signUp(v *visit) {
	if v.pool.Closed {
		v.again("problem", http.StatusForbidden, "closed")
		return
	}
	email, password := v.r.PostFormValue("email"), v.r.PostFormValue("password")
	v.view.Email, v.view.Name = clip(email, 254), clip(v.r.PostFormValue("name"), 100)
	u, err := s.NewUser(v.pool.ID, email, v.r.PostFormValue("name"), nil)
	if err != nil {
		v.again("signUp", http.StatusBadRequest, "badEmail")
		return
	}
	if word := checkPassword(password, u.Email); word != "" {
		v.again("signUp", http.StatusBadRequest, word)
		return
	}
	if u.Password, err = s.hasher.hash(v.r.Context(), password); err != nil {
		v.fail("signUp", err)
		return
	}
	err = s.Store.Update(func(tx Tx) error {
		if _, err := tx.UserByEmail(v.pool.ID, u.Email); err == nil {
			return api.Errorf(api.Conflict, "cannot add user %q: the address is taken", u.Email)
		}
		if err := tx.Users().Put(u); err != nil {
			return err
		}
		return tx.Record(v.pool, "sign-up", "user "+u.ID)
	})
	switch {
	case errors.Is(err, api.Conflict):
		v.again("signUp", http.StatusConflict, "taken")
	case err != nil:
		v.fail("signUp", err)
	default:
		s.metrics.signUp(v.pool)
		s.welcome(v, u, "sign-in", []string{"pwd"})
	}
}

func (s *Service) showReset(v *visit) { v.render("reset", http.StatusOK) }

// reset takes the operator's code and a new password. Whoever had a session as this user before has none after it.
func (s *Service) reset(v *visit) {
	email := strings.ToLower(strings.TrimSpace(v.r.PostFormValue("email")))
	v.view.Email = clip(email, 254)
	tracked := v.pool.ID + "/reset/" + email
	if wait := s.limits.locked(tracked); wait > 0 {
		v.locked("reset", wait)
		return
	}
	password := v.r.PostFormValue("password")
	if word := checkPassword(password, email); word != "" {
		v.again("reset", http.StatusBadRequest, word)
		return
	}
	hash, err := s.hasher.hash(v.r.Context(), password)
	if err != nil {
		v.fail("reset", err)
		return
	}
	u, good, err := s.useReset(v.pool, email, v.r.PostFormValue("code"), hash)
	switch {
	case err != nil:
		v.fail("reset", err)
	case !good:
		s.refused(v, tracked, "reset", "wrongReset")
	default:
		s.limits.succeeded(tracked)
		s.limits.succeeded(v.pool.ID + "/" + email)
		v.view.Note, v.view.Email = v.view.T["resetDone"], u.Email
		v.render("signIn", http.StatusOK)
	}
}

func (s *Service) useReset(pool Pool, email, code, hash string) (u User, good bool, err error) {
	err = s.Store.Update(func(tx Tx) error {
		good = false
		found, err := tx.UserByEmail(pool.ID, email)
		if errors.Is(err, api.NotFound) {
			return nil
		}
		if err != nil || found.Reset == nil {
			return err
		}
		if good = s.takeReset(&found, code); good {
			found.Password, found.TOTP, found.TOTPStep = hash, nil, 0 // who lost the password may have lost the phone too
			if err := EndUser(tx, found); err != nil {
				return err
			}
			if err := tx.Record(pool, "reset", "user "+found.ID+" chose a password by the operator's code"); err != nil {
				return err
			}
		}
		u = found
		return tx.Users().Put(found)
	})
	return u, good, err
}

// showSignOut asks: a link on another site must not sign people out.
func (s *Service) showSignOut(v *visit) {
	query := v.r.URL.Query()
	v.view.Next, v.view.State = s.afterSignOut(v.pool, query.Get("client_id"), query.Get("post_logout_redirect_uri")), query.Get("state")
	if _, signedIn := s.browserSession(v.r, v.pool); !signedIn {
		v.leave()
		return
	}
	v.render("signOut", http.StatusOK)
}

// afterSignOut is where a client may lead people: to its own front page, or "".
func (s *Service) afterSignOut(pool Pool, clientID, target string) string {
	c, err := s.client(pool, clientID)
	if err != nil || !slices.Contains(client{c, pool}.PostLogoutRedirectURIs(), target) {
		return ""
	}
	return target
}

func (s *Service) signOut(v *visit) {
	next := v.r.PostFormValue("next")
	if session, ok := s.browserSession(v.r, v.pool); ok {
		if err := s.endSession(v.pool, session.Hash, func(Session) bool { return true }); err != nil {
			v.fail("signOut", err)
			return
		}
	}
	clearCookie(v.w, v.r, sessionCookie(v.r, v.pool.ID))
	v.view.Next = s.knownFront(v.pool, next)
	v.view.State = v.r.PostFormValue("state")
	v.leave()
}

// knownFront is next where it is the front page of a client of the pool.
func (s *Service) knownFront(pool Pool, next string) (known string) {
	_ = s.Store.View(func(tx Tx) error {
		return tx.Clients().Each(pool.ID+"/", func(c Client) error {
			if slices.Contains(client{c, pool}.PostLogoutRedirectURIs(), next) {
				known = next
			}
			return nil
		})
	})
	return known
}

// leave leads a browser that is signed out on.
func (v *visit) leave() {
	target := v.view.Base + "/signed-out"
	if v.view.Next != "" {
		target = v.view.Next
		if v.view.State != "" {
			target += "?" + url.Values{"state": {v.view.State}}.Encode()
		}
	}
	http.Redirect(v.w, v.r, target, http.StatusSeeOther)
}
