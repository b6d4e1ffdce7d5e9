package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nuage/api"
	"nuage/storage"
)

// functionVersion is a published version as it is stored. It never changes.
type functionVersion struct {
	Function    string           `json:"function"` // id
	Version     int              `json:"version"`
	Spec        api.FunctionSpec `json:"spec"`
	PublishedAt time.Time        `json:"publishedAt"`
}

// functionAlias is an alias as it is stored.
type functionAlias struct {
	Function  string             `json:"function"` // id
	Name      string             `json:"name"`
	Versions  []api.VersionShare `json:"versions"`
	ChangedAt time.Time          `json:"changedAt"`
}

func functionVersionKey(id string, version int) string { return id + "/" + pad(version) }

func functionAliasKey(id, name string) string { return id + "/" + name }

// functionVersions implements api.FunctionVersions.
type functionVersions struct{ cp *ControlPlane }

// change runs fn on a function in a transaction and records what it did.
func (v functionVersions) change(ctx context.Context, project, name, verb string, fn func(*storage.Tx, api.Function) (detail string, err error)) error {
	actor, err := v.cp.authorize(ctx, project)
	if err != nil {
		return err
	}
	return v.cp.Store.Update(func(tx *storage.Tx) error {
		f, err := v.cp.functions().find(tx, project, name)
		if err != nil {
			return err
		}
		detail, err := fn(tx, f)
		if err != nil || detail == "" {
			return err
		}
		return v.cp.record(tx, actor, "function", &f.Meta, verb, detail)
	})
}

// Publish keeps the version that was deployed last.
func (v functionVersions) Publish(ctx context.Context, project, name string) (api.FunctionVersion, error) {
	var out api.FunctionVersion
	err := v.change(ctx, project, name, "publish", func(tx *storage.Tx, f api.Function) (string, error) {
		if f.Status.Phase != api.Running || f.Status.Generation != f.Generation {
			return "", api.Errorf(api.Conflict, "cannot publish function %q: version %d is not deployed: %s", name, f.Status.Version, f.Status.Reason)
		}
		made := functionVersion{Function: f.ID, Version: f.Status.Version, Spec: f.Spec, PublishedAt: v.cp.Now().UTC()}
		key, detail := functionVersionKey(f.ID, made.Version), fmt.Sprintf("version %d", made.Version)
		if found, err := functionVersionTable.Get(tx, key); err == nil {
			made, detail = found, ""
		} else if err := functionVersionTable.Insert(tx, made); err != nil {
			return "", err
		}
		aliases, err := aliasesOf(tx, f.ID)
		out = made.public(f.Name, aliases)
		return detail, err
	})
	return out, err
}

func (v functionVersion) public(function string, aliases []functionAlias) api.FunctionVersion {
	out := api.FunctionVersion{Function: function, Version: v.Version, Spec: v.Spec, PublishedAt: v.PublishedAt, Aliases: []string{}}
	for _, a := range aliases {
		if a.leadsTo(v.Version) {
			out.Aliases = append(out.Aliases, a.Name)
		}
	}
	return out
}

func (a functionAlias) leadsTo(version int) bool {
	return slices.ContainsFunc(a.Versions, func(s api.VersionShare) bool { return s.Version == version })
}

func (a functionAlias) public(function string) api.FunctionAlias {
	return api.FunctionAlias{Name: a.Name, Function: function, Versions: a.Versions, ChangedAt: a.ChangedAt}
}

func aliasesOf(tx *storage.Tx, id string) (out []functionAlias, err error) {
	err = functionAliasTable.Each(tx, id+"/", func(a functionAlias) error { out = append(out, a); return nil })
	return out, err
}

func (v functionVersions) Versions(ctx context.Context, project, name string) (api.List[api.FunctionVersion], error) {
	out := api.List[api.FunctionVersion]{Items: []api.FunctionVersion{}}
	err := v.read(ctx, project, name, func(tx *storage.Tx, f api.Function, aliases []functionAlias) error {
		return functionVersionTable.Each(tx, f.ID+"/", func(fv functionVersion) error {
			out.Items = append(out.Items, fv.public(f.Name, aliases))
			return nil
		})
	})
	slices.Reverse(out.Items)
	return out, err
}

func (v functionVersions) Aliases(ctx context.Context, project, name string) (api.List[api.FunctionAlias], error) {
	out := api.List[api.FunctionAlias]{Items: []api.FunctionAlias{}}
	err := v.read(ctx, project, name, func(_ *storage.Tx, f api.Function, aliases []functionAlias) error {
		for _, a := range aliases {
			out.Items = append(out.Items, a.public(f.Name))
		}
		return nil
	})
	return out, err
}

func (v functionVersions) read(ctx context.Context, project, name string, fn func(*storage.Tx, api.Function, []functionAlias) error) error {
	if _, err := v.cp.authorize(ctx, project); err != nil {
		return err
	}
	return v.cp.Store.View(func(tx *storage.Tx) error {
		f, err := v.cp.functions().find(tx, project, name)
		if err != nil {
			return err
		}
		aliases, err := aliasesOf(tx, f.ID)
		if err != nil {
			return err
		}
		return fn(tx, f, aliases)
	})
}

func (v functionVersions) Unpublish(ctx context.Context, project, name string, version int) error {
	var id string
	err := v.change(ctx, project, name, "unpublish", func(tx *storage.Tx, f api.Function) (string, error) {
		id = f.ID
		if _, err := publishedVersion(tx, f, version); err != nil {
			return "", err
		}
		aliases, err := aliasesOf(tx, f.ID)
		if err != nil {
			return "", err
		}
		for _, a := range aliases {
			if a.leadsTo(version) {
				return "", api.Errorf(api.Conflict, "cannot delete version %d of function %q: alias %q leads to it; let that lead elsewhere first", version, name, a.Name)
			}
		}
		if err := refuseTriggered(tx, f, strconv.Itoa(version)); err != nil {
			return "", err
		}
		return fmt.Sprintf("version %d", version), functionVersionTable.Delete(tx, functionVersionKey(f.ID, version))
	})
	if err == nil {
		v.cp.invoker.Withdraw(id, version)
	}
	return err
}

// publishedVersion finds one. NotFound.
func publishedVersion(tx *storage.Tx, f api.Function, version int) (functionVersion, error) {
	v, err := functionVersionTable.Get(tx, functionVersionKey(f.ID, version))
	if err != nil {
		return v, api.Errorf(api.NotFound, "cannot find version %d of function %q: it is not published; nuage function versions %s lists those that are", version, f.Name, f.Name)
	}
	return v, nil
}

// refuseTriggered refuses to take away what a trigger calls.
func refuseTriggered(tx *storage.Tx, f api.Function, qualifier string) error {
	return triggerTable.EachBy(tx, "name", f.Project+"/", func(t api.Trigger) error {
		if t.Spec.Function == f.Name && t.Spec.Qualifier == qualifier {
			return api.Errorf(api.Conflict, "cannot delete %q of function %q: trigger %q calls it; delete that first", qualifier, f.Name, t.Name)
		}
		return nil
	})
}

func (v functionVersions) SetAlias(ctx context.Context, project, name, alias string, versions []api.VersionShare) (api.FunctionAlias, error) {
	if _, err := v.cp.authorize(ctx, project); err != nil {
		return api.FunctionAlias{}, err
	}
	if _, err := strconv.Atoi(alias); err == nil {
		return api.FunctionAlias{}, api.Errorf(api.Invalid, "cannot use %q as an alias: numbers are versions", alias)
	}
	if err := api.CheckName("alias", alias); err != nil {
		return api.FunctionAlias{}, err
	}
	shares, err := checkVersionShares(alias, versions)
	if err != nil {
		return api.FunctionAlias{}, err
	}
	var out api.FunctionAlias
	err = v.change(ctx, project, name, "alias", func(tx *storage.Tx, f api.Function) (string, error) {
		for _, s := range shares {
			if _, err := publishedVersion(tx, f, s.Version); err != nil {
				return "", err
			}
		}
		a := functionAlias{Function: f.ID, Name: alias, Versions: shares, ChangedAt: v.cp.Now().UTC()}
		out = a.public(f.Name)
		return alias + " leads to " + versionsText(shares), functionAliasTable.Put(tx, a)
	})
	return out, err
}

// checkVersionShares completes and checks the shares of an alias, the largest number first.
func checkVersionShares(alias string, versions []api.VersionShare) ([]api.VersionShare, error) {
	shares := slices.Clone(versions)
	if len(shares) < 1 || len(shares) > 2 || len(shares) == 2 && shares[0].Version == shares[1].Version {
		return nil, api.Errorf(api.Invalid, "cannot set alias %q: it leads to one version, or to two that differ", alias)
	}
	sum, open := 0, -1
	for i, s := range shares {
		if s.Percent < 0 || s.Percent > 100 {
			return nil, api.Errorf(api.Invalid, "cannot set alias %q: a share of %d percent is not between 0 and 100", alias, s.Percent)
		}
		if sum += s.Percent; s.Percent == 0 {
			open = i
		}
	}
	if open >= 0 {
		shares[open].Percent, sum = 100-sum, 100
	}
	if sum != 100 {
		return nil, api.Errorf(api.Invalid, "cannot set alias %q: the shares are %d percent together, not 100", alias, sum)
	}
	slices.SortFunc(shares, func(a, b api.VersionShare) int { return b.Version - a.Version })
	return slices.DeleteFunc(shares, func(s api.VersionShare) bool { return s.Percent == 0 }), nil
}

// versionsText is "version 3 (90%), version 4 (10%)".
func versionsText(shares []api.VersionShare) string {
	var out []string
	for _, s := range shares {
		out = append(out, fmt.Sprintf("version %d (%d%%)", s.Version, s.Percent))
	}
	return strings.Join(out, ", ")
}

func (v functionVersions) DeleteAlias(ctx context.Context, project, name, alias string) error {
	return v.change(ctx, project, name, "delete-alias", func(tx *storage.Tx, f api.Function) (string, error) {
		if _, err := aliasOf(tx, f, alias); err != nil {
			return "", err
		}
		if err := refuseTriggered(tx, f, alias); err != nil {
			return "", err
		}
		return alias, functionAliasTable.Delete(tx, functionAliasKey(f.ID, alias))
	})
}

func aliasOf(tx *storage.Tx, f api.Function, alias string) (functionAlias, error) {
	a, err := functionAliasTable.Get(tx, functionAliasKey(f.ID, alias))
	if err != nil {
		return a, api.Errorf(api.NotFound, "cannot find alias %q of function %q: nuage function alias %s lists those there are", alias, f.Name, f.Name)
	}
	return a, nil
}

// resolve finds the version that a qualifier names now: 0 without one. An alias of two deals each call by chance.
func (cp *ControlPlane) resolve(tx *storage.Tx, f api.Function, qualifier string) (int, error) {
	if qualifier == "" {
		return 0, nil
	}
	if number, err := strconv.Atoi(qualifier); err == nil {
		v, err := publishedVersion(tx, f, number)
		return v.Version, err
	}
	a, err := aliasOf(tx, f, qualifier)
	if err != nil {
		return 0, err
	}
	if first := a.Versions[0]; len(a.Versions) == 1 || cp.Random()*100 < float64(first.Percent) {
		return first.Version, nil
	}
	return a.Versions[1].Version, nil
}

// version is resolve in a transaction of its own.
func (cp *ControlPlane) version(f api.Function, qualifier string) (version int, err error) {
	if qualifier == "" {
		return 0, nil
	}
	err = cp.Store.View(func(tx *storage.Tx) error {
		version, err = cp.resolve(tx, f, qualifier)
		return err
	})
	return version, err
}

// deployVersion puts a published version into service, at its first call after a start or a deploy.
func (cp *ControlPlane) deployVersion(ctx context.Context, f api.Function, number int) error {
	defer cp.inService.lock(f.ID)()
	return cp.openVersion(ctx, f, number)
}

// refreshVersions opens the published versions again that are in service and were opened with what is not so any more, as the
// credentials of a database. The lock of the function is held.
func (cp *ControlPlane) refreshVersions(ctx context.Context, f api.Function) error {
	var all []error
	for _, number := range cp.invoker.Opened(f.ID) {
		if err := cp.openVersion(ctx, f, number); err != nil && !errors.Is(err, api.NotFound) {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// openVersion hands a version to the invoker, which does nothing where it has the very same. The lock of the function is held.
func (cp *ControlPlane) openVersion(ctx context.Context, f api.Function, number int) error {
	err := cp.Store.View(func(tx *storage.Tx) error {
		v, err := publishedVersion(tx, f, number)
		f.Spec, f.Status.Version = v.Spec, v.Version
		return err
	})
	if err != nil {
		return err
	}
	d, err := cp.deployment(&f)
	if err != nil {
		return err
	}
	d.Checked, d.Published = true, true
	return cp.invoker.Deploy(ctx, d)
}

// dropVersions forgets all versions and aliases of a function that goes.
func dropVersions(tx *storage.Tx, f *api.Function) error {
	var versions, aliases []string
	err := functionVersionTable.Each(tx, f.ID+"/", func(v functionVersion) error {
		versions = append(versions, functionVersionKey(f.ID, v.Version))
		return nil
	})
	if err != nil {
		return err
	}
	all, err := aliasesOf(tx, f.ID)
	if err != nil {
		return err
	}
	for _, a := range all {
		aliases = append(aliases, functionAliasKey(f.ID, a.Name))
	}
	for _, key := range versions {
		if err := functionVersionTable.Delete(tx, key); err != nil {
			return err
		}
	}
	for _, key := range aliases {
		if err := functionAliasTable.Delete(tx, key); err != nil {
			return err
		}
	}
	return nil
}
