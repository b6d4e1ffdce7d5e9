package controlplane

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/guest/link"
	"nuage/storage"
)

//go:embed advisories.json
var advisoryFeed []byte

// advisoryVerbs implements api.Advisories.
type advisoryVerbs struct{ cp *ControlPlane }

// finding is a planted package as it is stored.
type finding struct {
	ID      string `json:"id"` // of what it was planted in
	Project string `json:"project"`
	Release int    `json:"release,omitempty"` // of an app: the one without it
	Renewed bool   `json:"renewed,omitempty"` // of a database: its server was made anew
	Planted bool   `json:"planted,omitempty"` // it is in all containers; until then nobody looks
	api.Finding
}

func (f finding) key() string { return f.Project + "/" + f.ID + "/" + f.Advisory }

// scanEvery is how often the loop looks into what is still vulnerable.
const scanEvery = 3 * time.Second

func feed() ([]api.Advisory, error) {
	var all []api.Advisory
	err := json.Unmarshal(advisoryFeed, &all)
	return all, err
}

func advisory(id string) (api.Advisory, error) {
	all, err := feed()
	if err != nil {
		return api.Advisory{}, err
	}
	if i := slices.IndexFunc(all, func(a api.Advisory) bool { return a.ID == id }); i >= 0 {
		return all[i], nil
	}
	return api.Advisory{}, api.Errorf(api.NotFound, "cannot find advisory %q: nuage advisory list has them all", id)
}

func (v advisoryVerbs) Feed(ctx context.Context) (api.List[api.Advisory], error) {
	if _, err := v.cp.actor(ctx); err != nil {
		return api.List[api.Advisory]{Items: []api.Advisory{}}, err
	}
	all, err := feed()
	return api.List[api.Advisory]{Items: all}, err
}

func (v advisoryVerbs) Findings(ctx context.Context, project string) (api.List[api.Finding], error) {
	out := api.List[api.Finding]{Items: []api.Finding{}}
	if _, err := v.cp.authorize(ctx, project); err != nil {
		return out, err
	}
	found, err := v.cp.findings(project)
	for _, f := range found {
		if f.Planted {
			out.Items = append(out.Items, f.Finding)
		}
	}
	return out, err
}

// findings are those of a project, oldest first.
func (cp *ControlPlane) findings(project string) (out []finding, err error) {
	err = cp.Store.View(func(tx *storage.Tx) error {
		return findingTable.Each(tx, project+"/", func(f finding) error { out = append(out, f); return nil })
	})
	slices.SortStableFunc(out, func(a, b finding) int { return a.PlantedAt.Compare(b.PlantedAt) })
	return out, err
}

func (v advisoryVerbs) Plant(ctx context.Context, project string, p api.Planting) (api.List[api.Finding], error) {
	out := api.List[api.Finding]{Items: []api.Finding{}}
	actor, err := v.cp.authorize(ctx, project)
	if err != nil {
		return out, err
	}
	a, err := advisory(p.Advisory)
	if err != nil {
		return out, err
	}
	if _, ok := v.cp.Engine.(compute.Execer); !ok {
		return out, api.Errorf(api.Unsupported, "cannot plant %s: the simulator runs nothing that it could be in; use --engine docker", a.Package)
	}
	w, err := v.cp.read()
	if err != nil {
		return out, err
	}
	if err := v.cp.look(ctx, w); err != nil {
		return out, err
	}
	var chosen []finding
	for _, name := range p.Subjects {
		f, err := w.plantable(project, name)
		if err != nil {
			return out, err
		}
		f.Advisory, f.State, f.PlantedAt = a.ID, api.Vulnerable, v.cp.Now().UTC()
		f.Reason = waitsForPatch(f.Noun)
		chosen = append(chosen, f)
	}
	for _, f := range chosen {
		if err := v.plant(ctx, w, actor, a, f); err != nil {
			return out, err
		}
		out.Items = append(out.Items, f.Finding)
	}
	return out, nil
}

func waitsForPatch(noun string) string {
	if noun == "instance" {
		return "its owner has to remove or upgrade it: the system is the customer's"
	}
	return "the platform is about to patch it"
}

// plantable finds an instance, app or database.
func (w *world) plantable(project, name string) (finding, error) {
	var found []finding
	add := func(noun, model string, m api.Meta) {
		if m.Project == project && m.DeletedAt == nil && (name == m.Name || name == noun+"/"+m.Name) {
			found = append(found, finding{ID: m.ID, Project: project, Finding: api.Finding{Noun: noun, Resource: m.Name, Model: model}})
		}
	}
	for _, i := range w.instances {
		add("instance", "iaas", i.Meta)
	}
	for _, a := range w.apps {
		add("app", "paas", a.Meta)
	}
	for _, d := range w.databases {
		add("database", "paas", d.Meta)
	}
	switch len(found) {
	case 0:
		return finding{}, api.Errorf(api.NotFound, "cannot find instance, app or database %q in project %q; a function has no system of its own that something could be planted in", name, project)
	case 1:
		return found[0], nil
	}
	return finding{}, api.Errorf(api.Conflict, "cannot tell which %q is meant: say %s/%s or %s/%s", name, found[0].Noun, name, found[1].Noun, name)
}

// plant writes the finding down, puts the package there, and says that it is; in this order, so that nothing is planted that nobody knows of.
func (v advisoryVerbs) plant(ctx context.Context, w *world, actor api.Actor, a api.Advisory, f finding) error {
	places := w.containersOf(f)
	if len(places) == 0 {
		return api.Errorf(api.Conflict, "cannot plant %s in %s %q: it does not run", a.Package, f.Noun, f.Resource)
	}
	err := v.cp.Store.Update(func(tx *storage.Tx) error {
		if err := findingTable.Put(tx, f); err != nil {
			return err
		}
		m := api.Meta{Project: f.Project, Name: a.ID}
		return v.cp.record(tx, actor, "advisory", &m, "plant", fmt.Sprintf("%s %s in %s %s", a.Package, a.Affected, f.Noun, f.Resource))
	})
	if err != nil {
		return err
	}
	for _, id := range places {
		line := fmt.Sprintf("mkdir -p %s && echo %s > %s", path.Dir(a.File), a.Affected, a.File)
		if _, err := v.cp.inside(ctx, f.Noun, id, line); err != nil {
			return api.Errorf(api.CodeOf(err), "cannot plant %s in %s %q: %w", a.Package, f.Noun, f.Resource, err)
		}
	}
	f.Planted = true
	err = v.cp.Store.Update(func(tx *storage.Tx) error { return findingTable.Put(tx, f) })
	v.cp.loop.wake()
	return err
}

// containersOf are the containers of a resource that run and serve.
func (w *world) containersOf(f finding) []string {
	if f.Noun != "app" {
		if _, ok := w.running(f.ID); ok {
			return []string{f.ID}
		}
		return nil
	}
	var out []string
	for _, o := range w.by.observed[f.ID] {
		if o.State == compute.StateRunning && w.wanted[o.ID] && o.Kind == compute.KindApp {
			out = append(out, o.ID)
		}
	}
	return out
}

// inside runs a shell line as root in a container: in a machine through its guest, elsewhere through the engine.
func (cp *ControlPlane) inside(ctx context.Context, noun, id, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var out, said bytes.Buffer
	var status int
	var err error
	if noun == "instance" {
		status, err = cp.guests.exec(ctx, id, link.Command{Args: []string{"/bin/sh", "-c", line}}, link.Stdio{Stdout: &out, Stderr: &said})
	} else {
		engine, ok := cp.Engine.(compute.Execer)
		if !ok {
			return "", api.Errorf(api.Unsupported, "the engine runs nothing")
		}
		status, err = engine.Exec(ctx, id, compute.Process{Command: []string{"/bin/sh", "-c", line}, User: "0", Stdout: &out, Stderr: &said})
	}
	if err == nil && status != 0 {
		err = api.Errorf(api.Conflict, "the command ended with status %d: %s", status, clip(lastWords(said.String())))
	}
	return strings.TrimSpace(out.String()), err
}
