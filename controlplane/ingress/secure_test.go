package ingress

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// secured is an edge with an authority, behind real listeners.
type secured struct {
	*Edge
	authority    *Authority
	public, door string // addresses

	mu   sync.Mutex
	now  time.Time
	made []string
}

func (s *secured) present() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *secured) note(r Route, c Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = append(s.made, fmt.Sprint(r.Name, " ", c.Host, " ", c.Renewed))
}

// checkMade compares what was made, as ROUTE HOST RENEWED.
func (s *secured) checkMade(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !cmp.Equal(s.made, want) {
		t.Errorf("made were certificates %q, want %q", s.made, want)
	}
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{now: time.Now()}
	s.Edge = New(Options{Logger: slog.New(slog.DiscardHandler), Now: s.present})
	var err error
	if s.authority, err = MakeAuthority(s.now); err != nil {
		t.Fatal(err)
	}
	s.Secure(s.authority, s.note)
	logger := slog.New(slog.DiscardHandler)
	s.public, s.door = s.listen(t, s.Server(logger)), s.listen(t, s.Inside(logger))
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *secured) listen(t *testing.T, server *http.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(s.Listener(l))
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// client trusts the edge's authority alone, and finds every name at an address.
func (s *secured) client(t *testing.T, address string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.authority.PEM()) {
		t.Fatal("the authority's PEM is none")
	}
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	transport := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: roots, Time: s.present}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, CheckRedirect: stay}
}

// askAt returns "PROTO STATUS BODY" and the header.
func askAt(t *testing.T, client *http.Client, method, url string) (string, http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(answer.Proto, " ", answer.StatusCode, " ", string(body)), answer.Header
}

func tellProto(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, r.Header.Get("X-Forwarded-Proto"), " ", r.Host)
}

func TestHTTPSByHost(t *testing.T) {
	s := newSecured(t)
	one, _ := replica(t, "app-1", tellProto)
	one.Group = "v1"
	app := shop(one)
	app.Split, app.Sticky = []Share{{"v1", 100}}, true
	s.SetRoutes([]Route{app, {Host: "auth.localhost", Name: "auth", Kind: "auth", Handler: http.HandlerFunc(tellProto), BackChannel: true}})
	public, door := s.client(t, s.public), s.client(t, s.door)

	got, header := askAt(t, public, "GET", "https://shop.app.localhost:7080/")
	if got != "HTTP/2.0 200 https shop.app.localhost:7080" {
		t.Errorf("HTTPS is answered with %s", got)
	}
	if got, want := header.Get("Set-Cookie"), "nuage-release=v1; Path=/; HttpOnly; Secure; SameSite=Lax"; got != want {
		t.Errorf("the cookie is %q, want %q", got, want)
	}
	for _, c := range []struct {
		client            *http.Client
		method, url, want string
		location          string
	}{
		{public, "GET", "https://nobody.app.localhost/", "HTTP/2.0 404 cannot find anything that serves \"nobody.app.localhost\": deploy it with `nuage app deploy nobody --source DIR`\n", ""},
		{public, "POST", "http://shop.app.localhost:7080/a%2Fb?q=1;2", "HTTP/1.1 308 ", "https://shop.app.localhost:7080/a%2Fb?q=1;2"},
		{public, "POST", "http://auth.localhost:7080/default/staff/token", "HTTP/1.1 308 ", "https://auth.localhost:7080/default/staff/token"},
		{door, "POST", "http://shop.app.localhost:7080/", "HTTP/1.1 308 ", "https://shop.app.localhost:7080/"},
		{door, "POST", "http://auth.localhost:7080/default/staff/token", "HTTP/1.1 200 http auth.localhost:7080", ""},
		{door, "GET", "https://auth.localhost:7080/", "HTTP/2.0 200 https auth.localhost:7080", ""},
	} {
		got, header := askAt(t, c.client, c.method, c.url)
		if got != c.want || header.Get("Location") != c.location {
			t.Errorf("%s %s: %q to %q, want %q to %q", c.method, c.url, got, header.Get("Location"), c.want, c.location)
		}
	}
	s.checkMade(t, "shop shop.app.localhost false", "auth auth.localhost false")
}

func TestCertificatesAreRotatedBeforeTheyEnd(t *testing.T) {
	s := newSecured(t)
	one, _ := replica(t, "app-1", tellProto)
	s.SetRoutes([]Route{shop(one)})
	for _, days := range []int{0, 39, 2, 59, 2} { // the first is for 60 days
		s.mu.Lock()
		s.now = s.now.Add(time.Duration(days) * 24 * time.Hour)
		s.mu.Unlock()
		if got, _ := askAt(t, s.client(t, s.public), "GET", "https://shop.app.localhost/"); !strings.Contains(got, " 200 ") {
			t.Errorf("%d days later it is answered with %s", days, got)
		}
	}
	s.checkMade(t, "shop shop.app.localhost false", "shop shop.app.localhost true", "shop shop.app.localhost true")
	s.SetRoutes(nil)
	if n := len(s.certificates.leaves); n != 0 {
		t.Errorf("%d certificates are kept of hosts that are gone", n)
	}
}

// TestAuthorityIsForLocalhostOnly: whoever trusts the authority does not trust it for other names, not even with its key in wrong hands.
func TestAuthorityIsForLocalhostOnly(t *testing.T) {
	a, err := MakeAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	for _, c := range []struct {
		name  string
		use   x509.ExtKeyUsage
		lower bool // an authority below ours signs
		good  bool
	}{
		{"shop.app.localhost", x509.ExtKeyUsageServerAuth, false, true},
		{"localhost", x509.ExtKeyUsageServerAuth, false, true},
		{"example.com", x509.ExtKeyUsageServerAuth, false, false},
		{"evillocalhost", x509.ExtKeyUsageServerAuth, false, false},
		{"127.0.0.1", x509.ExtKeyUsageServerAuth, false, false},
		{"::1", x509.ExtKeyUsageServerAuth, false, false},
		{"shop.app.localhost", x509.ExtKeyUsageClientAuth, false, false},
		{"shop.app.localhost", x509.ExtKeyUsageServerAuth, true, false},
	} {
		leaf, others := signed(t, a, c.name, c.use, c.lower)
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, DNSName: c.name, KeyUsages: []x509.ExtKeyUsage{c.use}})
		if (err == nil) != c.good {
			t.Errorf("%s for use %d, by an authority below: %t: %v", c.name, c.use, c.lower, err)
		}
	}
}

// signed is what somebody with the authority's key can make.
func signed(t *testing.T, a *Authority, name string, use x509.ExtKeyUsage, lower bool) (*x509.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(template, parent *x509.Certificate, by *ecdsa.PrivateKey) *x509.Certificate {
		template.SerialNumber, template.NotBefore, template.NotAfter, template.BasicConstraintsValid = big.NewInt(1), time.Now(), time.Now().Add(time.Hour), true
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	parent, by, others := a.cert, a.key, x509.NewCertPool()
	if lower {
		parent, by = sign(&x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign}, a.cert, a.key), key
		others.AddCert(parent)
	}
	template := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{use}, DNSNames: []string{name}}
	if ip := net.ParseIP(name); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	return sign(template, parent, by), others
}

func TestAuthorityIsKept(t *testing.T) {
	a, err := MakeAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := a.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenAuthority(certificate, key)
	if err != nil || string(again.PEM()) != string(a.PEM()) || !again.Until().Equal(a.Until()) {
		t.Errorf("an authority that was kept is another one, %v", err)
	}
	other, err := MakeAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, wrong, err := other.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(certificate, wrong); err == nil {
		t.Error("an authority is opened with the key of another one")
	}
}

// TestSilentCallersDoNotBlockOthers: a connection that says nothing keeps nobody else from being served, and closing ends.
func TestSilentCallersDoNotBlockOthers(t *testing.T) {
	s := newSecured(t)
	one, _ := replica(t, "app-1", tellProto)
	s.SetRoutes([]Route{shop(one)})
	for range 3 {
		silent, err := net.Dial("tcp", s.public)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	if got, _ := askAt(t, s.client(t, s.public), "GET", "https://shop.app.localhost/"); !strings.Contains(got, " 200 ") {
		t.Errorf("it is answered with %s", got)
	}
}
