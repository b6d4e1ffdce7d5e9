package ingress

import (
	"crypto/tls"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Certificate is one that the edge has made for a host.
type Certificate struct {
	Host    string
	Until   time.Time
	Renewed bool // it follows another one, which would have ended soon
}

// certificates are the edge's, by host, each made when a caller first asks for it.
type certificates struct {
	authority *Authority
	onMade    func(Route, Certificate) // may be nil

	mu     sync.Mutex
	leaves map[string]*tls.Certificate // by host; "": of hosts without a route
}

// Secure has the edge speak HTTPS, with certificates of an authority, on listeners that Listener returns. onMade, which may be nil,
// hears of each certificate for a route, while the first caller waits for it. It is called before anything is served.
func (e *Edge) Secure(a *Authority, onMade func(Route, Certificate)) {
	e.certificates = &certificates{authority: a, onMade: onMade, leaves: map[string]*tls.Certificate{}}
}

// strangers are the names in the certificate for hosts without a route: a page says that nothing answers there.
func strangers() []string {
	return []string{"localhost", "*.app.localhost", "*.fn.localhost", "auth.localhost"}
}

// certificate is what a caller who asks for a name is shown.
func (e *Edge) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := hostName(hello.ServerName)
	s, known := e.site(host)
	if !known {
		leaf, _, err := e.certificates.leaf(e.now(), "", strangers()...)
		return leaf, err
	}
	leaf, made, err := e.certificates.leaf(e.now(), host, host)
	if err == nil && made != nil && e.certificates.onMade != nil {
		e.certificates.onMade(s.Route, *made)
	}
	return leaf, err
}

// leaf returns the certificate kept under a key, made where there is none or it ends soon; made is then what was made.
func (c *certificates) leaf(now time.Time, key string, names ...string) (leaf *tls.Certificate, made *Certificate, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.leaves[key]
	if before != nil && now.Before(before.Leaf.NotAfter.Add(-leafLife/3)) {
		return before, nil, nil
	}
	if leaf, err = c.authority.issue(now, names...); err != nil {
		return nil, nil, err
	}
	c.leaves[key] = leaf
	return leaf, &Certificate{Host: key, Until: leaf.Leaf.NotAfter, Renewed: before != nil}, nil
}

// forget drops certificates of hosts that have no route any more.
func (c *certificates) forget(routed func(host string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for host := range c.leaves {
		if host != "" && !routed(host) {
			delete(c.leaves, host)
		}
	}
}

// tlsConfig is what connections to the edge are made with.
func (e *Edge) tlsConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: e.certificate}
}

// leadAway reports whether a request is to come again over TLS.
func (e *Edge) leadAway(r *http.Request, route Route, inside bool) bool {
	return e.certificates != nil && r.TLS == nil && !(inside && route.BackChannel)
}

// toTLS sends a caller to the same address with https; method and body stay.
func toTLS(w http.ResponseWriter, r *http.Request) {
	path := r.URL.RequestURI()
	if !strings.HasPrefix(path, "/") { // OPTIONS *
		path = "/"
	}
	http.Redirect(w, r, "https://"+r.Host+path, http.StatusPermanentRedirect)
}
