package identity_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2/clientcredentials"

	"nuage/controlplane/identity"
)

// TestBackChannelWithoutTLS: a container, which comes by plain HTTP, finds all that programs ask at plain addresses, gets tokens with
// the public issuer and verifies them; pages are for browsers, over TLS.
func TestBackChannelWithoutTLS(t *testing.T) {
	h := newHouse(t, func(p *identity.Pool) { p.Issuer = strings.Replace(p.Issuer, "http:", "https:", 1) })
	internal := identity.InternalURL(h.pool.Issuer)
	answer, err := http.Get(internal + oidcDiscovery)
	must(t, err)
	defer answer.Body.Close()
	var found map[string]any
	must(t, json.NewDecoder(answer.Body).Decode(&found))
	for name, want := range map[string]string{"issuer": h.pool.Issuer, "authorization_endpoint": h.pool.Issuer + "/authorize", "end_session_endpoint": h.pool.Issuer + "/end_session",
		"token_endpoint": internal + "/token", "userinfo_endpoint": internal + "/userinfo", "jwks_uri": internal + "/keys", "revocation_endpoint": internal + "/revoke"} {
		if found[name] != want {
			t.Errorf("%s is %q, want %q", name, found[name], want)
		}
	}
	credentials := clientcredentials.Config{ClientID: h.client.ID, ClientSecret: h.secret, TokenURL: internal + "/token", Scopes: []string{"roles"}}
	token, err := credentials.Token(t.Context())
	must(t, err)
	provider, err := oidc.NewProvider(oidc.InsecureIssuerURLContext(t.Context(), h.pool.Issuer), internal)
	must(t, err)
	if _, err := provider.Verifier(&oidc.Config{ClientID: h.client.ID}).Verify(t.Context(), token.AccessToken); err != nil {
		t.Error(err)
	}
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	page, err := stay.PostForm(internal+"/sign-in", url.Values{"password": {"secret"}})
	must(t, err)
	defer page.Body.Close()
	text, err := io.ReadAll(page.Body)
	must(t, err)
	if page.StatusCode != http.StatusPermanentRedirect || page.Header.Get("Location") != h.pool.Issuer+"/sign-in" {
		t.Errorf("a page without TLS is answered with %d %s", page.StatusCode, text)
	}
}

const oidcDiscovery = "/.well-known/openid-configuration"
