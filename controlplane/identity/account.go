package identity

import (
	"encoding/base64"
	"html/template"
	"net/http"
)

// who finds the signed-in user of a visit, or leads to the sign-in.
func (v *visit) who() (User, bool) {
	session, ok := v.s.browserSession(v.r, v.pool)
	if ok {
		if u, err := v.s.user(v.pool, session.User); err == nil {
			v.view.User, v.view.Second = &u, len(u.TOTP) > 0
			return u, true
		}
	}
	http.Redirect(v.w, v.r, v.view.Base+"/sign-in"+v.view.Query, http.StatusSeeOther)
	return User{}, false
}

func (s *Service) showAccount(v *visit) {
	if _, ok := v.who(); ok {
		v.render("account", http.StatusOK)
	}
}

// changeAccount does what the button says: show a new second factor, switch it on with a code of it, or off with one.
func (s *Service) changeAccount(v *visit) {
	u, ok := v.who()
	if !ok {
		return
	}
	switch v.r.PostFormValue("do") {
	case "offer":
		v.offer(u, random(totpBytes))
		v.render("account", http.StatusOK)
	case "enable":
		s.enableTOTP(v, u)
	case "disable":
		s.disableTOTP(v, u)
	default:
		v.again("account", http.StatusBadRequest, "stale")
	}
}

// offer shows a second factor that is not in force yet. It travels in the form, sealed for this user.
func (v *visit) offer(u User, key []byte) {
	v.view.Secret, v.view.URI = totpText(key), template.URL(totpURI(key, v.pool.Name, u.Email)) //nolint:gosec // made here, of escaped parts
	v.view.Sealed = base64.RawURLEncoding.EncodeToString(v.s.Sealer.Seal(key, totpContext(u)+"/offer"))
}

func (s *Service) enableTOTP(v *visit, u User) {
	sealed, err := base64.RawURLEncoding.DecodeString(v.r.PostFormValue("sealed"))
	if err != nil {
		v.again("account", http.StatusBadRequest, "stale")
		return
	}
	key, err := s.Sealer.Open(sealed, totpContext(u)+"/offer")
	if err != nil {
		v.again("account", http.StatusBadRequest, "stale")
		return
	}
	step, good := matchTOTP(key, v.r.PostFormValue("code"), 0, s.Now())
	if !good {
		v.offer(u, key)
		v.again("account", http.StatusUnauthorized, "wrongCode")
		return
	}
	s.changeTOTP(v, u, s.Sealer.Seal(key, totpContext(u)), step, "secondOn")
}

func (s *Service) disableTOTP(v *visit, u User) {
	tracked := v.pool.ID + "/" + u.Email
	if wait := s.limits.locked(tracked); wait > 0 {
		v.locked("account", wait)
		return
	}
	good, err := s.spendTOTP(u, v.r.PostFormValue("code"))
	switch {
	case err != nil:
		v.fail("account", err)
	case !good:
		s.refused(v, tracked, "account", "wrongCode")
	default:
		s.changeTOTP(v, u, nil, 0, "secondOff")
	}
}

// changeTOTP stores a second factor, or that there is none, and says so.
func (s *Service) changeTOTP(v *visit, u User, sealed []byte, step int64, word string) {
	err := s.Store.Update(func(tx Tx) error {
		now, err := tx.Users().Get(u.Key())
		if err != nil {
			return err
		}
		now.TOTP, now.TOTPStep = sealed, step
		if err := tx.Users().Put(now); err != nil {
			return err
		}
		return tx.Record(v.pool, "second-factor", map[bool]string{true: "on", false: "off"}[sealed != nil]+" for user "+u.ID)
	})
	if err != nil {
		v.fail("account", err)
		return
	}
	v.view.Second = sealed != nil
	v.view.Note = v.view.T[word]
	v.render("account", http.StatusOK)
}
