package identity

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/text/language"

	"nuage/api"
)

// How long what is given out is good.
const (
	accessLife = 10 * time.Minute
	idLife     = time.Hour
	grantLife  = 30 * 24 * time.Hour // of a chain of refresh tokens, counted anew with each
)

// scopeRoles asks for the user's roles in tokens and userinfo.
const scopeRoles = "roles"

// provider is the protocol's side of one pool: what the library asks for.
type provider struct {
	s    *Service
	pool Pool
	op   http.Handler
}

// provider returns the pool's, made anew when its issuer has changed.
func (s *Service) provider(pool Pool) (*provider, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.providers[pool.ID]; p != nil && p.pool == pool {
		return p, nil
	}
	p := &provider{s: s, pool: pool}
	made, err := op.NewProvider(&op.Config{
		CryptoKey: s.codeKey, CodeMethodS256: true, AuthMethodPost: true, GrantTypeRefreshToken: true, DefaultLogoutRedirectURI: pool.Issuer + "/signed-out",
		SupportedUILocales: []language.Tag{language.English, language.French},
		SupportedScopes:    []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeOfflineAccess, scopeRoles},
		SupportedClaims:    []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "amr", "name", "email", "email_verified", "roles"},
	}, p, op.StaticIssuer(pool.Issuer), op.WithAllowInsecure(), op.WithCORSOptions(nil),
		op.WithCustomTokenEndpoint(op.NewEndpoint("token")), op.WithCustomKeysEndpoint(op.NewEndpoint("keys")))
	if err != nil {
		return nil, err
	}
	p.op = made
	s.providers[pool.ID] = p
	return p, nil
}

// served are the paths the library answers; it has others, which nobody asked for.
func served(path string) bool {
	switch path {
	case oidc.DiscoveryEndpoint, "/authorize", "/authorize/callback", "/token", "/userinfo", "/end_session", "/keys", "/revoke":
		return true
	}
	return false
}

// ServeHTTP guards what the library leaves open, and lets it answer.
func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !served(r.URL.Path) {
		http.NotFound(w, r)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	session, signedIn := p.s.browserSession(r, p.pool)
	switch r.URL.Path {
	case "/authorize/callback":
		// Only the browser that signed in gets the code: a link to somebody else's request gives its sender nothing.
		asked, ok := p.s.pending.requests.get(r.URL.Query().Get("id"))
		if !ok || !signedIn || asked.session != session.Hash {
			p.s.refuse(w, r, p.pool, http.StatusBadRequest, "stale")
			return
		}
	case "/end_session":
		if r.FormValue("id_token_hint") == "" {
			http.Redirect(w, r, p.pool.path()+"/sign-out?"+signOutQuery(r), http.StatusSeeOther)
			return
		}
		clearCookie(w, r, sessionCookie(r, p.pool.ID))
	case oidc.DiscoveryEndpoint, "/keys":
		w.Header().Set("Cache-Control", "max-age=300")
		w.Header().Set("Access-Control-Allow-Origin", "*") // public, and without cookies
	}
	p.op.ServeHTTP(w, r.WithContext(withSession(r.Context(), session.Hash)))
}

// CreateAuthRequest takes a request only with PKCE by S256, whoever the client is.
func (p *provider) CreateAuthRequest(_ context.Context, asked *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if asked.CodeChallenge == "" || asked.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("PKCE is required: send code_challenge with code_challenge_method S256")
	}
	if !slices.Contains(asked.Scopes, oidc.ScopeOpenID) {
		return nil, oidc.ErrInvalidScope().WithDescription("the scope openid is required")
	}
	r := request{id: newSecret(), pool: p.pool.ID, asked: *asked, scopes: slices.Clone(asked.Scopes),
		challenge: &oidc.CodeChallenge{Challenge: asked.CodeChallenge, Method: asked.CodeChallengeMethod}}
	p.s.pending.requests.put(r.id, r)
	return &r, nil
}

func (p *provider) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	r, ok := p.s.pending.requests.get(id)
	if !ok || r.pool != p.pool.ID {
		return nil, oidc.ErrInvalidRequest().WithDescription("this sign-in has expired; begin again")
	}
	return &r, nil
}

func (p *provider) SaveAuthCode(_ context.Context, id, code string) error {
	p.s.pending.codes.put(hashOf(code), id)
	return nil
}

// AuthRequestByCode spends the code, whatever comes of the exchange.
func (p *provider) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	id, ok := p.s.pending.codes.take(hashOf(code))
	if !ok {
		return nil, errors.New("unknown, expired or spent code")
	}
	r, ok := p.s.pending.requests.take(id)
	if !ok || r.pool != p.pool.ID || !r.Done() {
		return nil, errors.New("the code belongs to no sign-in of this pool")
	}
	return &r, nil
}

func (p *provider) DeleteAuthRequest(_ context.Context, id string) error {
	p.s.pending.requests.take(id)
	return nil
}

func (p *provider) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	grant := "client_credentials"
	if _, ok := r.(*request); ok {
		grant = "authorization_code"
	}
	p.s.metrics.token(p.pool, grant)
	return p.s.NewID("tok"), p.s.Now().UTC().Add(accessLife), nil
}

func (p *provider) TerminateSession(context.Context, string, string) error {
	return oidc.ErrServerError().WithDescription("unused: sessions end by TerminateSessionFromRequest")
}

// TerminateSessionFromRequest ends the session of the browser that asks, where it is the user's whose token was shown.
func (p *provider) TerminateSessionFromRequest(ctx context.Context, r *op.EndSessionRequest) (string, error) {
	hash := sessionOf(ctx)
	return r.RedirectURI, p.s.endSession(p.pool, hash, func(s Session) bool { return s.User == r.UserID })
}

func (p *provider) SigningKey(context.Context) (op.SigningKey, error) { return p.s.signer(p.pool) }

func (p *provider) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (p *provider) KeySet(context.Context) ([]op.Key, error) {
	keys, err := p.s.published(p.pool)
	out := make([]op.Key, len(keys))
	for i, k := range keys {
		out[i] = k
	}
	return out, err
}

func (p *provider) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	c, err := p.s.client(p.pool, id)
	return client{c, p.pool}, err
}

func (s *Service) client(pool Pool, id string) (c Client, err error) {
	err = s.Store.View(func(tx Tx) error { c, err = tx.Clients().Get(ClientKey(pool.ID, id)); return err })
	return c, err
}

func (p *provider) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	c, err := p.s.client(p.pool, id)
	if err != nil {
		return errors.New("unknown client")
	}
	want, err := p.s.ClientSecret(c)
	if err != nil {
		return oidc.ErrServerError().WithParent(err)
	}
	if !sameText(hashOf(want), hashOf(secret)) {
		return errors.New("wrong secret")
	}
	return nil
}

// ClientSecret opens the secret of a client.
func (s *Service) ClientSecret(c Client) (string, error) {
	plain, err := s.Sealer.Open(c.Secret, c.Key()+"/secret")
	return string(plain), err
}

// NewClient makes a client of a pool with a new secret; it is not stored.
func (s *Service) NewClient(pool, id, name string) Client {
	c := Client{Pool: pool, ID: id, Name: name, CreatedAt: s.Now().UTC()}
	c.Secret = s.Sealer.Seal([]byte(newSecret()), c.Key()+"/secret")
	return c
}

// ClientCredentials and ClientCredentialsTokenRequest let an app act for itself.
func (p *provider) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	if err := p.AuthorizeClientIDSecret(ctx, id, secret); err != nil {
		return nil, err
	}
	return p.GetClientByClientID(ctx, id)
}

func (p *provider) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	return &oidc.JWTTokenRequest{Subject: id, Audience: []string{id}, Scopes: slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s != scopeRoles })}, nil
}

// SetUserinfoFromScopes does nothing: SetUserinfoFromRequest does.
func (p *provider) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

func (p *provider) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	return p.describe(info, r.GetSubject(), scopes)
}

// SetUserinfoFromToken answers at userinfo, for as long as the user is there.
func (p *provider) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, _, subject, _ string) error {
	return p.describe(info, subject, []string{oidc.ScopeProfile, oidc.ScopeEmail, scopeRoles})
}

func (p *provider) describe(info *oidc.UserInfo, id string, scopes []string) error {
	u, err := p.s.user(p.pool, id)
	if err != nil {
		return oidc.ErrAccessDenied().WithDescription("the user is gone").WithParent(err)
	}
	info.Subject = u.ID
	if slices.Contains(scopes, oidc.ScopeProfile) {
		info.Name = u.Name
	}
	if slices.Contains(scopes, oidc.ScopeEmail) {
		info.Email, info.EmailVerified = u.Email, oidc.Bool(u.Verified)
	}
	if slices.Contains(scopes, scopeRoles) {
		info.AppendClaims("roles", rolesOf(u))
	}
	return nil
}

func rolesOf(u User) []string {
	if u.Roles == nil {
		return []string{}
	}
	return u.Roles
}

func (s *Service) user(pool Pool, id string) (u User, err error) {
	err = s.Store.View(func(tx Tx) error { u, err = tx.Users().Get(UserKey(pool.ID, id)); return err })
	return u, err
}

// GetPrivateClaimsFromScopes puts roles into access tokens where they were asked for.
func (p *provider) GetPrivateClaimsFromScopes(_ context.Context, user, _ string, scopes []string) (map[string]any, error) {
	if !slices.Contains(scopes, scopeRoles) || !strings.HasPrefix(user, "usr-") {
		return nil, nil
	}
	u, err := p.s.user(p.pool, user)
	if err != nil {
		return nil, err
	}
	return map[string]any{"roles": rolesOf(u)}, nil
}

// What follows is of abilities that no pool offers.

func (p *provider) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return oidc.ErrInvalidRequest().WithDescription("introspection is not offered")
}

func (p *provider) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, api.Errorf(api.Unsupported, "clients have no keys of their own")
}

func (p *provider) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, api.Errorf(api.Unsupported, "clients have no keys of their own")
}

func (p *provider) Health(context.Context) error { return nil }

// client is a Client as the library sees it: confidential, with codes only.
type client struct {
	Client
	pool Pool
}

func (c client) GetID() string                       { return c.ID }
func (c client) RedirectURIs() []string              { return c.Redirects }
func (c client) PostLogoutRedirectURIs() []string    { return []string{c.Origin, c.Origin + "/"} }
func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken, oidc.GrantTypeClientCredentials}
}
func (c client) LoginURL(id string) string           { return c.pool.path() + "/sign-in?request=" + id }
func (c client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }
func (c client) IDTokenLifetime() time.Duration      { return idLife }
func (c client) DevMode() bool                       { return false }
func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}
func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}
func (c client) IsScopeAllowed(scope string) bool     { return scope == scopeRoles }
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c client) ClockSkew() time.Duration             { return 0 }
