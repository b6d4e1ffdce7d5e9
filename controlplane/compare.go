package controlplane

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"nuage/api"
	"nuage/storage"
)

// comparisons implements api.Comparisons.
type comparisons struct{ cp *ControlPlane }

// subject is one column, with the nouns whose work counts as its own: an instance's key, groups, volumes and network, an app's database.
type subject struct {
	api.Subject
	meta api.Meta
	own  map[string]bool // noun/name
}

func (c comparisons) Compare(ctx context.Context, project string, names []string) (api.Comparison, error) {
	out := api.Comparison{Subjects: []api.Subject{}, Layers: []api.ComparisonLayer{}, Measures: []api.Measure{}}
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
	out.Measures, err = c.measures(w, subjects, works, figures)
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
	add := func(noun, model string, m api.Meta, own ...string) {
		s := subject{Subject: api.Subject{Name: m.Name, Noun: noun, Model: model}, meta: m, own: map[string]bool{noun + "/" + m.Name: true}}
		for _, o := range own {
			s.own[o] = true
		}
		if m.Project == project {
			out = append(out, s)
		}
	}
	for _, i := range w.instances {
		own := []string{"key/" + i.Spec.Key}
		for _, g := range groupsOf(i) {
			own = append(own, "security-group/"+g)
		}
		for _, v := range i.Spec.Volumes {
			own = append(own, "volume/"+v.Volume)
		}
		if i.Spec.Network != "" && i.Spec.Network != defaultNetwork {
			own = append(own, "network/"+i.Spec.Network)
		}
		add("instance", "iaas", i.Meta, own...)
	}
	for _, a := range w.apps {
		add("app", "paas", a.Meta, "database/"+a.Spec.Database)
	}
	for _, f := range w.functions {
		own := []string{}
		for _, d := range f.Spec.Databases {
			own = append(own, "database/"+d)
		}
		for _, t := range w.triggers {
			if t.Project == f.Project && t.Spec.Function == f.Name {
				own = append(own, "trigger/"+t.Name)
			}
		}
		add("function", "faas", f.Meta, own...)
	}
	return out
}

// choose finds the subjects named, all where none is.
func (w *world) choose(project string, names []string) ([]subject, error) {
	known := w.subjects(project)
	if len(names) == 0 {
		return known, nil
	}
	var out []subject
	for _, name := range names {
		s, err := oneSubject(known, project, name)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func oneSubject(known []subject, project, name string) (subject, error) {
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

// did tells whether a recorded piece of work was for the subject.
func (s subject) did(a api.Activity) bool {
	return s.own[a.Noun+"/"+a.Resource]
}

func (s subject) cell(layer api.Layer, works []api.Activity) api.ComparisonCell {
	c := api.ComparisonCell{Subject: s.Name, Published: published(layer, s.Model), Recorded: "none"}
	for _, a := range works {
		if a.Layer != layer || !s.did(a) {
			continue
		}
		if a.Actor.Kind == api.Customer {
			c.Customer++
		} else {
			c.Platform++
		}
		c.Example = strings.TrimSpace(fmt.Sprintf("%s: %s %s %s %s", a.Actor.Kind, a.Verb, a.Noun, a.Resource, a.Detail))
	}
	switch {
	case c.Customer > 0 && c.Platform > 0:
		c.Recorded = "shared"
	case c.Customer > 0:
		c.Recorded = string(api.Customer)
	case c.Platform > 0:
		c.Recorded = string(api.Platform)
	}
	return c
}

// published is the responsibility matrix that the field publishes: Microsoft's "Shared responsibility in the cloud"
// (January 2026) for the rows and columns it has, with NIST SP 800-145 for virtualization; the column faas and the rows
// scaling and runtime are a synthesis of ours, as Microsoft lists functions under PaaS.
func published(layer api.Layer, model string) string {
	column := map[string]int{"iaas": 0, "paas": 1, "faas": 2}[model]
	rows := map[api.Layer]string{
		api.LayerData: "CCC", api.LayerConfiguration: "CCC", api.LayerIdentities: "CCC", api.LayerClientDevices: "CCC",
		api.LayerApplication: "CSC", api.LayerScaling: "CSP", api.LayerRuntime: "CPP", api.LayerOperatingSystem: "CPP",
		api.LayerNetworkControls: "CSP", api.LayerVirtualization: "PPP", api.LayerPhysical: "PPP",
	}
	switch rows[layer][column] {
	case 'C':
		return string(api.Customer)
	case 'S':
		return "shared"
	}
	return string(api.Platform)
}

// measures are the figures below the matrix: counted, computed from the bill, or measured from outside.
func (c comparisons) measures(w *world, subjects []subject, works []api.Activity, stored []measured) ([]api.Measure, error) {
	steps := api.Measure{Name: "steps by the customer", Unit: "count", Values: map[string]string{}}
	platform := api.Measure{Name: "steps by the platform", Unit: "count", Values: map[string]string{}}
	minutes := api.Measure{Name: "customer's first to last step", Unit: "s", Values: map[string]string{}}
	for _, s := range subjects {
		mine, theirs, span := s.effort(works)
		steps.Values[s.Name], platform.Values[s.Name], minutes.Values[s.Name] = itoa(mine), itoa(theirs), decimalSeconds(span)
	}
	out := []api.Measure{steps, platform, minutes}
	out = append(out, measurements(subjects, stored)...)
	cost, err := c.cost(w, subjects)
	return append(out, cost), err
}

// effort counts steps; span is from the customer's first step to the last.
func (s subject) effort(works []api.Activity) (mine, theirs int, span time.Duration) {
	var first, last time.Time
	for _, a := range works {
		switch {
		case !s.did(a):
		case a.Actor.Kind == api.Platform:
			theirs++
		default:
			mine++
			if first.IsZero() {
				first = a.Time
			}
			last = a.Time
		}
	}
	return mine, theirs, last.Sub(first)
}

func decimalSeconds(d time.Duration) string { return millis(d.Microseconds() / 1000) }

// measurements groups what was measured from outside by name.
func measurements(subjects []subject, stored []measured) []api.Measure {
	var out []api.Measure
	for _, m := range stored {
		if !slices.ContainsFunc(subjects, func(s subject) bool { return s.Name == m.Subject }) {
			continue
		}
		at := slices.IndexFunc(out, func(o api.Measure) bool { return o.Name == m.Name && o.Unit == m.Unit })
		if at < 0 {
			out = append(out, api.Measure{Name: m.Name, Unit: m.Unit, Values: map[string]string{}})
			at = len(out) - 1
		}
		out[at].Values[m.Subject] = m.Value
	}
	slices.SortFunc(out, func(a, b api.Measure) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// cost is what each subject has cost in this period so far, its databases included; what had its name before is not.
func (c comparisons) cost(w *world, subjects []subject) (api.Measure, error) {
	out := api.Measure{Name: "cost so far", Unit: "USD", Values: map[string]string{}}
	there := w.ids()
	if len(subjects) == 0 {
		return out, nil
	}
	bill, err := c.cp.bill(api.BillQuery{Project: subjects[0].meta.Project})
	if err != nil {
		return out, err
	}
	for _, s := range subjects {
		var costs []string
		for _, l := range bill.Lines {
			if there[l.ResourceID] && s.own[strings.TrimSuffix(l.Service, "s")+"/"+l.Resource] {
				costs = append(costs, l.Cost)
			}
		}
		if out.Values[s.Name], err = addMoney(costs); err != nil {
			return out, err
		}
	}
	return out, nil
}

// ids are the ids of all that is on a bill and is still there.
func (w *world) ids() map[string]bool {
	ids := map[string]bool{}
	for _, i := range w.instances {
		ids[i.ID] = true
	}
	for _, a := range w.apps {
		ids[a.ID] = true
	}
	for _, d := range w.databases {
		ids[d.ID] = true
	}
	for _, f := range w.functions {
		ids[f.ID] = true
	}
	return ids
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
	s, err := oneSubject(w.subjects(project), project, m.Subject)
	if err != nil {
		return err
	}
	m.Subject = s.Name
	if m.At.IsZero() {
		m.At = c.cp.Now().UTC()
	}
	// Measuring is no work on any layer, so it is no activity.
	return c.cp.Store.Update(func(tx *storage.Tx) error {
		return measureTable.Put(tx, measured{Project: project, Measurement: m})
	})
}
