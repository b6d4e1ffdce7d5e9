package controlplane

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"nuage/api"
	"nuage/storage"
)

// comparisons implements api.Comparisons.
type comparisons struct{ cp *ControlPlane }

// subject is one column, with the things whose work counts as its own: an instance's key, groups, volumes and network, an app's
// database.
type subject struct {
	api.Subject
	meta  api.Meta
	own   map[string]string // noun/name: id
	whole bool              // it is the project: everything is its own
}

func (s subject) add(noun string, m api.Meta) { s.own[noun+"/"+m.Name] = m.ID }

// did tells whether a recorded piece of work was for the subject, and not for an earlier thing of the same name.
func (s subject) did(a api.Activity) bool {
	id, ok := s.own[a.Noun+"/"+a.Resource]
	return s.whole || ok && (a.ResourceID == "" || a.ResourceID == id)
}

func (c comparisons) Compare(ctx context.Context, project string, names []string) (api.Comparison, error) {
	out := api.Comparison{Project: project, At: c.cp.Now().UTC(), Subjects: []api.Subject{}, Layers: []api.ComparisonLayer{},
		Measures: []api.Measure{}, Costs: []api.SubjectCost{}, BreakEven: []api.BreakEven{}}
	if _, err := c.cp.authorize(ctx, project); err != nil {
		return out, err
	}
	w, err := c.cp.read()
	if err != nil {
		return out, err
	}
	if _, ok := w.projects[project]; !ok {
		return out, api.Errorf(api.NotFound, "cannot find project %q", project)
	}
	subjects, err := w.choose(project, names)
	if err != nil {
		return out, err
	}
	works, figures, err := c.recorded(w.projects[project])
	if err != nil {
		return out, err
	}
	for _, s := range subjects {
		out.Subjects = append(out.Subjects, s.Subject)
	}
	for _, layer := range api.Layers() {
		row := api.ComparisonLayer{Layer: layer}
		for _, s := range subjects {
			row.Cells = append(row.Cells, s.cell(layer, works))
		}
		out.Layers = append(out.Layers, row)
	}
	if out.Costs, err = c.costs(w, subjects); err != nil {
		return out, err
	}
	out.BreakEven = crossings(out.Costs)
	out.Measures, err = c.measures(w, subjects, works, figures, out.Costs)
	return out, err
}

// recorded reads all activities and measurements of a project, and none of an earlier one that had its name.
func (c comparisons) recorded(project api.Project) (works []api.Activity, figures []measured, err error) {
	err = c.cp.Store.View(func(tx *storage.Tx) error {
		err := activityLog.Each(tx, 0, 0, func(e storage.Entry[api.Activity]) error {
			if e.Value.Project == project.Name && !e.Value.Time.Before(project.CreatedAt) {
				works = append(works, e.Value)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return measureTable.Each(tx, project.Name+"/", func(m measured) error {
			if !m.At.Before(project.CreatedAt) {
				figures = append(figures, m)
			}
			return nil
		})
	})
	return works, figures, err
}

// subjects lists what can be compared in a project.
func (w *world) subjects(project string) []subject {
	var out []subject
	for _, i := range w.instances {
		if i.Project == project {
			out = append(out, w.subjectInstance(i))
		}
	}
	for _, a := range w.apps {
		if a.Project == project {
			s := newSubject("app", "paas", a.Meta)
			w.addDatabase(s, a.Spec.Database)
			if p, ok := w.pools[project+"/"+a.Spec.Auth.Pool]; ok {
				s.add("auth-pool", p.Meta)
			}
			out = append(out, s)
		}
	}
	for _, f := range w.functions {
		if f.Project == project {
			out = append(out, w.subjectFunction(f))
		}
	}
	return out
}

func newSubject(noun, model string, m api.Meta) subject {
	s := subject{Subject: api.Subject{Name: m.Name, Noun: noun, Model: model}, meta: m, own: map[string]string{}}
	s.add(noun, m)
	return s
}

func (w *world) subjectInstance(i api.Instance) subject {
	s := newSubject("instance", "iaas", i.Meta)
	if k, ok := w.keys[i.Project+"/"+i.Spec.Key]; ok {
		s.add("key", k.Meta)
	}
	for _, g := range groupsOf(i) {
		s.add("security-group", w.groups[i.Project+"/"+g].Meta)
	}
	for _, v := range i.Spec.Volumes {
		s.add("volume", w.volumes[i.Project+"/"+v.Volume].Meta)
	}
	if i.Spec.Network != "" && i.Spec.Network != defaultNetwork {
		s.add("network", w.networks[i.Project+"/"+i.Spec.Network].Meta)
	}
	for _, b := range w.balancers {
		if b.Project == i.Project && slices.ContainsFunc(b.Spec.Targets, func(t api.Target) bool { return t.Instance == i.Name }) {
			s.add("load-balancer", b.Meta)
		}
	}
	return s
}

func (w *world) subjectFunction(f api.Function) subject {
	s := newSubject("function", "faas", f.Meta)
	for _, d := range f.Spec.Databases {
		w.addDatabase(s, d)
	}
	for _, t := range w.triggers {
		if t.Project == f.Project && t.Spec.Function == f.Name {
			s.add("trigger", t.Meta)
		}
	}
	return s
}

// addDatabase adds a database and its backups.
func (w *world) addDatabase(s subject, name string) {
	for _, d := range w.databases {
		if d.Project == s.meta.Project && d.Name == name {
			s.add("database", d.Meta)
		}
	}
	for _, b := range w.backups {
		if b.Project == s.meta.Project && b.Spec.Database == name {
			s.add("backup", b.Meta)
		}
	}
}

// choose finds the subjects named, all where none is. Those that share a name are told apart by their noun.
func (w *world) choose(project string, names []string) ([]subject, error) {
	known := w.subjects(project)
	out := known
	if len(names) > 0 {
		out = nil
	}
	for _, name := range names {
		s, err := w.oneSubject(known, project, name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(out, func(o subject) bool { return o.meta.ID == s.meta.ID }) {
			out = append(out, s)
		}
	}
	count := map[string]int{}
	for _, s := range out {
		count[s.meta.Name]++
	}
	for i, s := range out {
		if count[s.meta.Name] > 1 {
			out[i].Name = s.Noun + "/" + s.meta.Name
		}
	}
	return out, nil
}

func (w *world) oneSubject(known []subject, project, name string) (subject, error) {
	if name == "project/"+project {
		s := newSubject("project", "", w.projects[project].Meta)
		s.whole = true
		return s, nil
	}
	var found []subject
	for _, s := range known {
		if name == s.Name || name == s.Noun+"/"+s.Name {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return subject{}, api.Errorf(api.NotFound, "cannot find instance, app or function %q in project %q", name, project)
	case 1:
		return found[0], nil
	}
	return subject{}, api.Errorf(api.Conflict, "cannot tell which %q is meant: say %s/%s or %s/%s", name, found[0].Noun, name, found[1].Noun, name)
}

var decimalNumber = regexp.MustCompile(`^[0-9]{1,12}(\.[0-9]{1,9})?$`)

func (c comparisons) Measure(ctx context.Context, project string, m api.Measurement) error {
	if _, err := c.cp.authorize(ctx, project); err != nil {
		return err
	}
	if !decimalNumber.MatchString(m.Value) || m.Name == "" || len(m.Name) > 60 || len(m.Unit) > 16 {
		return api.Errorf(api.Invalid, "cannot store measurement %q = %q: it needs a name of 1 to 60 characters and a decimal value", m.Name, m.Value)
	}
	w, err := c.cp.read()
	if err != nil {
		return err
	}
	s, err := w.oneSubject(w.subjects(project), project, m.Subject)
	if err != nil {
		return err
	}
	m.Subject = s.Noun + "/" + s.meta.Name
	if m.At.IsZero() {
		m.At = c.cp.Now().UTC()
	}
	// Measuring is no work on any layer, so it is no activity.
	return c.cp.Store.Update(func(tx *storage.Tx) error {
		return measureTable.Put(tx, measured{Project: project, Measurement: m})
	})
}

// of tells that a figure is the subject's, and not one of an earlier thing of the same name. Older figures have no noun.
func (m measured) of(s subject) bool {
	name := strings.TrimPrefix(m.Subject, s.Noun+"/")
	return name == s.meta.Name && !m.At.Before(s.meta.CreatedAt)
}
