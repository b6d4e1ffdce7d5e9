package identity_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"nuage/controlplane/identity"
)

func TestSignUpLeadsToTheApp(t *testing.T) {
	h := newHouse(t)
	p := h.party("email")
	b := h.browser()
	b.open(p.start())
	b.wants(200, "to go on to <strong>shop</strong>")
	up := regexp.MustCompile(`href="([^"]*/sign-up[^"]*)"`).FindStringSubmatch(b.body)
	target, err := b.at.Parse(up[1])
	must(t, err)
	b.open(target.String())
	b.send(url.Values{"email": {"Grace@Example.com"}, "name": {"Grace"}, "password": {"short"}})
	b.wants(400, "too short")
	b.send(url.Values{"email": {"Grace@Example.com"}, "name": {"Grace"}, "password": {password}})
	_, id, err := p.exchange(p.code(b))
	must(t, err)
	var claims struct {
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
	}
	must(t, id.Claims(&claims))
	if claims.Email != "grace@example.com" || claims.Verified {
		t.Errorf("the id token says %+v, want the address in lower case, unverified", claims)
	}
	second := h.browser()
	second.open(h.pool.Issuer + "/sign-up")
	second.send(url.Values{"email": {"grace@example.com"}, "password": {password}})
	second.wants(409, "already")
	if got, want := strings.Join(h.store.recorded(), " "), "sign-up sign-in"; !strings.Contains(got, want) {
		t.Errorf("recorded are %q, want %q in it", got, want)
	}
}

func TestClosedPoolTakesNobody(t *testing.T) {
	h := newHouse(t, func(p *identity.Pool) { p.Closed = true })
	b := h.browser()
	b.open(h.pool.Issuer + "/sign-in")
	if strings.Contains(b.body, "/sign-up") {
		t.Error("a closed pool offers to sign up")
	}
	b.open(h.pool.Issuer + "/sign-up")
	b.wants(403, "only the operator")
}

func TestUnknownUsersGetTheSameAnswers(t *testing.T) {
	h := newHouse(t)
	h.addUser(ada)
	for try := range 7 {
		var pages []string
		for _, email := range []string{ada, "bob@example.com"} {
			b := h.browser()
			b.open(h.pool.Issuer + "/sign-in")
			b.login(email, "wrong wrong wrong")
			text := regexp.MustCompile(`value="[^"]*"`).ReplaceAllString(strings.ReplaceAll(b.body, email, "EMAIL"), "")
			pages = append(pages, fmt.Sprint(b.status, regexp.MustCompile(`[0-9]+ seconds`).ReplaceAllString(text, "")))
		}
		if pages[0] != pages[1] {
			t.Fatalf("try %d: a known user gets\n%s\nan unknown one\n%s", try, pages[0], pages[1])
		}
	}
	b := h.browser()
	b.open(h.pool.Issuer + "/sign-in")
	b.login(ada, password)
	b.wants(429, "Too many tries")
	h.clock.advance(16 * time.Minute)
	b.login(ada, password)
	b.wants(200, "Signed in as")
	if !slices.Contains(h.store.recorded(), "lock-out") {
		t.Errorf("no lock-out is recorded: %q", h.store.recorded())
	}
}

func TestAddressesAreLimited(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.open(h.pool.Issuer + "/reset")
	page, at := b.body, b.at
	last := 0
	for range 61 {
		b.body, b.at = page, at
		b.send(url.Values{"email": {"nobody@example.com"}, "code": {"X"}, "password": {"short"}})
		last = b.status
	}
	if last != http.StatusTooManyRequests || b.head.Get("Retry-After") == "" {
		t.Errorf("form 61 of one address is answered with %d, want 429", last)
	}
}

func TestFormsOfOthersAreRefused(t *testing.T) {
	h := newHouse(t)
	h.addUser(ada)
	b := h.browser()
	b.open(h.pool.Issuer + "/sign-in")
	b.send(url.Values{"email": {ada}, "password": {password}, "form": {strings.Repeat("0", 64)}})
	b.wants(403, "expired")
	mallory := h.browser()
	mallory.open(h.pool.Issuer + "/sign-in")
	foreign := hiddenValue(mallory.body, "form")
	b.open(h.pool.Issuer + "/sign-in")
	b.send(url.Values{"email": {ada}, "password": {password}, "form": {foreign}})
	b.wants(403, "expired")
	b.open(h.pool.Issuer + "/sign-in")
	b.header.Set("Origin", "http://evil.example")
	b.header.Set("Sec-Fetch-Site", "cross-site")
	b.login(ada, password)
	b.wants(403, "expired")
}

func hiddenValue(page, name string) string {
	for _, f := range hidden.FindAllStringSubmatch(page, -1) {
		if f[1] == name {
			return f[2]
		}
	}
	return ""
}

func TestSecondFactor(t *testing.T) {
	h := newHouse(t)
	h.addUser(ada)
	b := h.browser()
	b.open(h.pool.Issuer + "/sign-in")
	b.login(ada, password)
	b.wants(200, "Add an authenticator app")
	b.send(url.Values{"do": {"offer"}})
	text := regexp.MustCompile(`<p class="key">([A-Z2-7 ]+)<`).FindStringSubmatch(b.body)
	if text == nil {
		t.Fatalf("no key on the page:\n%s", b.body)
	}
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(text[1], " ", ""))
	must(t, err)
	b.send(url.Values{"do": {"enable"}, "code": {"000000"}})
	b.wants(401, "The code is wrong")
	b.send(url.Values{"do": {"enable"}, "code": {authenticator(key, h.clock.now())}})
	b.wants(200, "The second factor is on")

	h.clock.advance(30 * time.Second)
	p := h.party()
	next := h.browser()
	next.open(p.start())
	next.login(ada, password)
	next.wants(200, "One more step")
	ticket := next.body
	next.send(url.Values{"code": {"123456"}})
	next.wants(401, "The code is wrong")
	code := authenticator(key, h.clock.now())
	next.send(url.Values{"code": {code}})
	_, id, err := p.exchange(p.code(next))
	must(t, err)
	var claims struct {
		AMR []string `json:"amr"`
	}
	must(t, id.Claims(&claims))
	if !slices.Contains(claims.AMR, "otp") {
		t.Errorf("amr is %q, want otp in it", claims.AMR)
	}
	again := h.browser()
	again.open(h.pool.Issuer + "/sign-in")
	again.login(ada, password)
	again.send(url.Values{"code": {code}})
	again.wants(401, "used already")
	again.body = ticket
	again.at, err = url.Parse(h.pool.Issuer + "/sign-in")
	must(t, err)
	again.send(url.Values{"code": {code}, "form": {""}})
	again.wants(403, "expired")
}

// authenticator is what an app on a phone shows: RFC 6238.
func authenticator(key []byte, now time.Time) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(now.Unix()/30))
	mac := hmac.New(sha1.New, key)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at := sum[19] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1000000)
}

func TestResetEndsEverythingOfBefore(t *testing.T) {
	h := newHouse(t)
	u := h.addUser(ada)
	p := h.party("offline_access")
	b := h.browser()
	token, _ := p.signedIn(b)
	var code string
	must(t, h.store.Update(func(tx identity.Tx) error {
		now, err := tx.Users().Get(u.Key())
		if err != nil {
			return err
		}
		code, _ = h.service.GiveReset(&now)
		return tx.Users().Put(now)
	}))
	other := h.browser()
	other.open(h.pool.Issuer + "/reset")
	other.send(url.Values{"email": {ada}, "code": {"AAAA-BBBB-CCCC-DDDD"}, "password": {"another long password"}})
	other.wants(401, "the code is wrong")
	other.send(url.Values{"email": {ada}, "code": {strings.ToLower(code)}, "password": {"another long password"}})
	other.wants(200, "Your password is set")
	other.login(ada, password)
	other.wants(401, "wrong")
	other.login(ada, "another long password")
	other.wants(200, "Signed in as")
	b.open(h.pool.Issuer + "/account")
	b.wants(200, "E-mail address") // the sign-in
	if _, err := p.oauth.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token(); err == nil {
		t.Error("a refresh token is good after a reset")
	}
}

func TestSignOut(t *testing.T) {
	h := newHouse(t)
	h.addUser(ada)
	p := h.party()
	b := h.browser()
	token, _ := p.signedIn(b)
	b.open(h.pool.Issuer + "/account")
	b.wants(200, "Signed in as")
	raw, _ := token.Extra("id_token").(string)
	b.open(h.pool.Issuer + "/end_session?" + url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {h.client.Origin + "/"}, "state": {"s"}}.Encode())
	if b.at.String() != h.client.Origin+"/?state=s" {
		t.Errorf("after the sign-out the browser is at %s", b.at)
	}
	b.open(p.start())
	b.wants(200, "E-mail address")
	b.login(ada, password)
	b.open(h.pool.Issuer + "/end_session?" + url.Values{"client_id": {h.client.ID}, "post_logout_redirect_uri": {"http://evil.example/"}}.Encode())
	b.wants(200, "This ends your session")
	b.send(url.Values{})
	b.wants(200, "You are signed out")
}

func TestSingleSignOnAndPrompts(t *testing.T) {
	h := newHouse(t)
	h.addUser(ada)
	p := h.party()
	b := h.browser()
	b.open(p.start(oauth2.SetAuthURLParam("prompt", "none")))
	if b.at.Query().Get("error") != "login_required" || b.at.Query().Get("state") != "state-1" {
		t.Errorf("prompt=none without a session leads to %s", b.at)
	}
	p.signedIn(b)
	b.open(p.start(oauth2.SetAuthURLParam("prompt", "none")))
	p.code(b)
	b.open(p.start(oauth2.SetAuthURLParam("prompt", "login")))
	b.wants(200, "E-mail address")
}

func TestPagesInFrench(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.header.Set("Accept-Language", "fr-CH, fr;q=0.9, en;q=0.5")
	b.open(h.pool.Issuer + "/sign-in")
	b.wants(200, "<h1>Se connecter</h1>")
	b.open(h.pool.Issuer + "/sign-in?lang=en")
	b.wants(200, "<h1>Sign in</h1>")
}

func TestEveryAnswerIsHardened(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	for _, path := range []string{"/sign-in", "/sign-up", "/reset", "/signed-out", "/keys", "/nothing-here", "/.well-known/openid-configuration"} {
		b.open(h.pool.Issuer + path)
		policy := b.head.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; style-src 'self';") || b.head.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s carries the policy %q", path, policy)
		}
		if strings.Contains(b.body, "<script") || strings.Contains(b.body, " style=") {
			t.Errorf("%s has script or style in it", path)
		}
	}
	for _, c := range cookiesSet(t, h) {
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Domain != "" || c.Path != "/" {
			t.Errorf("cookie %s is %+v", c.Name, c)
		}
	}
}

func cookiesSet(t *testing.T, h *house) []*http.Cookie {
	answer, err := http.Get(h.pool.Issuer + "/sign-in")
	must(t, err)
	defer answer.Body.Close()
	if len(answer.Cookies()) == 0 {
		t.Error("no cookie is set")
	}
	return answer.Cookies()
}
