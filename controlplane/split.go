package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"nuage/api"
	"nuage/storage"
)

// sharesOf is how an app's requests are shared out, largest number first: without a split the release that serves gets all.
func sharesOf(a api.App) []api.Share {
	switch {
	case len(a.Status.Shares) > 0:
		return a.Status.Shares
	case a.Status.Release != 0:
		return []api.Share{{Release: a.Status.Release, Percent: 100}}
	}
	return nil
}

// shareOf is what a release gets of the app's requests, in percent.
func shareOf(a api.App, release int) int {
	for _, s := range sharesOf(a) {
		if s.Release == release {
			return s.Percent
		}
	}
	return 0
}

// mainShare is the release that gets most of the requests, besides one; 0: no other gets any.
func mainShare(shares []api.Share, besides int) int {
	var most api.Share
	for _, s := range shares {
		if s.Release != besides && s.Percent > most.Percent {
			most = s
		}
	}
	return most.Release
}

func serves(shares []api.Share, release int) bool {
	return slices.ContainsFunc(shares, func(s api.Share) bool { return s.Release == release })
}

// sharesText says which releases serve.
func sharesText(shares []api.Share) string {
	if len(shares) == 1 {
		return fmt.Sprintf("release %d serves", shares[0].Release)
	}
	return "releases " + percentages(shares) + " serve"
}

// routeText says where requests go.
func routeText(shares []api.Share) string {
	if len(shares) == 1 {
		return fmt.Sprintf("requests go to release %d", shares[0].Release)
	}
	return "requests go to releases " + percentages(shares)
}

// percentages is "3 (10%), 2 (90%)".
func percentages(shares []api.Share) string {
	var out []string
	for _, s := range shares {
		out = append(out, fmt.Sprintf("%d (%d%%)", s.Release, s.Percent))
	}
	return strings.Join(out, ", ")
}

// Split shares requests out between releases that served once.
func (r apps) Split(ctx context.Context, project, name string, split api.Split) (api.App, error) {
	actor, err := r.cp.authorize(ctx, project)
	if err != nil {
		return api.App{}, err
	}
	shares, err := checkShares(name, split.Shares)
	if err != nil {
		return api.App{}, err
	}
	var out api.App
	err = r.cp.Store.Update(func(tx *storage.Tx) error {
		a, err := r.find(tx, project, name)
		if err != nil {
			return err
		}
		if err := r.generation(&a, 0); err != nil {
			return err
		}
		changed, err := r.cp.beginSplit(tx, &a, shares, split.Sticky)
		out = a
		if err != nil || !changed {
			return err
		}
		a.Generation++
		out = a
		if err := appTable.Put(tx, a); err != nil {
			return err
		}
		return r.cp.record(tx, actor, r.noun, &a.Meta, "split", routeText(shares))
	})
	return out, err
}

// checkShares returns the shares above 0, largest number first.
func checkShares(name string, all []api.Share) ([]api.Share, error) {
	var out []api.Share
	seen, sum := map[int]bool{}, 0
	for _, s := range all {
		switch {
		case s.Percent < 0 || s.Percent > 100:
			return nil, api.Errorf(api.Invalid, "cannot give release %d of app %q %d%% of the requests: 0 to 100 is possible", s.Release, name, s.Percent)
		case seen[s.Release]:
			return nil, api.Errorf(api.Invalid, "cannot split app %q: release %d is named twice", name, s.Release)
		}
		seen[s.Release] = true
		if sum += s.Percent; s.Percent > 0 {
			out = append(out, s)
		}
	}
	if sum != 100 {
		return nil, api.Errorf(api.Invalid, "cannot split app %q: the shares are %d%% together, and must be 100%%", name, sum)
	}
	slices.SortFunc(out, func(a, b api.Share) int { return b.Release - a.Release })
	return out, nil
}

// beginSplit puts shares into force, or has them wait for releases that come back.
func (cp *ControlPlane) beginSplit(tx *storage.Tx, a *api.App, shares []api.Share, sticky *bool) (changed bool, err error) {
	if a.Status.Target != 0 {
		return false, api.Errorf(api.Conflict, "cannot split app %q while release %d is being deployed: wait until it serves", a.Name, a.Status.Target)
	}
	returning, err := cp.returning(tx, *a, shares)
	if err != nil {
		return false, err
	}
	if len(returning) > 0 {
		return cp.awaitComeback(tx, a, shares, sticky, returning)
	}
	before, waited := *a, comebackTable.Has(tx, a.ID)
	if err := erase(tx, comebackTable, a.ID); err != nil {
		return false, err
	}
	err = cp.admitSplit(tx, a, shares, sticky)
	return waited || !same(before, *a), err
}

// admitSplit puts shares into force. The app keeps the settings of its release where that serves on, else it has those of the one
// that gets most: the next change begins with them.
func (cp *ControlPlane) admitSplit(tx *storage.Tx, a *api.App, shares []api.Share, sticky *bool) error {
	if err := cp.share(tx, a, shares, "served until all requests went to others"); err != nil {
		return err
	}
	if !serves(shares, a.Status.Release) {
		main, err := releaseTable.Get(tx, releaseKey(a.ID, mainShare(shares, 0)))
		if err != nil {
			return err
		}
		a.Spec, a.Status.Release = operated(main.Spec, a.Spec), main.Number
	}
	a.Status.Failure = nil
	if sticky != nil {
		a.Spec.Sticky = *sticky
	}
	return nil
}

// share has requests shared out so. Releases that get none any more end those they have; others serve, again where they did not.
// The one being deployed is its caller's to write.
func (cp *ControlPlane) share(tx *storage.Tx, a *api.App, shares []api.Share, why string) error {
	before := sharesOf(*a)
	for _, s := range before {
		if !serves(shares, s.Release) {
			if err := cp.retireRelease(tx, *a, s.Release, why); err != nil {
				return err
			}
		}
	}
	for _, s := range shares {
		if !serves(before, s.Release) && s.Release != a.Status.Target {
			if err := cp.reviveRelease(tx, *a, s.Release); err != nil {
				return err
			}
		}
	}
	if a.Status.Shares = nil; len(shares) > 1 {
		a.Status.Shares = shares
	}
	return nil
}

// retireRelease lets a release end its requests.
func (cp *ControlPlane) retireRelease(tx *storage.Tx, a api.App, number int, why string) error {
	old, err := releaseTable.Get(tx, releaseKey(a.ID, number))
	if err != nil {
		return err
	}
	old.State, old.Reason = superseded, why
	if err := releaseTable.Put(tx, old); err != nil {
		return err
	}
	return drainTable.Put(tx, drain{App: a.ID, Release: old.Number, Since: cp.Now().UTC()})
}

// revivable reads a release that can serve again.
func (cp *ControlPlane) revivable(tx *storage.Tx, a api.App, number int) (release, error) {
	r, err := usable(tx, a, number, fmt.Sprintf("send requests of app %q to", a.Name))
	if err != nil {
		return r, err
	}
	if db := r.Spec.Database; db != "" {
		if _, err := cp.databases().find(tx, a.Project, db); err != nil {
			return r, api.Errorf(api.Conflict, "cannot send requests of app %q to release %d: it was bound to database %q, which is gone", a.Name, number, db)
		}
	}
	return r, nil
}

// reviveRelease has a release serve again, which may still have been ending its requests.
func (cp *ControlPlane) reviveRelease(tx *storage.Tx, a api.App, number int) error {
	r, err := cp.revivable(tx, a, number)
	if err != nil {
		return err
	}
	if err := relogin(tx, a.Project, &r); err != nil {
		return err
	}
	r.State, r.Reason = serving, "serves"
	if err := releaseTable.Put(tx, r); err != nil {
		return err
	}
	return erase(tx, drainTable, releaseKey(a.ID, number))
}
