package identity

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// InternalURL is where programs inside a container reach a pool's back channel: as its issuer, but over plain HTTP, as they do
// not know the authority that the edge's certificates come from.
func InternalURL(issuer string) string {
	if rest, secure := strings.CutPrefix(issuer, "https://"); secure {
		return "http://" + rest
	}
	return issuer
}

// insecure reports whether a request for a pool that is served over TLS came without. The edge lets only containers come so.
func insecure(pool Pool, r *http.Request) bool {
	return r.TLS == nil && strings.HasPrefix(pool.Issuer, "https://")
}

// backChannel reports whether programs ask at a path, and not browsers.
func backChannel(path string) bool {
	switch path {
	case oidc.DiscoveryEndpoint, "/token", "/userinfo", "/keys", "/revoke":
		return true
	}
	return false
}

// discoverInside answers a container's discovery: what programs ask is where the container can ask it, and what browsers are led to,
// and the issuer that tokens name, are the public ones.
func (s *Service) discoverInside(w http.ResponseWriter, r *http.Request, p *provider) {
	public := &inside{header: w.Header()}
	p.ServeHTTP(public, r)
	var found map[string]any
	if err := json.Unmarshal(public.body.Bytes(), &found); public.status != http.StatusOK || err != nil {
		s.Logger.Error("a pool's discovery does not answer", "pool", p.pool.Name, "status", public.status, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	for name, value := range found {
		if at, isText := value.(string); isText && slices.Contains(insideEndpoints(), name) {
			found[name] = InternalURL(at)
		}
	}
	w.WriteHeader(http.StatusOK)
	_ = json.NewEncoder(w).Encode(found) // who asked may have left
}

func insideEndpoints() []string {
	return []string{"token_endpoint", "userinfo_endpoint", "jwks_uri", "revocation_endpoint"}
}
