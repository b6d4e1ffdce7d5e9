package controlplane

import (
	"context"
	"errors"

	"nuage/api"
	"nuage/storage"
)

const defaultProject = "default"

// actor returns who acts. Unauthenticated: nobody.
func (cp *ControlPlane) actor(ctx context.Context) (api.Actor, error) {
	actor, ok := api.ActorFrom(ctx)
	if !ok {
		return actor, api.Errorf(api.Unauthenticated, "cannot tell who asks: send a token")
	}
	return actor, nil
}

// authorize returns who acts, if they may act on the project.
func (cp *ControlPlane) authorize(ctx context.Context, project string) (api.Actor, error) {
	actor, err := cp.actor(ctx)
	if err != nil {
		return actor, err
	}
	_, err = narrow(actor, project)
	return actor, err
}

// narrow limits a query to the project of a limited token. Forbidden: another project was asked for.
func narrow(actor api.Actor, project string) (string, error) {
	switch {
	case actor.Project == "" || actor.Project == project:
		return project, nil
	case project == "":
		return actor.Project, nil
	}
	return "", api.Errorf(api.Forbidden, "cannot use project %q: the token is limited to project %q", project, actor.Project)
}

// wholeCloud refuses tokens limited to a project.
func (cp *ControlPlane) wholeCloud(ctx context.Context, what string) (api.Actor, error) {
	actor, err := cp.actor(ctx)
	if err == nil && actor.Project != "" {
		err = api.Errorf(api.Forbidden, "cannot %s: the token is limited to project %q", what, actor.Project)
	}
	return actor, err
}

func (cp *ControlPlane) projectExists(tx *storage.Tx, name string) error {
	p, err := projectTable.GetBy(tx, "name", name)
	if api.CodeOf(err) == api.NotFound || err == nil && p.DeletedAt != nil {
		return api.Errorf(api.NotFound, "cannot find project %q: `nuage project list` shows what there is", name)
	}
	return err
}

// projects implements api.Projects.
type projects struct{ cp *ControlPlane }

func (p projects) Create(ctx context.Context, name string, spec api.ProjectSpec) (api.Project, error) {
	actor, err := p.cp.wholeCloud(ctx, "create a project")
	if err != nil {
		return api.Project{}, err
	}
	if err := api.CheckName("project", name); err != nil {
		return api.Project{}, err
	}
	if err := checkProject(name, spec); err != nil {
		return api.Project{}, err
	}
	var made api.Project
	err = p.cp.Store.Update(func(tx *storage.Tx) (err error) {
		made, err = p.cp.addProject(tx, actor, name, spec)
		return err
	})
	if err != nil {
		return made, err
	}
	return made, p.cp.limitCalls()
}

// limitCalls tells the invoker how many calls at once each project may have.
func (cp *ControlPlane) limitCalls() error {
	cp.limiting.Lock()
	defer cp.limiting.Unlock()
	return cp.Store.View(func(tx *storage.Tx) error {
		return projectTable.Each(tx, "", func(p api.Project) error {
			cp.invoker.LimitProject(p.Name, p.Spec.Concurrency)
			return nil
		})
	})
}

// addProject stores a project with its default network and security group.
func (cp *ControlPlane) addProject(tx *storage.Tx, actor api.Actor, name string, spec api.ProjectSpec) (api.Project, error) {
	if _, err := projectTable.GetBy(tx, "name", name); err == nil {
		return api.Project{}, api.Errorf(api.Conflict, "cannot create project %q: the name is taken", name)
	}
	cidr, err := cp.freeRange(tx, "")
	if err != nil {
		return api.Project{}, err
	}
	now := cp.Now().UTC()
	meta := api.Meta{ID: cp.NewID("net"), Name: name, Project: name, Generation: 1, CreatedAt: now}
	made := api.Project{Meta: meta, Spec: spec, Status: api.ProjectStatus{CIDR: cidr,
		Status: api.Status{Phase: api.Running, Reason: "ready", Generation: 1, ObservedAt: &now}}}
	made.ID = cp.NewID("prj")
	if err := projectTable.Insert(tx, made); err != nil {
		return made, err
	}
	if err := cp.record(tx, actor, "project", &made.Meta, "create", ""); err != nil {
		return made, err
	}
	group := api.SecurityGroup{Meta: api.Meta{ID: cp.NewID("sg"), Name: "default", Project: name, Generation: 1, CreatedAt: now},
		Status: api.Status{Phase: api.Running, Reason: "in force", Generation: 1, ObservedAt: &now},
		Spec: api.SecurityGroupSpec{Description: "SSH from anywhere, all from its own members", Rules: []api.Rule{
			{Protocol: "tcp", FromPort: 22, ToPort: 22, CIDR: "0.0.0.0/0"}, {Protocol: "all", Group: "default"}}}}
	if err := groupTable.Insert(tx, group); err != nil {
		return made, err
	}
	return made, cp.addDefaultNetwork(tx, made)
}

func (p projects) Get(ctx context.Context, name string) (api.Project, error) {
	var found api.Project
	if _, err := p.cp.authorize(ctx, name); err != nil {
		return found, err
	}
	err := p.cp.Store.View(func(tx *storage.Tx) (err error) {
		if err = p.cp.projectExists(tx, name); err == nil {
			found, err = projectTable.GetBy(tx, "name", name)
		}
		if err == nil {
			err = withUse(tx, &found)
		}
		return err
	})
	return found, err
}

func (p projects) List(ctx context.Context, page api.Page) (api.List[api.Project], error) {
	out := api.List[api.Project]{Items: []api.Project{}}
	actor, err := p.cp.actor(ctx)
	if err != nil {
		return out, err
	}
	if actor.Project != "" {
		only, err := p.Get(ctx, actor.Project)
		return api.List[api.Project]{Items: []api.Project{only}}, err
	}
	limit, err := pageLimit(page)
	if err != nil {
		return out, err
	}
	err = p.cp.Store.View(func(tx *storage.Tx) error {
		found, err := projectTable.ListBy(tx, "name", storage.Query{After: page.After, Limit: limit})
		if err == nil && found.Items != nil {
			out = api.List[api.Project]{Items: found.Items, Next: found.Next}
		}
		for i := range out.Items {
			err = errors.Join(err, withUse(tx, &out.Items[i]))
		}
		return err
	})
	return out, err
}

// Update replaces description and quota.
func (p projects) Update(ctx context.Context, name string, spec api.ProjectSpec, generation int64) (api.Project, error) {
	actor, err := p.cp.wholeCloud(ctx, "change a project")
	if err != nil {
		return api.Project{}, err
	}
	if err := checkProject(name, spec); err != nil {
		return api.Project{}, err
	}
	var now api.Project
	err = p.cp.Store.Update(func(tx *storage.Tx) error {
		if err := p.cp.projectExists(tx, name); err != nil {
			return err
		}
		if now, err = projectTable.GetBy(tx, "name", name); err != nil {
			return err
		}
		if generation != 0 && generation != now.Generation {
			return api.Errorf(api.Conflict, "cannot change project %q: it is at generation %d, not %d; read it again", name, now.Generation, generation)
		}
		if same(now.Spec, spec) {
			return nil
		}
		now.Spec = spec
		now.Generation++
		ready(&now.Status.Status, now.Generation, "ready")
		if err := projectTable.Put(tx, now); err != nil {
			return err
		}
		return p.cp.record(tx, actor, "project", &now.Meta, "update", "")
	})
	if err != nil {
		return api.Project{}, err
	}
	if err := p.cp.limitCalls(); err != nil {
		return now, err
	}
	return now, p.cp.Store.View(func(tx *storage.Tx) error { return withUse(tx, &now) })
}

func (p projects) Delete(ctx context.Context, name string) error {
	actor, err := p.cp.wholeCloud(ctx, "delete a project")
	if err != nil {
		return err
	}
	if name == defaultProject {
		return api.Errorf(api.Conflict, "cannot delete project %q: it is the cloud's first", name)
	}
	return p.cp.Store.Update(func(tx *storage.Tx) error {
		if err := p.cp.projectExists(tx, name); err != nil {
			return err
		}
		if err := emptyProject(tx, name); err != nil {
			return err
		}
		found, err := projectTable.GetBy(tx, "name", name)
		if err != nil {
			return err
		}
		if err := dropAll(tx, keyTable, name); err != nil {
			return err
		}
		if err := errors.Join(dropAll(tx, groupTable, name), dropAll(tx, budgetTable, name)); err != nil {
			return err
		}
		if err := dropNetworks(tx, name); err != nil {
			return err
		}
		if err := forgetProject(tx, name); err != nil {
			return err
		}
		if err := p.cp.record(tx, actor, "project", &found.Meta, "delete", ""); err != nil {
			return err
		}
		return projectTable.Delete(tx, found.ID)
	})
}

// emptyProject refuses a project that still has something that runs or holds data. Keys, groups, budgets and networks go with it.
func emptyProject(tx *storage.Tx, name string) error {
	for _, left := range []struct {
		noun string
		any  func() (string, error)
	}{
		{"load balancer", func() (string, error) { return firstOf(tx, balancerTable, name) }},
		{"instance group", func() (string, error) { return firstOf(tx, fleetTable, name) }},
		{"instance", func() (string, error) { return firstOf(tx, instanceTable, name) }},
		{"app", func() (string, error) { return firstOf(tx, appTable, name) }},
		{"database", func() (string, error) { return firstOf(tx, databaseTable, name) }},
		{"backup", func() (string, error) { return firstOf(tx, backupTable, name) }},
		{"auth pool", func() (string, error) { return firstOf(tx, poolTable, name) }},
		{"function", func() (string, error) { return firstOf(tx, functionTable, name) }},
		{"trigger", func() (string, error) { return firstOf(tx, triggerTable, name) }},
		{"queue", func() (string, error) { return firstOf(tx, queueTable, name) }},
		{"topic", func() (string, error) { return firstOf(tx, topicTable, name) }},
		{"volume", func() (string, error) { return firstOf(tx, volumeTable, name) }},
		{"snapshot", func() (string, error) { return firstOf(tx, snapshotTable, name) }},
		{"image", func() (string, error) { return firstOf(tx, imageTable, name) }},
	} {
		first, err := left.any()
		if err != nil {
			return err
		}
		if first != "" {
			return api.Errorf(api.Conflict, "cannot delete project %q: it still has %s %q; delete that first", name, left.noun, first)
		}
	}
	return nil
}

func firstOf[T any](tx *storage.Tx, table *storage.Table[T], project string) (string, error) {
	p, err := table.ListBy(tx, "name", storage.Query{Prefix: project + "/", Limit: 1})
	if err != nil || len(p.Items) == 0 {
		return "", err
	}
	return head(&p.Items[0]).Name, nil
}

// forgetProject removes what is kept under a project's name, so that a later project of that name has none of it.
// Tokens limited to it let nobody in any more: they name its id.
func forgetProject(tx *storage.Tx, name string) error {
	err := measureTable.Each(tx, name+"/", func(m measured) error { return measureTable.Delete(tx, m.key()) })
	if err != nil {
		return err
	}
	err = findingTable.Each(tx, name+"/", func(f finding) error { return findingTable.Delete(tx, f.key()) })
	if err != nil {
		return err
	}
	return erase(tx, settingTable, hostsKey(name))
}

func dropAll[T any](tx *storage.Tx, table *storage.Table[T], project string) error {
	p, err := table.ListBy(tx, "name", storage.Query{Prefix: project + "/"})
	if err != nil {
		return err
	}
	for i := range p.Items {
		if err := table.Delete(tx, head(&p.Items[i]).ID); err != nil {
			return err
		}
	}
	return nil
}
