package identity_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"nuage/controlplane/identity"
	"nuage/storage"
)

// house is a service with one pool and one client, behind a server.
type house struct {
	t       *testing.T
	server  *httptest.Server
	service *identity.Service
	store   *memory
	pool    identity.Pool
	client  identity.Client
	secret  string
	clock   *clock
}

// clock is the present, moved by hand beyond what really passes.
type clock struct {
	mu   sync.Mutex
	skew time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.skew)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skew += d
}

func newID(prefix string) string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return prefix + "-" + hex.EncodeToString(b[:])
}

const (
	ada      = "ada@example.com"
	password = "correct horse battery"
	callback = "/callback"
)

func newHouse(t *testing.T, change ...func(*identity.Pool)) *house {
	t.Helper()
	h := &house{t: t, clock: &clock{}}
	var handler http.Handler
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(h.server.Close)
	h.pool = identity.Pool{ID: newID("pool"), Project: "default", Name: "staff", Issuer: h.server.URL + "/default/staff"}
	for _, c := range change {
		c(&h.pool)
	}
	h.store = newMemory(h.pool)
	sealer, err := storage.OpenKey(filepath.Join(t.TempDir(), "secret.key"))
	must(t, err)
	h.service, err = identity.New(identity.Options{Store: h.store, Sealer: sealer, Logger: slog.New(slog.DiscardHandler), Now: h.clock.now, NewID: newID})
	must(t, err)
	handler = h.service
	h.client = h.service.NewClient(h.pool.ID, newID("app"), "shop")
	h.client.Origin = "http://shop.example"
	h.client.Redirects = []string{h.client.Origin + callback, h.client.Origin + identity.GateCallback}
	h.secret, err = h.service.ClientSecret(h.client)
	must(t, err)
	must(t, h.store.Update(func(tx identity.Tx) error { return tx.Clients().Put(h.client) }))
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// addUser stores a user with the password.
func (h *house) addUser(email string, roles ...string) identity.User {
	h.t.Helper()
	u, err := h.service.NewUser(h.pool.ID, email, "Ada", roles)
	must(h.t, err)
	code, _ := h.service.GiveReset(&u)
	u.Verified = true
	must(h.t, h.store.Update(func(tx identity.Tx) error { return tx.Users().Put(u) }))
	b := h.browser()
	b.open(h.pool.Issuer + "/reset")
	b.send(url.Values{"email": {email}, "code": {code}, "password": {password}})
	b.wants(200, "Your password is set")
	return u
}

// browser keeps cookies, follows redirects within the provider and stops at an app's address.
type browser struct {
	h      *house
	client *http.Client
	header http.Header
	at     *url.URL
	status int
	body   string
	head   http.Header
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	must(h.t, err)
	b := &browser{h: h, header: http.Header{}}
	own, err := url.Parse(h.server.URL)
	must(h.t, err)
	b.client = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host != own.Host {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

func (b *browser) do(r *http.Request) {
	b.h.t.Helper()
	for name, values := range b.header {
		r.Header[name] = values
	}
	answer, err := b.client.Do(r)
	must(b.h.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(b.h.t, err)
	b.at, b.status, b.body, b.head = answer.Request.URL, answer.StatusCode, string(body), answer.Header
	if to := answer.Header.Get("Location"); to != "" {
		b.at, err = b.at.Parse(to)
		must(b.h.t, err)
	}
}

func (b *browser) open(address string) {
	b.h.t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	must(b.h.t, err)
	b.do(r)
}

var (
	action = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// send fills in the page's first form and sends it, hidden fields as they are unless given.
func (b *browser) send(fields url.Values) {
	b.h.t.Helper()
	to := action.FindStringSubmatch(b.body)
	if to == nil {
		b.h.t.Fatalf("no form on the page %s: %s", b.at, b.body)
	}
	for _, f := range hidden.FindAllStringSubmatch(b.body, -1) {
		if !fields.Has(f[1]) {
			fields.Set(f[1], html.UnescapeString(f[2]))
		}
	}
	target, err := b.at.Parse(html.UnescapeString(to[1]))
	must(b.h.t, err)
	r, err := http.NewRequest(http.MethodPost, target.String(), strings.NewReader(fields.Encode()))
	must(b.h.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	b.do(r)
}

func (b *browser) wants(status int, text string) {
	b.h.t.Helper()
	if b.status != status || !strings.Contains(b.body, text) {
		b.h.t.Fatalf("%s answers %d, want %d with %q:\n%s", b.at, b.status, status, text, b.body)
	}
}

// login signs in by the form that is open.
func (b *browser) login(email, password string) {
	b.h.t.Helper()
	b.send(url.Values{"email": {email}, "password": {password}})
}

// party is a client written by somebody else: go-oidc and oauth2.
type party struct {
	h        *house
	provider *oidc.Provider
	oauth    oauth2.Config
	verifier string
}

func (h *house) party(scopes ...string) *party {
	h.t.Helper()
	provider, err := oidc.NewProvider(context.Background(), h.pool.Issuer)
	must(h.t, err)
	return &party{h: h, provider: provider, verifier: oauth2.GenerateVerifier(), oauth: oauth2.Config{ClientID: h.client.ID, ClientSecret: h.secret,
		Endpoint: provider.Endpoint(), RedirectURL: h.client.Origin + callback, Scopes: append([]string{oidc.ScopeOpenID}, scopes...)}}
}

func (p *party) start(more ...oauth2.AuthCodeOption) string {
	return p.oauth.AuthCodeURL("state-1", append(more, oidc.Nonce("nonce-1"), oauth2.S256ChallengeOption(p.verifier))...)
}

func (p *party) exchange(code string) (*oauth2.Token, *oidc.IDToken, error) {
	token, err := p.oauth.Exchange(context.Background(), code, oauth2.VerifierOption(p.verifier))
	if err != nil {
		return nil, nil, err
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := p.provider.Verifier(&oidc.Config{ClientID: p.h.client.ID, Now: p.h.clock.now}).Verify(context.Background(), raw)
	return token, id, err
}

// signedIn takes a new user through the whole flow.
func (p *party) signedIn(b *browser) (*oauth2.Token, *oidc.IDToken) {
	p.h.t.Helper()
	b.open(p.start())
	if b.status == http.StatusOK {
		b.login(ada, password)
	}
	token, id, err := p.exchange(p.code(b))
	must(p.h.t, err)
	return token, id
}

// code is the code a browser came back to the app with.
func (p *party) code(b *browser) string {
	p.h.t.Helper()
	query := b.at.Query()
	if b.at.Host != "shop.example" || query.Get("state") != "state-1" || query.Get("code") == "" {
		p.h.t.Fatalf("the browser is at %s with status %d, want the app with a code:\n%s", b.at, b.status, b.body)
	}
	return query.Get("code")
}

func TestCodeFlowWithIndependentClient(t *testing.T) {
	h := newHouse(t)
	u := h.addUser(ada, "editor", "admin")
	p := h.party("profile", "email", "roles", oidc.ScopeOfflineAccess)
	token, id := p.signedIn(h.browser())
	must(t, id.VerifyAccessToken(token.AccessToken))
	var claims struct {
		Email    string   `json:"email"`
		Verified bool     `json:"email_verified"`
		Name     string   `json:"name"`
		Roles    []string `json:"roles"`
		AMR      []string `json:"amr"`
	}
	must(t, id.Claims(&claims))
	if id.Subject != u.ID || id.Nonce != "nonce-1" || claims.Email != ada || !claims.Verified || claims.Name != "Ada" ||
		!slices.Equal(claims.Roles, []string{"admin", "editor"}) || !slices.Equal(claims.AMR, []string{"pwd"}) {
		t.Errorf("the id token says %+v %+v", id, claims)
	}
	info, err := p.provider.UserInfo(context.Background(), oauth2.StaticTokenSource(token))
	must(t, err)
	if info.Subject != u.ID || info.Email != ada || !info.EmailVerified {
		t.Errorf("userinfo says %+v", info)
	}
	if token.RefreshToken == "" {
		t.Error("no refresh token was given for offline_access")
	}
}

func TestRefreshRotatesAndFindsReuse(t *testing.T) {
	h := newHouse(t)
	h.addUser(ada)
	p := h.party(oidc.ScopeOfflineAccess)
	first, _ := p.signedIn(h.browser())
	refresh := func(token string) (*oauth2.Token, error) {
		return p.oauth.TokenSource(context.Background(), &oauth2.Token{RefreshToken: token}).Token()
	}
	second, err := refresh(first.RefreshToken)
	must(t, err)
	if second.RefreshToken == first.RefreshToken || second.AccessToken == "" {
		t.Fatalf("the refresh token was not rotated")
	}
	third, err := refresh(second.RefreshToken)
	must(t, err)
	if _, err := refresh(first.RefreshToken); err == nil {
		t.Error("a refresh token was taken twice")
	}
	if _, err := refresh(third.RefreshToken); err == nil {
		t.Error("a chain went on after one of its tokens was used twice")
	}
	if !slices.Contains(h.store.recorded(), "revoke") {
		t.Errorf("the end of the chain is not recorded: %q", h.store.recorded())
	}
}

func TestRefreshOfTwoAtOnceGivesOne(t *testing.T) {
	h := newHouse(t)
	h.addUser(ada)
	p := h.party(oidc.ScopeOfflineAccess)
	first, _ := p.signedIn(h.browser())
	var wg sync.WaitGroup
	var mu sync.Mutex
	good := 0
	for range 8 {
		wg.Go(func() {
			_, err := p.oauth.TokenSource(context.Background(), &oauth2.Token{RefreshToken: first.RefreshToken}).Token()
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				good++
			}
		})
	}
	wg.Wait()
	if good != 1 {
		t.Errorf("of 8 at once %d were given tokens, want 1", good)
	}
}

func TestClientCredentials(t *testing.T) {
	h := newHouse(t)
	ask := func(secret string) (int, string) {
		r, err := http.NewRequest(http.MethodPost, h.pool.Issuer+"/token", strings.NewReader("grant_type=client_credentials"))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(h.client.ID, secret)
		answer, err := http.DefaultClient.Do(r)
		must(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		must(t, err)
		return answer.StatusCode, string(body)
	}
	if status, body := ask(h.secret); status != 200 || !strings.Contains(body, `"access_token":"ey`) {
		t.Errorf("client_credentials answers %d %s", status, body)
	}
	if status, body := ask("wrong"); status != 401 && status != 400 {
		t.Errorf("a wrong secret answers %d %s", status, body)
	}
}

func TestCodesAndRequestsThatAreRefused(t *testing.T) {
	h := newHouse(t)
	h.addUser(ada)
	p := h.party()
	b := h.browser()
	b.open(p.start())
	b.login(ada, password)
	code := p.code(b)
	if _, _, err := p.exchange(code); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.exchange(code); err == nil {
		t.Error("a code was taken twice")
	}
	b.open(p.start())
	other := h.party() // another verifier
	if _, _, err := other.exchange(p.code(b)); err == nil {
		t.Error("a code was taken without its verifier")
	}
	b.open(p.start())
	late := p.code(b)
	h.clock.advance(61 * time.Second)
	if _, _, err := p.exchange(late); err == nil {
		t.Error("a code was taken after a minute")
	}
	bad := h.party()
	bad.oauth.RedirectURL = "http://evil.example/callback"
	if b.open(bad.start()); b.at.Host == "evil.example" || b.status != 400 {
		t.Errorf("an unknown redirect_uri leads to %s with %d", b.at, b.status)
	}
	b.open(p.oauth.AuthCodeURL("state-1"))
	if b.at.Query().Get("error") != "invalid_request" {
		t.Errorf("a request without PKCE leads to %s", b.at)
	}
	b.open(p.oauth.AuthCodeURL("state-1", oauth2.SetAuthURLParam("code_challenge", "plain-and-simple-and-long-enough-to-be-one-43"), oauth2.SetAuthURLParam("code_challenge_method", "plain")))
	if b.at.Query().Get("error") != "invalid_request" {
		t.Errorf("a request with plain PKCE leads to %s", b.at)
	}
}

func TestSomebodyElsesRequestGivesNoCode(t *testing.T) {
	h := newHouse(t)
	h.addUser(ada)
	p := h.party()
	thief, victim := h.browser(), h.browser()
	thief.open(p.start())
	victim.open(thief.at.String()) // a link that the thief sent
	victim.login(ada, password)
	id := thief.at.Query().Get("request")
	thief.open(h.pool.Issuer + "/authorize/callback?id=" + url.QueryEscape(id))
	thief.wants(400, "expired")
}

func TestKeysRotate(t *testing.T) {
	h := newHouse(t)
	h.addUser(ada)
	p := h.party()
	b := h.browser()
	_, before := p.signedIn(b)
	h.clock.advance(31 * 24 * time.Hour)
	b.open(p.start())
	b.login(ada, password)
	raw, err := p.oauth.Exchange(context.Background(), p.code(b), oauth2.VerifierOption(p.verifier))
	must(t, err)
	if keys := h.keys(); len(keys) != 2 {
		t.Fatalf("after a month there are %d keys, want 2", len(keys))
	}
	kid := func(token string) string { return token[:strings.IndexByte(token, '.')] }
	old, _ := raw.Extra("id_token").(string)
	h.clock.advance(2 * time.Hour)
	b.open(p.start())
	raw, err = p.oauth.Exchange(context.Background(), p.code(b), oauth2.VerifierOption(p.verifier))
	must(t, err)
	next, _ := raw.Extra("id_token").(string)
	if kid(old) == kid(next) {
		t.Error("the new key does not sign two hours after it was made")
	}
	if before.Subject == "" {
		t.Error("no subject")
	}
}

func (h *house) keys() (keys []identity.Key) {
	h.t.Helper()
	must(h.t, h.store.View(func(tx identity.Tx) error {
		return tx.Keys().Each(h.pool.ID+"/", func(k identity.Key) error { keys = append(keys, k); return nil })
	}))
	return keys
}
