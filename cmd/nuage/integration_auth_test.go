package main

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"nuage/api"
)

// TestAuth takes people from a sign-up to a protected page, and shows that nobody comes there another way.
func TestAuth(t *testing.T) {
	needEngine(t)
	c := startCloud(t, buildProgram(t))
	c.do(t, "auth", "create", "staff")
	c.do(t, "app", "deploy", "whoami", "--source", "testdata/whoami", "--auth", "staff:required")
	site := "http://" + appHost("whoami") + ":" + port(t, c.edge)
	t.Run("strangers", func(t *testing.T) { testStrangers(t, c, site) })
	t.Run("forged", func(t *testing.T) { testForgedUser(t, c, site) })
	t.Run("browser", func(t *testing.T) { testSignUpInBrowser(t, site) })
	t.Run("neighbours", func(t *testing.T) { testNeighbours(t, c) })
	t.Run("unguarded", func(t *testing.T) { testUnguarded(t, c, site) })
	t.Run("tls", func(t *testing.T) { testEdgeTLS(t, c) })
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// visitor is a client that finds every name of the cloud at the edge, and keeps cookies.
func (c *liveCloud) visitor(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	to := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, c.edge)
	}
	trust, err := newCLI([]string{"NUAGE_HOME=" + c.home}, nil, nil, nil).trusting()
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: to, TLSClientConfig: trust}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport}
}

// fetch makes a request with further headers, NAME: VALUE each, and returns status and body.
func fetch(t *testing.T, client *http.Client, address string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header[name] = []string{value} // as written: what is in it is the point
	}
	return answered(t, client, r)
}

func answered(t *testing.T, client *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func testStrangers(t *testing.T, c *liveCloud, site string) {
	answer, body := fetch(t, c.visitor(t), site+"/headers", "X-Nuage-User: usr-0000000000000000", "X-Nuage-Token: x")
	if answer.StatusCode != http.StatusUnauthorized || !strings.Contains(body, `"code":"unauthenticated"`) {
		t.Errorf("a stranger with a forged X-Nuage-User gets %d %q, want 401", answer.StatusCode, body)
	}
	answer, _ = fetch(t, c.visitor(t), site+"/", "Accept: text/html")
	if at := answer.Request.URL; at.Hostname() != "auth.localhost" || at.Path != "/default/staff/sign-in" {
		t.Errorf("a browser is led to %s, want the sign-in", at)
	}
}

// signUp makes a user by the pages, from an app's address, and ends at that.
func signUp(t *testing.T, client *http.Client, site, email string) {
	t.Helper()
	answer, page := fetch(t, client, site+"/", "Accept: text/html")
	link := regexp.MustCompile(`href="([^"]*/sign-up[^"]*)"`).FindStringSubmatch(page)
	if link == nil {
		t.Fatalf("no link to sign up:\n%s", page)
	}
	at, err := answer.Request.URL.Parse(html.UnescapeString(link[1]))
	if err != nil {
		t.Fatal(err)
	}
	_, page = fetch(t, client, at.String(), "Accept: text/html")
	form := url.Values{"email": {email}, "name": {"Ada"}, "password": {"correct horse battery"}}
	for _, field := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		form.Set(field[1], html.UnescapeString(field[2]))
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at.String(), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	answer, page = answered(t, client, r)
	if answer.Request.URL.String() != site+"/" || !strings.Contains(page, "The protected page") {
		t.Fatalf("after the sign-up one is at %s with\n%s", answer.Request.URL, page)
	}
}

// testForgedUser shows that what an app reads in X-Nuage-* is the edge's word, however the names are written.
func testForgedUser(t *testing.T, c *liveCloud, site string) {
	client := c.visitor(t)
	signUp(t, client, site, "ada@example.com")
	_, body := fetch(t, client, site+"/headers", "X-Nuage-User: root", "x-nuage-email: root@example.com", "X_Nuage_User: root", "X-Nuage_Roles: admin", "X-Nuage-Other: x")
	var lines [][2]string
	if err := json.Unmarshal([]byte(body), &lines); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	told := map[string]string{}
	for _, line := range lines {
		name := strings.ToLower(strings.ReplaceAll(line[0], "_", "-"))
		if _, twice := told[name]; twice && strings.HasPrefix(name, "x-nuage-") {
			t.Errorf("%s reached the app twice", name)
		}
		told[name] = line[1]
	}
	if told["x-nuage-email"] != "ada@example.com" || !strings.HasPrefix(told["x-nuage-user"], "usr-") || told["x-nuage-roles"] != "" || told["x-nuage-other"] != "" {
		t.Errorf("the app was told %q", told)
	}
	if strings.Contains(told["cookie"], "nuage-app") {
		t.Error("the app got the cookie of the sign-in")
	}
	checkUserToken(t, c, client, told)
	var back struct {
		Issuer, Token string
		Same          bool
	}
	if _, body := fetch(t, client, site+"/back-channel"); json.Unmarshal([]byte(body), &back) != nil || !back.Same || back.Token != "ey" {
		t.Errorf("the back channel from inside the container says %s", body)
	}
}

// checkUserToken verifies X-Nuage-Token as an app does, with a library of others.
func checkUserToken(t *testing.T, c *liveCloud, client *http.Client, told map[string]string) {
	t.Helper()
	var a api.App
	if err := json.Unmarshal([]byte(c.do(t, "app", "show", "whoami", "-o", "json")), &a); err != nil {
		t.Fatal(err)
	}
	ctx := oidc.ClientContext(t.Context(), client)
	provider, err := oidc.NewProvider(ctx, "http://auth.localhost:"+port(t, c.edge)+"/default/staff")
	if err != nil {
		t.Fatal(err)
	}
	token, err := provider.Verifier(&oidc.Config{ClientID: a.ID}).Verify(ctx, told["x-nuage-token"])
	if err != nil || token.Subject != told["x-nuage-user"] {
		t.Errorf("X-Nuage-Token: %v, %+v", err, token)
	}
}

// testUnguarded shows that the headers are taken away before apps that demand no sign-in, too.
func testUnguarded(t *testing.T, c *liveCloud, site string) {
	c.do(t, "auth", "bind", "staff", "whoami")
	_, body := fetch(t, c.visitor(t), site+"/headers", "X-Nuage-User: root", "X_Nuage_User: root")
	if !strings.Contains(body, "X-Request-Id") || strings.Contains(strings.ToLower(body), "nuage-user") || strings.Contains(strings.ToLower(body), "nuage_user") {
		t.Errorf("the app was told %s", body)
	}
}

// testSignUpInBrowser is the whole way in a real browser without scripts, in pictures.
func testSignUpInBrowser(t *testing.T, site string) {
	b := startBrowser(t)
	b.signUp(site, "grace@example.com", "auth")
	account := strings.Replace(site, "whoami.app.", "auth.", 1) + "/default/staff/account"
	b.open(account)
	b.waitFor("Your account")
	b.click(`button[value="offer"]`)
	b.waitUntil("a key for an authenticator app", func() bool { return b.look(`document.querySelector(".key").innerText`) != "" })
	b.shoot("auth-4-account")
	b.open(fmt.Sprintf("%s?lang=fr", strings.Replace(account, "/account", "/reset", 1)))
	b.waitFor("Choisir un nouveau mot de passe")
	b.shoot("auth-5-reset-fr")
}

// signUp goes from the front page of an app to its protected page, over a new account, with a picture of each page.
func (b *browser) signUp(site, email, pictures string) {
	b.t.Helper()
	b.open(site + "/")
	b.waitFor("Sign in")
	b.shoot(pictures + "-1-sign-in")
	b.click(`a[href*="/sign-up"]`)
	b.waitFor("Create an account")
	b.fill("#name", "Grace Hopper")
	b.fill("#email", email)
	b.fill("#password", "amazing grace 1906")
	b.shoot(pictures + "-2-sign-up")
	b.click("main button")
	b.waitFor("The protected page")
	b.shoot(pictures + "-3-protected")
	if text := b.look("document.body.innerText"); !strings.Contains(text, email) {
		b.t.Errorf("the protected page says %q", text)
	}
}
