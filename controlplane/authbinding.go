package controlplane

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"nuage/api"
	"nuage/controlplane/identity"
	"nuage/controlplane/ingress"
	"nuage/storage"
)

// usualCallbacks are the paths a sign-in may come back to where the app names none.
func usualCallbacks() []string {
	return []string{"/callback", "/auth/callback", "/oauth/callback", "/oauth2/callback", "/login/callback"}
}

// checkAuth refuses callbacks that are no paths of the app's own.
func checkAuth(name string, a api.AppAuth) error {
	switch {
	case a.Pool == "" && (a.Required || len(a.Callbacks) > 0):
		return api.Errorf(api.Invalid, "cannot demand a sign-in to app %q: name the auth pool", name)
	case len(a.Callbacks) > 20:
		return api.Errorf(api.Invalid, "cannot use %d callbacks of app %q: 20 are the most", len(a.Callbacks), name)
	}
	for _, path := range a.Callbacks {
		if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "*?#\\ \t\r\n") {
			return api.Errorf(api.Invalid, "cannot use %q as a callback of app %q: give a path, as /callback", path, name)
		}
	}
	return nil
}

// bindPool makes the app a client of its pool, or brings its client up to date. The client and its secret stay while the
// app does, for releases to go back to.
func (cp *ControlPlane) bindPool(tx *storage.Tx, a *api.App) error {
	if a.Spec.Auth.Pool == "" {
		return nil
	}
	p, err := cp.authPools().find(tx, a.Project, a.Spec.Auth.Pool)
	if err != nil {
		return err
	}
	c, err := authClientTable.Get(tx, identity.ClientKey(p.ID, a.ID))
	if errors.Is(err, api.NotFound) {
		c, err = cp.identity.NewClient(p.ID, a.ID, a.Name), nil
	}
	if err != nil {
		return err
	}
	cp.locate(&c, *a)
	return authClientTable.Put(tx, c)
}

// locate writes into a client where its app is. Callbacks of earlier settings stay: an earlier release may use them.
func (cp *ControlPlane) locate(c *identity.Client, a api.App) {
	origin := cp.url(a.Name, a.Project, "app")
	paths := slices.Clone(a.Spec.Auth.Callbacks)
	if len(paths) == 0 {
		paths = usualCallbacks()
	}
	paths = append(paths, identity.GateCallback)
	for _, known := range c.Redirects {
		paths = append(paths, strings.TrimPrefix(known, c.Origin))
	}
	c.Origin, c.Redirects = origin, nil
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		c.Redirects = append(c.Redirects, origin+path)
	}
}

// refreshIssuers writes the edge's address, which may be another one after a start, into pools and clients.
func (cp *ControlPlane) refreshIssuers(tx *storage.Tx) error {
	err := poolTable.Each(tx, "", func(p api.AuthPool) error {
		p.Status.Issuer = cp.issuer(p)
		return poolTable.Put(tx, p)
	})
	if err != nil {
		return err
	}
	return authClientTable.Each(tx, "", func(c identity.Client) error {
		a, err := appTable.Get(tx, c.ID)
		if err != nil {
			return ignoreGone(err)
		}
		cp.locate(&c, a)
		return authClientTable.Put(tx, c)
	})
}

// dropClients removes the clients of an app that is gone.
func dropClients(tx *storage.Tx, app string) error {
	return authClientTable.Each(tx, "", func(c identity.Client) error {
		if c.ID != app {
			return nil
		}
		return authClientTable.Delete(tx, c.Key())
	})
}

// readSecrets opens the secrets of clients. An app whose secret does not open is left alone, and says so.
func (cp *ControlPlane) readSecrets(tx *storage.Tx, w *world) error {
	err := authClientTable.Each(tx, "", func(c identity.Client) error {
		secret, err := cp.identity.ClientSecret(c)
		if err != nil {
			cp.log.Error("the client secret of an app does not open; its replicas are left alone", "app", c.Name, "error", err)
			w.damaged[c.ID] = true
			return nil
		}
		w.secrets[c.Key()] = secret
		return nil
	})
	for _, a := range w.apps {
		for _, n := range w.live(a) { // without its pool or client in full a release would get another environment
			auth := w.releases[releaseKey(a.ID, n)].Spec.Auth
			if auth.Pool != "" && len(w.authEnv(a, auth)["OIDC_CLIENT_SECRET"]) == 0 {
				w.damaged[a.ID] = true
			}
		}
	}
	return err
}

// authEnv is what a release that is bound to a pool is told.
func (w *world) authEnv(a api.App, auth api.AppAuth) map[string]string {
	p, ok := w.pools[a.Project+"/"+auth.Pool]
	if auth.Pool == "" || !ok {
		return nil
	}
	return map[string]string{"OIDC_ISSUER": p.Status.Issuer, "OIDC_INTERNAL_URL": identity.InternalURL(p.Status.Issuer),
		"OIDC_CLIENT_ID": a.ID, "OIDC_CLIENT_SECRET": w.secrets[identity.ClientKey(p.ID, a.ID)]}
}

// authHosts has the name of the pools lead to the edge from inside a container: it listens on the gateway of the
// app's network, or where the laptop has no such address, on the laptop as the engine calls it.
func (w *world) authHosts(a api.App, auth api.AppAuth) map[string]string {
	switch {
	case auth.Pool == "":
		return nil
	case w.routes:
		return map[string]string{authHost: hostAddress(w.appNetworks[a.ID].CIDR, 1)}
	}
	return map[string]string{authHost: "host-gateway"}
}

// withAuth adds what a binding gives to an environment.
func (w *world) withAuth(a api.App, r release, env map[string]string) {
	maps.Copy(env, w.authEnv(a, r.Spec.Auth))
}

// authRoute leads to the pages and endpoints of all pools.
func (cp *ControlPlane) authRoute() ingress.Route {
	return ingress.Route{Host: authHost, Name: "auth", Kind: kindAuth, Handler: cp.identity, BackChannel: true}
}

// guard returns what stands before an app of which a release that serves demands a sign-in; nil: nothing. While requests
// are split it stands before all of them. Without its pool nobody is let in.
func (cp *ControlPlane) guard(w *world, a api.App) func(http.Handler) http.Handler {
	var auth api.AppAuth
	for _, s := range sharesOf(a) {
		if of := w.releases[releaseKey(a.ID, s.Release)].Spec.Auth; of.Required {
			auth = of
		}
	}
	if !auth.Required {
		return nil
	}
	p, ok := w.pools[a.Project+"/"+auth.Pool]
	if !ok {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "cannot let anybody in: the auth pool of this app is gone", http.StatusServiceUnavailable)
			})
		}
	}
	return cp.identity.Gate(cp.poolOf(p), a.ID)
}
