package rest

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sort"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"
	"github.com/gorilla/mux"

	"nuage/api"
)

// guard turns away what a web page of somebody else could make a browser send: requests that reached this address
// by a foreign name (DNS rebinding) and requests from another origin. There are no CORS headers anywhere.
func (f *face) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.knownHost(r.Host) {
			f.fail(w, r, refuse(http.StatusMisdirectedRequest,
				fmt.Sprintf("cannot serve the host %q: use localhost, a loopback address or a name given with --listen", r.Host)))
			return
		}
		if foreign(r) {
			f.fail(w, r, refuse(http.StatusForbidden, "cannot serve a request from another site: open the cloud's own pages or use a client that is no browser"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (f *face) knownHost(hostPort string) bool {
	host := strings.ToLower(hostName(hostPort))
	if host == "localhost" || slices.ContainsFunc(f.Hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// hostName takes port and brackets off a Host header.
func hostName(hostPort string) string {
	if host, _, err := net.SplitHostPort(hostPort); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostPort, "["), "]")
}

// foreign reports whether a browser sent r for a page of another origin. Following a link to the documentation is no
// such thing: it carries no right and shows nothing secret.
func foreign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		return err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	link := r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	return !link || r.URL.Path != "/docs"
}

// permission says whom a route lets in. Within a project's path a token limited to another project is refused too.
type permission int

const (
	accountToken permission = iota // a token without a project limit
	anyToken                       // any token
	machine                        // anyone on this machine, else an account's token
	public                         // anyone
)

// require is the huma middleware that enforces a route's permission.
func (f *face) require(perm permission) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humamux.Unwrap(ctx)
		if perm == public || perm == machine && fromLoopback(r) {
			next(ctx)
			return
		}
		actor, err := f.admit(r, perm, mux.Vars(r)["project"])
		if err != nil {
			f.fail(w, r, err)
			return
		}
		next(huma.WithContext(ctx, api.WithActor(r.Context(), actor)))
	}
}

// admit says who sent a request, if they may.
func (f *face) admit(r *http.Request, perm permission, project string) (api.Actor, error) {
	actor, err := f.authenticate(r)
	if err != nil {
		return actor, err
	}
	recordOf(r.Context()).actor = actor.Name
	return actor, permit(actor, perm, project)
}

func (f *face) authenticate(r *http.Request) (api.Actor, error) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return api.Actor{}, api.Errorf(api.Unauthenticated, "cannot let the request in without a token: send the header \"Authorization: Bearer TOKEN\"")
	}
	return f.Cloud.Tokens.Authenticate(r.Context(), secret)
}

// permit holds a token to its project. The control plane checks it again: it knows names that are not in the path.
func permit(actor api.Actor, perm permission, project string) error {
	if actor.Project == "" || perm == anyToken && (project == "" || project == actor.Project) {
		return nil
	}
	if project != "" && perm == anyToken {
		return api.Errorf(api.Forbidden, "cannot act on project %q: this token is limited to project %q", project, actor.Project)
	}
	return api.Errorf(api.Forbidden, "cannot do this with a token that is limited to project %q: use one without a limit", actor.Project)
}

func fromLoopback(r *http.Request) bool {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && addr.Addr().Unmap().IsLoopback()
}

func (f *face) noRoute(w http.ResponseWriter, r *http.Request) {
	f.fail(w, r, refuse(http.StatusNotFound, fmt.Sprintf("cannot find the path %q: /docs lists all of them", r.URL.Path)))
}

// wrongMethod answers 405 with the methods that the path has; the router itself would not name them.
func (f *face) wrongMethod(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPost, http.MethodPut} {
		other := *r
		other.Method = method
		var match mux.RouteMatch
		if f.router.Match(&other, &match) && match.MatchErr == nil {
			allowed = append(allowed, method)
		}
	}
	if slices.Contains(allowed, http.MethodGet) {
		allowed = append(allowed, http.MethodHead)
	}
	sort.Strings(allowed)
	p := refuse(http.StatusMethodNotAllowed, fmt.Sprintf("cannot %s %q: it takes %s", r.Method, r.URL.Path, strings.Join(allowed, ", ")))
	p.headers.Set("Allow", strings.Join(allowed, ", "))
	f.fail(w, r, p)
}
