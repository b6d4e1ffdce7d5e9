package controlplane

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nuage/api"
	"nuage/storage"
)

const (
	houseEvery  = 10 * time.Minute
	keepUnused  = time.Hour      // an upload may wait so long for the deploy that names it
	keepReplays = 24 * time.Hour // idempotency keys
)

// keepHouse removes, now and then, what nothing refers to any more: uploads, unpacked code, old idempotency keys; and it rolls up
// what calls used, and lets old receipts go.
func (cp *ControlPlane) keepHouse(ctx context.Context) {
	if cp.Now().Before(cp.houseDue) {
		return
	}
	cp.loop.dispatch(ctx, "housekeeping", 5*time.Minute, func(context.Context) error { return cp.tidy() })
	cp.houseDue = cp.Now().Add(houseEvery)
}

func (cp *ControlPlane) tidy() error {
	sources, code, err := cp.referenced()
	if err != nil {
		return err
	}
	return errors.Join(cp.tidyBlobs(sources), cp.tidyCode(code), cp.Store.Update(cp.tidyReplays), cp.tidySessions(), cp.rollUp(), cp.tidyReceipts())
}

// referenced names the sources that may be needed again, and those of them whose code lies unpacked. Unavailable: a
// record that could name one does not decode.
func (cp *ControlPlane) referenced() (sources, code map[string]bool, err error) {
	sources, code = map[string]bool{}, map[string]bool{}
	err = cp.Store.View(func(tx *storage.Tx) error {
		return errors.Join(
			appTable.Each(tx, "", func(a api.App) error { sources[a.Spec.Source] = true; return nil }),
			releaseTable.Each(tx, "", func(r release) error {
				if r.State == building || r.Image != "" {
					sources[r.Spec.Source] = true
				}
				return nil
			}),
			functionTable.Each(tx, "", func(f api.Function) error {
				sources[f.Spec.Source], code[strings.TrimPrefix(f.Spec.Source, "src-")] = true, true
				return nil
			}),
			functionVersionTable.Each(tx, "", func(v functionVersion) error {
				sources[v.Spec.Source], code[strings.TrimPrefix(v.Spec.Source, "src-")] = true, true
				return nil
			}))
	})
	for _, d := range cp.Store.Damaged() {
		switch d.Name {
		case appTable.Name(), releaseTable.Name(), functionTable.Name(), functionVersionTable.Name():
			return nil, nil, api.Errorf(api.Unavailable, "cannot tell which sources are in use: %s %q does not decode", d.Name, d.Key)
		}
	}
	return sources, code, err
}

func (cp *ControlPlane) tidyBlobs(keep map[string]bool) error {
	files, err := os.ReadDir(cp.BlobDir)
	for _, f := range files {
		info, gone := f.Info()
		if gone != nil || f.IsDir() || keep[strings.TrimSuffix(f.Name(), ".tar")] || cp.Now().Sub(info.ModTime()) < keepUnused {
			continue
		}
		err = errors.Join(err, os.Remove(filepath.Join(cp.BlobDir, f.Name())))
	}
	return err
}

// tidyCode removes unpacked code an hour after it was first found unused: calls of an earlier version may still read it.
func (cp *ControlPlane) tidyCode(keep map[string]bool) error {
	dir := filepath.Join(cp.CacheDir, "code")
	folders, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unused := map[string]time.Time{}
	for _, f := range folders {
		since, known := cp.unused[f.Name()]
		switch {
		case keep[f.Name()]:
		case !known:
			unused[f.Name()] = cp.Now()
		case cp.Now().Sub(since) < keepUnused:
			unused[f.Name()] = since
		default:
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, f.Name())))
		}
	}
	cp.unused = unused
	return err
}

func (cp *ControlPlane) tidyReplays(tx *storage.Tx) error {
	return replayTable.Each(tx, "", func(r replay) error {
		if cp.Now().Sub(r.At) < keepReplays {
			return nil
		}
		return replayTable.Delete(tx, r.Key)
	})
}
