package controlplane

import (
	"context"
	"errors"
	"slices"
	"testing"

	"nuage/api"
	"nuage/storage"
)

// releaseOf reads a release as it is in the store.
func (p *plane) releaseOf(t *testing.T, project, name string, number int) (r release) {
	t.Helper()
	must(t, p.Store.View(func(tx *storage.Tx) error {
		a, err := p.apps().find(tx, project, name)
		if err == nil {
			r, err = releaseTable.Get(tx, releaseKey(a.ID, number))
		}
		return err
	}))
	return r
}

// settledIn waits for an app of another project than the usual one.
func (p *plane) settledIn(t *testing.T, project, name string) (a api.App) {
	t.Helper()
	eventually(t, "app "+name+" of project "+project+" settles", func() bool {
		now, err := p.cloud.Apps.Get(asCustomer(), project, name)
		a = now
		return err == nil && api.Settled(a.Meta, a.Status.Status)
	})
	return a
}

// TestPromoteKeepsTheVeryImage: what was built for one project serves in the next under a tag of its own, with that project's
// settings, also after the app it was built for is gone; a failed one leaves what serves, and a setting makes another of that image.
func TestPromoteKeepsTheVeryImage(t *testing.T) {
	p, l := newLivePlane(t)
	ctx := asCustomer()
	_, err := p.cloud.Projects.Create(ctx, "live", api.ProjectSpec{})
	must(t, err)
	spec := behave("ok")
	spec.Image, spec.Source = "", p.source(t, "Dockerfile", "FROM scratch\n")
	spec.Secrets = map[string]string{"KEY": "of the first stage"}
	p.deploy(t, "web", spec)
	made, err := p.cloud.Apps.Promote(ctx, "default", "web", "live")
	must(t, err)
	if want := []string{"setting BEHAVE", "secret KEY"}; !slices.Equal(made.Missing, want) {
		t.Errorf("it lacks %v, want %v", made.Missing, want)
	}
	a := p.settledIn(t, "live", "web")
	from, to := p.releaseOf(t, "default", "web", 1), p.releaseOf(t, "live", "web", 1)
	if to.Image != from.Image || to.Promoted != "default/1" || to.Tag != imageTag(a.ID, 1) || to.Spec.SecretsVersion != 0 {
		t.Errorf("promoted is %+v, of %+v", to, from)
	}
	if built, _ := l.images(); len(built) != 1 {
		t.Errorf("built were %v, want the first alone", built)
	}
	if want := []string{from.Image + " " + to.Tag}; !slices.Equal(l.tagged, want) {
		t.Errorf("tagged is %v, want %v", l.tagged, want)
	}
	must(t, p.cloud.Apps.Delete(ctx, "default", "web", 0))
	eventually(t, "the first app is gone", func() bool {
		_, err := p.cloud.Apps.Get(ctx, "default", "web")
		return errors.Is(err, api.NotFound)
	})
	if _, removed := l.images(); !slices.Equal(removed, []string{from.Tag}) {
		t.Errorf("with it went the images %v, want %s alone", removed, from.Tag)
	}
}

// TestPromotedAppThatFailed: settings that were missing make another release of the image that was promoted, whatever its name means by then.
func TestPromotedAppThatFailed(t *testing.T) {
	p, _ := newLivePlane(t)
	ctx := asCustomer()
	_, err := p.cloud.Projects.Create(ctx, "live", api.ProjectSpec{})
	must(t, err)
	p.deploy(t, "web", behave("ok"))
	_, err = p.cloud.Apps.Promote(ctx, "default", "web", "live")
	must(t, err)
	a := p.settledIn(t, "live", "web")
	a.Spec.Env, a.Spec.DeadlineSeconds = map[string]string{"BEHAVE": "crash"}, 5
	_, err = p.cloud.Apps.Update(ctx, "live", "web", a.Spec, 0)
	must(t, err)
	if a = p.settledIn(t, "live", "web"); a.Status.Failure == nil || a.Status.Release != 1 {
		t.Fatalf("it is %+v, want release 2 to have failed", a.Status)
	}
	a.Spec.Env = map[string]string{"BEHAVE": "ok", "COLOR": "green"}
	_, err = p.cloud.Apps.Update(ctx, "live", "web", a.Spec, 0)
	must(t, err)
	p.settledIn(t, "live", "web")
	if got := p.releaseOf(t, "live", "web", 3); got.State != serving || got.Promoted != "default/1" || got.Image != p.releaseOf(t, "default", "web", 1).Image {
		t.Errorf("with settings it is %+v", got)
	}
}

// TestPromoteNeedsRightsInBothProjects: a token of either alone may not.
func TestPromoteNeedsRightsInBothProjects(t *testing.T) {
	p, _ := newLivePlane(t)
	_, err := p.cloud.Projects.Create(asCustomer(), "live", api.ProjectSpec{})
	must(t, err)
	p.deploy(t, "web", behave("ok"))
	for _, project := range []string{"default", "live"} {
		limited := api.WithActor(context.Background(), api.Actor{Kind: api.Customer, Name: "ci", Project: project})
		if _, err := p.cloud.Apps.Promote(limited, "default", "web", "live"); !errors.Is(err, api.Forbidden) {
			t.Errorf("with a token of project %s it answers %v, want forbidden", project, err)
		}
	}
	if _, err := p.cloud.Apps.Get(asCustomer(), "live", "web"); !errors.Is(err, api.NotFound) {
		t.Errorf("there it is all the same: %v", err)
	}
}
