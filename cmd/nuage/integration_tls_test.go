package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testEdgeTLS starts the cloud again with HTTPS at its edge: apps, sign-ins and their cookies go over TLS, containers keep their back
// channel, and clients that trust the home's authority alone get in.
func testEdgeTLS(t *testing.T, c *liveCloud) {
	c.do(t, "auth", "bind", "staff", "whoami", "--required")
	c.interrupt(t)
	c.flags = []string{"--edge-tls"}
	c.up(t)
	site := "https://" + appHost("whoami") + ":" + port(t, c.edge)
	eventually(t, time.Minute, "the app has its new settings", func() error {
		a := show[api.App](t, c, "app", "whoami")
		if a.Status.Phase != api.Running || a.Status.URL != site {
			return fmt.Errorf("it is %s (%s) at %s", a.Status.Phase, a.Status.Reason, a.Status.URL)
		}
		return nil
	})
	visitor := c.visitor(t)
	signUp(t, visitor, site, "tls@example.com")
	checkSecureCookies(t, visitor, site, "__Host-nuage-flow")
	checkSecureCookies(t, visitor, strings.Replace(site, "whoami.app.", "auth.", 1)+"/default/staff/sign-up", "__Host-nuage-form")
	var told [][2]string
	if _, body := fetch(t, visitor, site+"/headers"); json.Unmarshal([]byte(body), &told) != nil || !strings.Contains(body, `["X-Forwarded-Proto", "https"]`) || !strings.Contains(body, "tls@example.com") {
		t.Errorf("the app was told %s", body)
	}
	var back struct{ Issuer, Token string }
	_, body := fetch(t, visitor, site+"/back-channel")
	if json.Unmarshal([]byte(body), &back) != nil || back.Issuer != "https://auth.localhost:"+port(t, c.edge)+"/default/staff" || back.Token != "ey" {
		t.Errorf("the back channel from inside the container says %s", body)
	}
	answer, err := c.visit(http.MethodGet, "localhost", "/", "") // plain
	if err != nil || answer.status != http.StatusNotFound {
		t.Errorf("plain HTTP to no route is answered with %d, %v", answer.status, err)
	}
	if answer, _ := fetch(t, visitor, strings.Replace(site, "https:", "http:", 1)+"/headers"); answer.Request.URL.Scheme != "https" || answer.StatusCode != http.StatusOK {
		t.Errorf("plain HTTP leads to %s, %d", answer.Request.URL, answer.StatusCode)
	}
	testOpenSSL(t, c)
	// Whom it trusts is OpenSSL's part of the test: here it is what it does with cookies and redirects.
	t.Run("browser", func(t *testing.T) {
		startBrowser(t, "--ignore-certificate-errors").signUp(site, "pinned@example.com", "tls")
	})
	made := c.do(t, "activity", "list", "--resource", "whoami", "--layer", "network-controls")
	if !strings.Contains(made, "certificate") || !strings.Contains(made, "made for whoami.app.localhost, good until ") {
		t.Errorf("the certificate is not recorded:\n%s", made)
	}
}

// checkSecureCookies: a browser would send the cookies that begin with a prefix by TLS only, and to their very host only.
func checkSecureCookies(t *testing.T, visitor *http.Client, address, prefix string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	answer, err := visitor.Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	for _, cookie := range answer.Cookies() {
		if !strings.HasPrefix(cookie.Name, prefix) || !cookie.Secure || !cookie.HttpOnly || cookie.Domain != "" || cookie.Path != "/" {
			t.Errorf("%s sets the cookie %s, want %s to this host alone and Secure", address, cookie, prefix)
		}
	}
	if len(answer.Cookies()) == 0 {
		t.Errorf("%s sets no cookie", address)
	}
}

// testOpenSSL asks by a client that is not ours, which trusts the home's authority and nothing else, and one that does not trust it.
func testOpenSSL(t *testing.T, c *liveCloud) {
	const script = `import ssl, sys, http.client
h = http.client.HTTPSConnection("whoami.app.localhost", int(sys.argv[1]), context=ssl.create_default_context(cafile="/ca.pem"))
h.request("GET", "/")
print(h.getresponse().status, h.sock.version())
try:
    http.client.HTTPSConnection("whoami.app.localhost", int(sys.argv[1]), context=ssl.create_default_context()).request("GET", "/")
except ssl.SSLCertVerificationError as e:
    print(e.verify_message)`
	if err := os.Chmod(caPath(c.home), 0o644); err != nil {
		t.Fatal(err)
	}
	got := dockerCLI(t, "run", "--rm", "--network", "host", "--add-host", "whoami.app.localhost:127.0.0.1", "--volume", caPath(c.home)+":/ca.pem:ro",
		"nuage/python:1", "python3", "-c", script, port(t, c.edge))
	if want := "401 TLSv1.3\nself-signed certificate in certificate chain"; got != want && got != "401 TLSv1.3\nunable to get local issuer certificate" {
		t.Errorf("OpenSSL says %q, want %q", got, want)
	}
}
