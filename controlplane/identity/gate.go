package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"nuage/api"
)

// What the gate answers itself on an app's host, and what it tells the app.
const (
	GateCallback = "/.nuage/callback"
	gateSignOut  = "/.nuage/sign-out"

	HeaderUser  = "X-Nuage-User"
	HeaderEmail = "X-Nuage-Email"
	HeaderRoles = "X-Nuage-Roles"
	HeaderToken = "X-Nuage-Token"

	gateCookie  = "nuage-app"
	flowCookie  = "nuage-flow"
	flowLife    = 10 * time.Minute
	tokenLife   = 5 * time.Minute
	tokenLeft   = 2 * time.Minute // a token with less is made anew
	mostReturns = 2000            // bytes of the address one comes back to
)

// Gate lets only signed-in users of a pool through to an app, and tells it who they are. It is a client of the pool like
// any other; it talks to the provider in this process. What a caller says under the names of its headers is the edge's to
// remove, also where there is no gate.
func (s *Service) Gate(pool Pool, clientID string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return &gate{s: s, pool: pool, client: clientID, next: next} }
}

type gate struct {
	s      *Service
	pool   Pool
	client string
	next   http.Handler
}

// flow is a sign-in that a browser has begun at an app. It travels in a sealed cookie, so that it survives a restart.
type flow struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	Return   string    `json:"return"`
	Expires  time.Time `json:"expires"`
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case GateCallback:
		harden(w.Header())
		g.callback(w, r)
		return
	case gateSignOut:
		harden(w.Header())
		g.signOut(w, r)
		return
	}
	session, ok := g.s.sessionBy(r, g.pool.ID, cookieName(r, gateCookie), g.client)
	if !ok {
		g.demand(w, r)
		return
	}
	u, err := g.s.user(g.pool, session.User)
	if err != nil {
		g.demand(w, r)
		return
	}
	token, err := g.s.gateToken(g.pool, g.client, session, u)
	if err != nil {
		g.fail(w, "cannot sign the token of a user", err)
		return
	}
	dropCookies(r, cookieName(r, gateCookie), cookieName(r, flowCookie))
	r.Header.Set(HeaderUser, u.ID)
	r.Header.Set(HeaderEmail, u.Email)
	r.Header.Set(HeaderRoles, strings.Join(u.Roles, ","))
	r.Header.Set(HeaderToken, token)
	g.next.ServeHTTP(w, r)
}

func (g *gate) fail(w http.ResponseWriter, what string, err error) {
	g.s.Logger.Error(what, "pool", g.pool.Name, "app", g.client, "error", err)
	http.Error(w, "internal error", http.StatusInternalServerError)
}

// dropCookies takes the gate's own cookies out of what the app gets.
func dropCookies(r *http.Request, names ...string) {
	all := r.Cookies()
	r.Header.Del("Cookie")
	for _, c := range all {
		ours := false
		for _, name := range names {
			ours = ours || c.Name == name
		}
		if !ours {
			r.AddCookie(c)
		}
	}
}

// demand leads a browser to the sign-in; a program is told.
func (g *gate) demand(w http.ResponseWriter, r *http.Request) {
	page := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !page || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		harden(w.Header())
		w.Header().Set("Content-Type", api.ProblemType)
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(api.Problem{Title: "Sign in first", Status: http.StatusUnauthorized, Code: api.Unauthenticated,
			Detail: "cannot let this request through: nobody is signed in; open the app in a browser", RequestID: w.Header().Get(api.HeaderRequestID)})
		return
	}
	c, err := g.s.client(g.pool, g.client)
	if err != nil {
		g.fail(w, "cannot find the client of an app", err)
		return
	}
	f := flow{State: newSecret(), Nonce: newSecret(), Verifier: newSecret(), Return: returnTo(r), Expires: g.s.Now().Add(flowLife)}
	text, err := json.Marshal(f)
	if err != nil {
		g.fail(w, "cannot write down a sign-in", err)
		return
	}
	harden(w.Header())
	setCookie(w, r, cookieName(r, flowCookie), base64.RawURLEncoding.EncodeToString(g.s.Sealer.Seal(text, g.flowContext())), flowLife)
	sum := sha256.Sum256([]byte(f.Verifier))
	query := url.Values{"client_id": {g.client}, "redirect_uri": {c.Origin + GateCallback}, "response_type": {"code"}, "scope": {"openid"},
		"state": {f.State}, "nonce": {f.Nonce}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	http.Redirect(w, r, g.pool.Issuer+"/authorize?"+query.Encode(), http.StatusFound)
}

func (g *gate) flowContext() string { return "gate/" + g.pool.ID + "/" + g.client }

// returnTo is the address within the app that a browser asked for.
func returnTo(r *http.Request) string {
	target := r.URL.RequestURI()
	if len(target) > mostReturns || !local(target) {
		return "/"
	}
	return target
}

// local reports whether an address stays on the host.
func local(target string) bool {
	return strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "//") && !strings.ContainsAny(target, "\\\r\n\t")
}

// callback ends a sign-in: the code is exchanged and the app's own session begins.
func (g *gate) callback(w http.ResponseWriter, r *http.Request) {
	f, ok := g.flow(r)
	query := r.URL.Query()
	if !ok || !sameText(query.Get("state"), f.State) {
		g.s.refuse(w, r, g.pool, http.StatusBadRequest, "stale")
		return
	}
	clearCookie(w, r, cookieName(r, flowCookie))
	subject, parent, err := g.exchange(r.Context(), query.Get("code"), f)
	if err != nil {
		g.s.Logger.Info("a sign-in at an app did not end well", "pool", g.pool.Name, "app", g.client, "error", err)
		g.s.refuse(w, r, g.pool, http.StatusBadRequest, "stale")
		return
	}
	var secret string
	err = g.s.Store.Update(func(tx Tx) (err error) {
		one := Session{Pool: g.pool.ID, User: subject, Client: g.client, Parent: parent.session, AuthTime: parent.authTime, AMR: parent.amr}
		secret, _, err = g.s.begin(tx, one)
		return err
	})
	if err != nil {
		g.fail(w, "cannot begin a session", err)
		return
	}
	setCookie(w, r, cookieName(r, gateCookie), secret, sessionLife)
	http.Redirect(w, r, f.Return, http.StatusSeeOther)
}

func (g *gate) flow(r *http.Request) (f flow, ok bool) {
	c, err := r.Cookie(cookieName(r, flowCookie))
	if err != nil {
		return f, false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return f, false
	}
	text, err := g.s.Sealer.Open(sealed, g.flowContext())
	if err != nil || json.Unmarshal(text, &f) != nil {
		return f, false
	}
	return f, g.s.Now().Before(f.Expires) && local(f.Return)
}

// exchange gives the provider the code as any client does, without leaving the process, and checks the answer.
func (g *gate) exchange(ctx context.Context, code string, f flow) (subject string, from request, err error) {
	id, _ := g.s.pending.codes.get(hashOf(code))
	from, _ = g.s.pending.requests.get(id) // for the session it came of; the exchange spends both
	c, err := g.s.client(g.pool, g.client)
	if err != nil {
		return "", from, err
	}
	secret, err := g.s.ClientSecret(c)
	if err != nil {
		return "", from, err
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.Origin + GateCallback}, "code_verifier": {f.Verifier}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.pool.Issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", from, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(g.client), url.QueryEscape(secret))
	answer := &inside{header: http.Header{}}
	g.s.ServeHTTP(answer, r)
	if answer.status != http.StatusOK {
		return "", from, api.Errorf(api.Unauthenticated, "cannot exchange the code: %s", strings.TrimSpace(answer.body.String()))
	}
	subject, err = g.subject(answer.body.Bytes(), f.Nonce)
	return subject, from, err
}

// subject verifies the id token of an answer.
func (g *gate) subject(answer []byte, nonce string) (string, error) {
	var got struct {
		IDToken string `json:"id_token"`
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		return "", err
	}
	var extra struct {
		Nonce string `json:"nonce"`
	}
	claims, err := g.s.verify(g.pool, got.IDToken, g.client, &extra)
	if err == nil && !sameText(extra.Nonce, nonce) {
		err = api.Errorf(api.Unauthenticated, "cannot use an id token made for another sign-in")
	}
	return claims.Subject, err
}

// verify checks signature, issuer, audience and times of a token of the pool.
func (s *Service) verify(pool Pool, token, audience string, extra any) (claims jwt.Claims, err error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return claims, err
	}
	keys, err := s.published(pool)
	if err != nil {
		return claims, err
	}
	for _, k := range keys {
		if len(parsed.Headers) == 1 && parsed.Headers[0].KeyID == k.id {
			if err := parsed.Claims(&k.private.PublicKey, &claims, extra); err != nil {
				return claims, err
			}
			return claims, claims.Validate(jwt.Expected{Issuer: pool.Issuer, AnyAudience: jwt.Audience{audience}, Time: s.Now()})
		}
	}
	return claims, api.Errorf(api.Unauthenticated, "cannot verify a token: no key of the pool has signed it")
}

// signOut ends the app's session, and leads to the pool's sign-out.
func (g *gate) signOut(w http.ResponseWriter, r *http.Request) {
	if session, ok := g.s.sessionBy(r, g.pool.ID, cookieName(r, gateCookie), g.client); ok {
		err := g.s.Store.Update(func(tx Tx) error { return tx.Sessions().Delete(session.Key()) })
		if err != nil {
			g.fail(w, "cannot end a session", err)
			return
		}
	}
	clearCookie(w, r, cookieName(r, gateCookie))
	c, err := g.s.client(g.pool, g.client)
	if err != nil {
		g.fail(w, "cannot find the client of an app", err)
		return
	}
	query := url.Values{"client_id": {g.client}, "post_logout_redirect_uri": {c.Origin + "/"}}
	http.Redirect(w, r, g.pool.Issuer+"/end_session?"+query.Encode(), http.StatusSeeOther)
}

// inside takes the answer to a request that does not leave the process.
type inside struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *inside) Header() http.Header { return a.header }

func (a *inside) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *inside) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}
