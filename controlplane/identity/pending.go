package identity

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// What is under way lives in memory only and not for long: anybody can begin it, so it must not fill a disk, and
// whoever is cut off by a restart begins again.
const (
	requestLife   = 15 * time.Minute
	codeLife      = time.Minute
	challengeLife = 5 * time.Minute
	mostPending   = 10_000 // of each kind; the oldest goes first
)

// request is a sign-in that a client asked for. It is what the protocol's library works on.
type request struct {
	id        string
	pool      string
	asked     oidc.AuthRequest
	scopes    []string
	user      string // once done
	session   string // hash of the browser's session that it was done in
	authTime  time.Time
	amr       []string
	challenge *oidc.CodeChallenge
}

func (r *request) GetID() string                         { return r.id }
func (r *request) GetACR() string                        { return "" }
func (r *request) GetAMR() []string                      { return r.amr }
func (r *request) GetAudience() []string                 { return []string{r.asked.ClientID} }
func (r *request) GetAuthTime() time.Time                { return r.authTime }
func (r *request) GetClientID() string                   { return r.asked.ClientID }
func (r *request) GetCodeChallenge() *oidc.CodeChallenge { return r.challenge }
func (r *request) GetNonce() string                      { return r.asked.Nonce }
func (r *request) GetRedirectURI() string                { return r.asked.RedirectURI }
func (r *request) GetResponseType() oidc.ResponseType    { return r.asked.ResponseType }
func (r *request) GetResponseMode() oidc.ResponseMode    { return r.asked.ResponseMode }
func (r *request) GetScopes() []string                   { return r.scopes }
func (r *request) GetState() string                      { return r.asked.State }
func (r *request) GetSubject() string                    { return r.user }
func (r *request) Done() bool                            { return r.user != "" }

// prompts tells whether the client asked for a prompt, as none or login.
func (r *request) prompts(word string) bool { return slices.Contains(r.asked.Prompt, word) }

// challenge is a sign-in whose password was right and whose second factor is awaited.
type challenge struct {
	id, pool, user, request string
}

// pending keeps what is under way.
type pending struct {
	requests   *shelf[request]
	codes      *shelf[string] // ids of requests, by hash of the code
	challenges *shelf[challenge]
}

func newPending(now func() time.Time) *pending {
	return &pending{requests: newShelf[request](now, requestLife), codes: newShelf[string](now, codeLife), challenges: newShelf[challenge](now, challengeLife)}
}

// shelf is a bounded map of things that go after a time.
type shelf[T any] struct {
	now  func() time.Time
	life time.Duration

	mu    sync.Mutex
	items map[string]kept[T]
	order []string // oldest first; may name what is gone
}

type kept[T any] struct {
	value T
	until time.Time
}

func newShelf[T any](now func() time.Time, life time.Duration) *shelf[T] {
	return &shelf[T]{now: now, life: life, items: map[string]kept[T]{}}
}

// put adds something, or replaces it for as long again.
func (s *shelf[T]) put(key string, value T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.items[key]; !known {
		s.order = append(s.order, key)
	}
	s.items[key] = kept[T]{value, s.now().Add(s.life)}
	for len(s.order) > 0 {
		oldest := s.order[0]
		item, there := s.items[oldest]
		if there && len(s.items) <= mostPending && s.now().Before(item.until) {
			return
		}
		delete(s.items, oldest)
		s.order = s.order[1:]
	}
}

// get returns what is there still.
func (s *shelf[T]) get(key string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	item, ok := s.items[key]
	if !ok || !s.now().Before(item.until) {
		var none T
		return none, false
	}
	return item.value, true
}

// take returns it once: of two that come at a time one gets it.
func (s *shelf[T]) take(key string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	item, ok := s.items[key]
	delete(s.items, key)
	if !ok || !s.now().Before(item.until) {
		var none T
		return none, false
	}
	return item.value, true
}

type browserKey struct{}

// withSession puts the hash of the browser's session into a context, for the storage behind the protocol's library.
func withSession(ctx context.Context, hash string) context.Context {
	return context.WithValue(ctx, browserKey{}, hash)
}

func sessionOf(ctx context.Context) string {
	hash, _ := ctx.Value(browserKey{}).(string)
	return hash
}
