package identity_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"nuage/controlplane/identity"
)

// guarded is an app behind the gate that says what it is told. Its address is the client's origin.
func (h *house) guarded() *httptest.Server {
	h.t.Helper()
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "path=%s user=%s email=%s roles=%s cookie=%q\n%s", r.URL.RequestURI(), r.Header.Get(identity.HeaderUser), r.Header.Get(identity.HeaderEmail),
			r.Header.Get(identity.HeaderRoles), r.Header.Get("Cookie"), r.Header.Get(identity.HeaderToken))
	})
	server := httptest.NewServer(h.service.Gate(h.pool, h.client.ID)(app))
	h.t.Cleanup(server.Close)
	h.client.Origin = strings.Replace(server.URL, "127.0.0.1", "localhost", 1) // another host, so that cookies are not shared
	h.client.Redirects = []string{h.client.Origin + identity.GateCallback}
	must(h.t, h.store.Update(func(tx identity.Tx) error { return tx.Clients().Put(h.client) }))
	return server
}

// guest is a browser that follows redirects everywhere and asks for pages.
func (h *house) guest() *browser {
	b := h.browser()
	b.client.CheckRedirect = nil
	b.header.Set("Accept", "text/html")
	return b
}

func TestGateLetsSignedInUsersThrough(t *testing.T) {
	h := newHouse(t)
	u := h.addUser(ada, "admin", "editor")
	h.guarded()
	b := h.guest()
	b.open(h.client.Origin + "/reports?year=2026")
	b.wants(200, "to go on to <strong>shop</strong>")
	b.login(ada, password)
	said, token, _ := strings.Cut(b.body, "\n")
	if want := fmt.Sprintf(`path=/reports?year=2026 user=%s email=%s roles=admin,editor cookie=""`, u.ID, ada); said != want {
		t.Errorf("the app was told\n%s\nwant\n%s", said, want)
	}
	provider, err := oidc.NewProvider(t.Context(), h.pool.Issuer)
	must(t, err)
	claims, err := provider.Verifier(&oidc.Config{ClientID: h.client.ID}).Verify(t.Context(), token)
	must(t, err)
	if claims.Subject != u.ID {
		t.Errorf("the token is of %s", claims.Subject)
	}
	_, err = provider.Verifier(&oidc.Config{ClientID: "app-of-others"}).Verify(t.Context(), token)
	if err == nil {
		t.Error("the token is good for another app")
	}
	h.clock.advance(4 * time.Minute)
	if b.open(h.client.Origin + "/"); strings.HasSuffix(b.body, token) {
		t.Error("a token with a minute left is handed out")
	}
}

func TestGateEndsWithTheUserTheSessionAndTime(t *testing.T) {
	for name, end := range map[string]func(*house, identity.User, *browser){
		"removed": func(h *house, u identity.User, _ *browser) {
			must(h.t, h.store.Update(func(tx identity.Tx) error { return tx.Users().Delete(u.Key()) }))
		},
		"signed out": func(h *house, _ identity.User, b *browser) {
			b.open(h.client.Origin + "/.nuage/sign-out")
			b.wants(200, "This ends your session")
			b.send(url.Values{})
		},
		"signed out at the pool": func(h *house, _ identity.User, b *browser) {
			b.open(h.pool.Issuer + "/sign-out")
			b.send(url.Values{})
		},
		"half a day": func(h *house, _ identity.User, _ *browser) { h.clock.advance(12*time.Hour + time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			u := h.addUser(ada)
			h.guarded()
			b := h.guest()
			b.open(h.client.Origin + "/")
			b.login(ada, password)
			b.wants(200, "user="+u.ID)
			end(h, u, b)
			b.open(h.client.Origin + "/")
			b.wants(200, "E-mail address")
		})
	}
}

func TestGateRefuses(t *testing.T) {
	h := newHouse(t)
	h.addUser(ada)
	h.guarded()
	program := h.browser()
	program.open(h.client.Origin + "/")
	program.wants(401, `"code":"unauthenticated"`)
	b := h.guest()
	b.open(h.client.Origin + identity.GateCallback + "?code=x&state=y")
	b.wants(400, "expired")
	b.open(h.client.Origin + "//evil.example/")
	b.login(ada, password)
	if b.at.Host != strings.TrimPrefix(h.client.Origin, "http://") || b.at.Path != "/" {
		t.Errorf("the sign-in came back to %s", b.at)
	}
	post, err := http.NewRequest(http.MethodPost, h.client.Origin+"/", strings.NewReader("x=1"))
	must(t, err)
	stranger := h.guest()
	stranger.do(post)
	stranger.wants(401, "nobody is signed in")
}

func TestGateTakesACodeOfItsOwnSignInOnly(t *testing.T) {
	h := newHouse(t)
	h.addUser(ada)
	h.guarded()
	thief := h.browser() // stops at the app's address, with the code of its own sign-in
	thief.header.Set("Accept", "text/html")
	thief.client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Path == identity.GateCallback {
			return http.ErrUseLastResponse
		}
		return nil
	}
	thief.open(h.client.Origin + "/")
	thief.login(ada, password)
	if thief.at.Path != identity.GateCallback {
		t.Fatalf("the browser is at %s", thief.at)
	}
	victim := h.guest()
	victim.open(thief.at.String()) // a link that signs the victim in as the thief
	victim.wants(400, "expired")
}
