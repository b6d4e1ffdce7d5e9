package controlplane

import (
	"context"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

// imagesKept is how many of the images built for an app stay, so that a rollback is quick.
const imagesKept = 5

// oldImages names the images built for an app that are neither in use nor among the newest.
func (w *world) oldImages(a api.App) []string {
	keep, seen := map[string]bool{}, map[string]bool{}
	for _, n := range w.live(a) {
		keep[w.releases[releaseKey(a.ID, n)].Tag] = true
	}
	all := w.by.releases[a.ID]
	var old []string
	for i := len(all) - 1; i >= 0; i-- {
		tag := all[i].Tag
		if tag == "" || seen[tag] {
			continue
		}
		seen[tag] = true
		if len(seen) > imagesKept && !keep[tag] {
			old = append(old, tag)
		}
	}
	return old
}

// dropImages removes images and notes in their releases that nobody can go back to them.
func (cp *ControlPlane) dropImages(ctx context.Context, a api.App, tags []string) error {
	engine, ok := cp.Engine.(compute.Images)
	if !ok {
		return nil
	}
	gone := map[string]bool{}
	for _, tag := range tags {
		if err := engine.RemoveImage(ctx, tag); err != nil {
			return err
		}
		gone[tag] = true
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		return releaseTable.Each(tx, a.ID+"/", func(r release) error {
			if !gone[r.Tag] {
				return nil
			}
			r.Image, r.Tag, r.Reason = "", "", "its image is no longer kept: deploy the source again"
			return releaseTable.Put(tx, r)
		})
	})
}
