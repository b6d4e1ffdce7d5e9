package controlplane

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/functions"
	"nuage/storage"
)

// TestWhoUsesTheFormerLogin: what of apps and functions is left to do in a rotation, and what hinders it.
func TestWhoUsesTheFormerLogin(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	opened, moved := access{Number: 1, Opened: true}, access{Number: 1, Opened: true, Moved: &at}
	made := func(number, login int, state string) release {
		r := release{App: "app-1", Login: login, Release: api.Release{Number: number, State: state, Reason: "it did"}}
		r.Spec.Database = "d"
		return r
	}
	function := func(phase api.Phase, generation int64) []api.Function {
		f := api.Function{Meta: api.Meta{ID: "fn-1", Name: "f", Project: "p", Generation: 2}}
		f.Spec.Databases, f.Spec.TimeoutMs, f.Status.Phase, f.Status.Generation = []string{"d"}, 3000, phase, generation
		return []api.Function{f}
	}
	for _, c := range []struct {
		name      string
		newest    access
		status    api.AppStatus
		releases  []release
		drains    []drain
		functions []api.Function
		want      string
	}{
		{"the server does not know it", access{Number: 1}, api.AppStatus{Release: 1}, []release{made(1, 0, serving)}, nil, nil, "open: the server has taken the new ones"},
		{"nobody is bound", opened, api.AppStatus{}, nil, nil, nil, "close"},
		{"an app serves with it", opened, api.AppStatus{Release: 1}, []release{made(1, 0, serving)}, nil, nil, `move web: app "web" has moved (release 1 uses those before)`},
		{"its new release comes", opened, api.AppStatus{Release: 1, Target: 2}, []release{made(1, 0, serving), made(2, 1, deploying)}, nil, nil, `app "web" has moved (release 2 is being deployed)`},
		{"the one before drains", opened, api.AppStatus{Release: 2}, []release{made(1, 0, superseded), made(2, 1, serving)}, []drain{{App: "app-1", Release: 1}}, nil, `app "web" has moved (release 1 ends its requests)`},
		{"it has moved", opened, api.AppStatus{Release: 2}, []release{made(1, 0, superseded), made(2, 1, serving)}, nil, nil, "close"},
		{"its new release failed", opened, api.AppStatus{Release: 1}, []release{made(1, 0, serving), made(2, 1, failed)}, nil, nil, `stuck: app "web" has moved (release 2 with the new ones failed: it did; deploy it again)`},
		{"one before had failed", opened, api.AppStatus{Release: 1}, []release{made(1, 0, serving), made(2, 0, failed)}, nil, nil, `move web: app "web" has moved (release 1 uses those before)`},
		{"its requests are split", opened, api.AppStatus{Release: 2, Shares: []api.Share{{Release: 2, Percent: 10}, {Release: 1, Percent: 90}}}, []release{made(1, 0, serving), made(2, 0, serving)}, nil, nil,
			`stuck: app "web" has moved (its requests are split between releases 2 (10%), 1 (90%); give one of them all)`},
		{"a function uses it", opened, api.AppStatus{}, nil, nil, function(api.Running, 2), `functions: function "f" has moved (it is being deployed again)`},
		{"it is deployed again", moved, api.AppStatus{}, nil, nil, function(api.Running, 1), `function "f" has moved (it is being deployed again); calls of functions that began before have ended`},
		{"its calls go on", moved, api.AppStatus{}, nil, nil, function(api.Running, 2), `calls of functions that began before have ended`},
		{"it failed", moved, api.AppStatus{}, nil, nil, function(api.Failed, 2), `stuck: function "f" has moved (; deploy it again); calls of functions that began before have ended`},
	} {
		d := api.Database{Meta: api.Meta{ID: "db-1", Name: "d", Project: "p"}}
		w := &world{at: at.Add(time.Second), servers: map[string]server{d.ID: {ID: d.ID, User: "nuage", Logins: []access{{Opened: true}, c.newest}}},
			apps:     []api.App{{Meta: api.Meta{ID: "app-1", Name: "web", Project: "p"}, Status: c.status}},
			releases: map[string]release{}, drains: map[string][]drain{"app-1": c.drains}, functions: c.functions}
		for _, r := range c.releases {
			w.releases[releaseKey(r.App, r.Number)] = r
		}
		w.index()
		r, _ := w.rotation(d)
		if got := toldOf(r); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func toldOf(r rotation) string {
	waiting := strings.Join(r.waiting, "; ")
	switch {
	case r.done():
		return "close"
	case r.open:
		return "open: " + waiting
	case r.functions:
		return "functions: " + waiting
	case len(r.apps) > 0:
		return fmt.Sprintf("move %s: %s", r.apps[0].Name, waiting)
	case r.stuck:
		return "stuck: " + waiting
	}
	return waiting
}

// TestRotationOnTheSimulator: a bound app gets a release of its own; the former login is gone when the one before has drained.
func TestRotationOnTheSimulator(t *testing.T) {
	p := newPlane(t, setup{})
	c, ctx := p.cloud, asCustomer()
	_, err := c.Databases.Create(ctx, "default", "d", api.DatabaseSpec{Engine: "postgres"})
	must(t, err)
	p.deploy(t, "web", api.AppSpec{Image: "web:1", Database: "d"})
	_, err = c.Databases.Wait(ctx, "default", "d", 10*time.Second)
	must(t, err)
	_, err = c.Databases.Rotate(ctx, "default", "d")
	if want := `cannot rotate the credentials of database "d": it is running (simulated: no server answers)`; textOf(err) != want {
		t.Errorf("without a server: %v, want %s", err, want)
	}
	p.pretendAddress(t, "d")
	var users []string
	for range 3 {
		now, err := c.Databases.Rotate(ctx, "default", "d")
		must(t, err)
		users = append(users, now.User)
		eventually(t, "the end of the rotation", func() bool {
			d, err := c.Databases.Get(ctx, "default", "d")
			return err == nil && d.Status.Rotation == nil && p.loginsOf(t, d.ID) == 1
		})
	}
	if got, want := fmt.Sprint(users), "[nuage_a nuage_b nuage_a]"; got != want {
		t.Errorf("the users were %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(p.verbsOn(t, "d")), "[rotate open-login close-login rotate open-login close-login rotate open-login close-login]"; got != want {
		t.Errorf("recorded is %s, want %s", got, want)
	}
	if a := p.appSettled(t, "web"); a.Status.Release != 4 || a.Generation != 1 {
		t.Errorf("release %d serves, at generation %d, want 4 and 1", a.Status.Release, a.Generation)
	}
}

// verbsOn lists what was done about the identities of a database.
func (p *plane) verbsOn(t *testing.T, name string) (verbs []string) {
	t.Helper()
	all, err := p.cloud.Activities.List(asCustomer(), api.ActivityQuery{Resource: name, Layer: api.LayerIdentities})
	must(t, err)
	for _, a := range all.Items {
		if by := map[bool]api.ActorKind{true: api.Customer, false: api.Platform}[a.Verb == "rotate"]; a.Actor.Kind != by {
			t.Errorf("%s was done by %+v", a.Verb, a.Actor)
		}
		verbs = append(verbs, a.Verb)
	}
	return verbs
}

// pretendAddress gives a database of the simulator an address, as a server has.
func (p *plane) pretendAddress(t *testing.T, name string) {
	t.Helper()
	must(t, p.Store.Update(func(tx *storage.Tx) error {
		d, err := databaseTable.GetBy(tx, "name", "default/"+name)
		if err != nil {
			return err
		}
		d.Status.Host, d.Status.Port = "127.0.0.1", 5432
		return databaseTable.Put(tx, d)
	}))
}

// loginsOf counts the logins of a database.
func (p *plane) loginsOf(t *testing.T, id string) (n int) {
	t.Helper()
	must(t, p.Store.View(func(tx *storage.Tx) error {
		s, err := serverTable.Get(tx, id)
		n = len(s.accesses())
		return err
	}))
	return n
}

// urls is a runtime that notes with which database URL each version was opened.
type urls struct {
	versions
	seen []string
}

func (r *urls) Open(ctx context.Context, d functions.Deployment) (functions.Program, error) {
	r.mu.Lock()
	r.seen = append(r.seen, fmt.Sprint(d.Version, " ", d.Published, " ", strings.SplitN(strings.TrimPrefix(d.Env["DATABASE_URL"], "postgres://"), ":", 2)[0]))
	r.mu.Unlock()
	return r.versions.Open(ctx, d)
}

// TestRotationOfVersions: a published version that alone still uses a database gets its new credentials, and keeps it from being deleted.
func TestRotationOfVersions(t *testing.T) {
	r := &urls{}
	p := newPlane(t, setup{python: r})
	c, ctx := p.cloud, asCustomer()
	_, err := c.Databases.Create(ctx, "default", "d", api.DatabaseSpec{Engine: "postgres"})
	must(t, err)
	_, err = c.Databases.Wait(ctx, "default", "d", 10*time.Second)
	must(t, err)
	p.pretendAddress(t, "d")
	spec := api.FunctionSpec{Runtime: "python", Source: p.source(t, "main.py", "pass"), Handler: "main.handler", Databases: []string{"d"}, TimeoutMs: 1}
	_, err = c.Functions.Create(ctx, "default", "f", spec)
	must(t, err)
	_, err = c.Versions.Publish(ctx, "default", "f")
	must(t, err)
	spec.Databases = nil
	_, err = c.Functions.Update(ctx, "default", "f", spec, 0)
	must(t, err)
	call := func() {
		_, err := c.Functions.Invoke(ctx, "default", "f", api.Invocation{Type: api.Sync, Qualifier: "1"})
		must(t, err)
	}
	call()
	_, err = c.Databases.Rotate(ctx, "default", "d")
	must(t, err)
	eventually(t, "the end of the rotation", func() bool {
		d, err := c.Databases.Get(ctx, "default", "d")
		return err == nil && d.Status.Rotation == nil && p.loginsOf(t, d.ID) == 1
	})
	call()
	if got, want := strings.Join(r.seen, ", "), "1 false nuage, 2 false , 1 true nuage, 1 true nuage_a"; got != want {
		t.Errorf("opened were %s, want %s", got, want)
	}
	want := `cannot delete database "d": version 1 of function "f" is bound to it; nuage function unpublish f v1 first`
	if err := c.Databases.Delete(ctx, "default", "d", 0); textOf(err) != want {
		t.Errorf("deleting says %v", err)
	}
	must(t, c.Versions.Unpublish(ctx, "default", "f", 1))
	must(t, c.Databases.Delete(ctx, "default", "d", 0))
}
