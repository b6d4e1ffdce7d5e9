package controlplane

import (
	"slices"
	"strings"

	"nuage/api"
	"nuage/storage"
)

// protect marks the nouns of which something in the store can't be read. What belongs to them is left alone: not
// made, not changed, not removed, and metered on.
func (w *world) protect(damages []storage.Damage) {
	for _, d := range damages {
		switch d.Name {
		case trackTable.Name(), cursorTable.Name(), replayTable.Name(), measureTable.Name(), settingTable.Name(), labRunTable.Name():
			continue // nothing is planned from these
		case runTable.Name():
			w.lostRuns[d.Key] = true
			continue
		}
		id, _, _ := strings.Cut(d.Key, "/") // a release's key begins with its app's
		w.damaged[id] = true
	}
	for _, i := range w.instances {
		w.keepSafe(i.Meta, w.knows(i))
	}
	w.protectFleets()
	for _, v := range w.volumes {
		w.keepSafe(v.Meta, w.disks[v.ID].ID != "")
	}
	for _, s := range w.snapshots {
		w.keepSafe(s.Meta, w.disks[s.ID].ID != "")
	}
	for _, g := range w.images {
		w.keepSafe(g.Meta, w.disks[g.ID].ID != "")
	}
	for _, d := range w.databases {
		_, known := w.logins[d.ID]
		w.keepSafe(d.Meta, known)
	}
	for _, b := range w.backups {
		w.keepSafe(b.Meta, w.dumps[b.ID].ID != "")
	}
	for _, a := range w.apps {
		w.keepSafe(a.Meta, w.whole(a))
	}
}

// knows tells that all an instance's plan is made of is known.
func (w *world) knows(i api.Instance) bool {
	_, known := w.machines[i.ID]
	_, placed := w.by.networks[w.networkOf(i)]
	for _, m := range i.Spec.Volumes {
		v, there := w.volumes[i.Project+"/"+m.Volume]
		if !there || w.disks[v.ID].ID == "" {
			return false
		}
	}
	return known && placed
}

// keepSafe marks a noun unless all about it is known. One that its owner has deleted is not kept.
func (w *world) keepSafe(m api.Meta, known bool) {
	if m.DeletedAt != nil {
		delete(w.damaged, m.ID)
	} else if !known || !w.has(m.Project) {
		w.damaged[m.ID] = true
	}
}

func (w *world) has(project string) bool {
	_, ok := w.projects[project]
	return ok
}

// whole tells that an app's network, all its releases that run, and the databases bound to them, are known.
func (w *world) whole(a api.App) bool {
	if w.appNetworks[a.ID].CIDR == "" {
		return false
	}
	for _, n := range w.live(a) {
		r, ok := w.releases[releaseKey(a.ID, n)]
		if !ok {
			return false
		}
		if _, there := w.vaults[vaultKey(a.ID, r.Spec.SecretsVersion)]; !there && r.Spec.SecretsVersion != 0 {
			return false
		}
		d, ok := w.by.databases[a.Project+"/"+r.Spec.Database]
		if r.Spec.Database != "" && (!ok || w.damaged[d.ID]) {
			return false
		}
	}
	return true
}

// live numbers the releases of an app that have replicas: those that serve, the one being deployed, those being drained, those that come back.
func (w *world) live(a api.App) []int {
	var out []int
	for _, s := range sharesOf(a) {
		out = append(out, s.Release)
	}
	if a.Status.Target != 0 {
		out = append(out, a.Status.Target)
	}
	for _, d := range w.drains[a.ID] {
		out = append(out, d.Release)
	}
	for _, n := range w.comebacks[a.ID].Releases {
		if !slices.Contains(out, n) { // it may drain still
			out = append(out, n)
		}
	}
	return out
}
