// Package identity is the managed auth: an OpenID provider for each user pool, with its own pages for people, and the
// gate that lets only signed-in users through to an app. What it stores and where is its Store's; see DESIGN.md.
package identity

import (
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"nuage/api"
)

// Options are what New needs. All fields but Registerer are required.
type Options struct {
	Store      Store
	Sealer     Sealer
	Logger     *slog.Logger
	Registerer prometheus.Registerer      // takes the metrics nuage_auth_*; nil: nothing is registered
	Now        func() time.Time           // real time
	NewID      func(prefix string) string // prefix-16 hex digits
}

// Service answers for all pools: http.Handler of the host auth.localhost, where a pool is at /PROJECT/POOL.
type Service struct {
	Options
	hasher   *hasher
	limits   *limits
	pending  *pending // sign-ins under way
	metrics  *metrics
	tokens   *tokenCache
	formKey  []byte // signs forms; of this process, so that a restart makes open forms stale
	codeKey  [32]byte
	crossing *http.CrossOriginProtection
	pages    *pages
	makeKey  sync.Mutex // one pool key is made at a time

	mu        sync.Mutex
	providers map[string]*provider // by pool id
}

// New returns the service of a store. Nothing runs in the background.
func New(o Options) (*Service, error) {
	templates, err := parsePages()
	if err != nil {
		return nil, api.Errorf(api.Internal, "cannot read the pages of the managed auth: %w", err)
	}
	s := &Service{Options: o, limits: newLimits(o.Now), pending: newPending(o.Now), metrics: newMetrics(o.Registerer),
		tokens: newTokenCache(o.Now), formKey: random(32), crossing: http.NewCrossOriginProtection(), pages: templates, providers: map[string]*provider{}}
	s.hasher = newHasher()
	copy(s.codeKey[:], random(32))
	return s, nil
}

// random can't fail: crypto/rand ends the process where the system has no randomness.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// newSecret is a random word of 256 bits, safe in URLs and headers.
func newSecret() string { return base64.RawURLEncoding.EncodeToString(random(32)) }

// ServeHTTP answers for the pool that the path begins with.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	harden(w.Header())
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	if len(parts) < 2 || parts[1] == "" {
		s.noPool(w, r)
		return
	}
	pool, err := s.poolNamed(parts[0], parts[1])
	if err != nil {
		s.noPool(w, r)
		return
	}
	rest := "/"
	if len(parts) == 3 {
		rest += parts[2]
	}
	s.servePool(w, r, pool, rest)
}

// harden sets what every answer carries: nothing is cached, framed, or told to others.
func harden(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", contentPolicy(""))
}

// contentPolicy lets in our own style sheet and nothing else. formTo is the origin a form may lead to besides our own.
func contentPolicy(formTo string) string {
	form := "'self'"
	if formTo != "" {
		form += " " + formTo
	}
	return "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action " + form
}

func (s *Service) poolNamed(project, name string) (pool Pool, err error) {
	err = s.Store.View(func(tx Tx) error {
		pool, err = tx.Pool(project, name)
		return err
	})
	return pool, err
}

// servePool answers a page, or hands what is the protocol's to the pool's provider.
func (s *Service) servePool(w http.ResponseWriter, r *http.Request, pool Pool, path string) {
	if insecure(pool, r) && !backChannel(path) {
		http.Redirect(w, r, pool.Issuer+path, http.StatusPermanentRedirect)
		return
	}
	if page, ok := s.pageAt(path); ok {
		s.servePage(w, r, pool, page)
		return
	}
	p, err := s.provider(pool)
	if err != nil {
		s.Logger.Error("cannot make the provider of a pool", "pool", pool.Name, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	inner := r.Clone(r.Context())
	inner.URL.Path, inner.URL.RawPath = path, ""
	if insecure(pool, r) && path == oidc.DiscoveryEndpoint {
		s.discoverInside(w, inner, p)
		return
	}
	p.ServeHTTP(w, inner)
}

// Forget drops what is kept in memory of a pool that is gone.
func (s *Service) Forget(poolID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.providers, poolID)
}
