package controlplane

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"nuage/api"
	"nuage/storage"
)

// dueTimes says when something is due, by id. It is lost with the process: then it is due.
type dueTimes struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (t *dueTimes) of(id string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at[id]
}

func (t *dueTimes) set(id string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at[id] = at
}

func (cp *ControlPlane) archiveDir(id string) string {
	return filepath.Join(cp.BlobDir, "archives", id)
}

func (cp *ControlPlane) segmentPath(a archive, place uint64) string {
	return filepath.Join(cp.archiveDir(a.ID), segmentName(a.Timeline, place)+".gz")
}

func (cp *ControlPlane) basePath(id string, b base) string {
	return filepath.Join(cp.archiveDir(id), b.ID+".tar.gz")
}

// changeArchive changes an archive and returns it. Its database may have gone.
func (cp *ControlPlane) changeArchive(d api.Database, verb, detail string, change func(*archive)) (a archive, err error) {
	err = cp.Store.Update(func(tx *storage.Tx) error {
		if _, err := databaseTable.Get(tx, d.ID); err != nil {
			return err
		}
		if a, err = archiveTable.Get(tx, d.ID); err != nil && !errors.Is(err, api.NotFound) {
			return err
		}
		if a.ID == "" {
			a.ID, a.Project, a.Since = d.ID, d.Project, cp.Now().UTC()
		}
		change(&a)
		if err := archiveTable.Put(tx, a); err != nil || verb == "" {
			return err
		}
		return cp.record(tx, platform("backup"), "database", &d.Meta, verb, detail)
	})
	return a, err
}

// keepArchive brings the archive of a database up to date: its log first, then a base where one is due, then what is too old goes. forced:
// a mark is wanted though nothing was written.
func (cp *ControlPlane) keepArchive(ctx context.Context, d api.Database, forced bool) error {
	a, err := cp.ship(ctx, d, forced)
	if err != nil {
		return err
	}
	if a.baseDue(d.Spec, cp.Now()) {
		if a, err = cp.makeBase(ctx, d, a); err != nil {
			return err
		}
	}
	if last := a.Bases[len(a.Bases)-1]; !last.Verified && last.Failed == "" {
		if a, err = cp.ship(ctx, d, true); err == nil {
			a, err = cp.verifyBase(ctx, d, a, last)
		}
		if err != nil {
			return err
		}
	}
	return cp.trimArchive(d, a)
}

// ship archives the log of a database up to a mark made now, or leaves it where nothing was written since the last.
func (cp *ControlPlane) ship(ctx context.Context, d api.Database, forced bool) (archive, error) {
	a, state, err := cp.sameLog(ctx, d)
	if err != nil {
		return a, err
	}
	if !forced && state.xmax == a.XMax && state.at.Sub(a.Until) < idleEvery {
		return a, nil
	}
	out, _, err := cp.command(ctx, d.ID, fmt.Sprintf("mark the log of database %q", d.Name), asPostgres("postgres", postgresMark))
	if err != nil {
		return a, err
	}
	mark, err := readWalMark(out)
	if err != nil {
		return a, err
	}
	for a.Place < mark.place {
		if a, err = cp.shipSegment(ctx, d, a, mark.place); err != nil {
			return a, err
		}
	}
	return cp.changeArchive(d, "", "", func(a *archive) { a.XMax, a.Until = mark.xmax, mark.at })
}

// sameLog reads the archive and the state of the log that it is of. Where the server does not keep that any more, as after a long time without
// the control plane, the archive begins anew.
func (cp *ControlPlane) sameLog(ctx context.Context, d api.Database) (a archive, s walState, err error) {
	err = cp.Store.View(func(tx *storage.Tx) (err error) {
		a, err = archiveTable.Get(tx, d.ID)
		return ignoreGone(err)
	})
	if err != nil {
		return a, s, err
	}
	if s, err = cp.logState(ctx, d, a.Place); err != nil {
		return a, s, err
	}
	if a.ID != "" && s.system == a.System && s.timeline == a.Timeline && s.kept != 0 && s.kept <= a.Place {
		return a, s, nil
	}
	return cp.beginArchive(ctx, d, a.ID != "")
}

func (cp *ControlPlane) logState(ctx context.Context, d api.Database, place uint64) (walState, error) {
	out, _, err := cp.command(ctx, d.ID, fmt.Sprintf("look at the log of database %q", d.Name), asPostgres("postgres", postgresLog, "archived="+placeText(place)))
	if err != nil {
		return walState{}, err
	}
	return readWalState(out)
}

// beginArchive has the server keep its log from now on, and forgets what was archived before.
func (cp *ControlPlane) beginArchive(ctx context.Context, d api.Database, again bool) (archive, walState, error) {
	if _, _, err := cp.command(ctx, d.ID, fmt.Sprintf("archive the log of database %q", d.Name), asPostgres("postgres", postgresArchive)); err != nil {
		return archive{}, walState{}, err
	}
	s, err := cp.logState(ctx, d, 0)
	if err != nil {
		return archive{}, s, err
	}
	detail := "the log is archived from now on"
	if again {
		detail = "the server no longer has the log that follows what is archived: the archive begins anew"
	}
	a, err := cp.changeArchive(d, "archive", detail, func(a *archive) {
		first := s.kept - s.kept%segmentBytes
		*a = archive{ID: a.ID, Project: a.Project, System: s.system, Timeline: s.timeline, First: first, Place: first, Bytes: a.Bytes, Since: a.Since}
	})
	return a, s, errors.Join(err, cp.tidyArchive(a))
}

// shipSegment archives the log up to a place, at most to the end of a segment. Each piece is compressed by itself, behind those before: what a
// kill leaves behind the tail is written over.
func (cp *ControlPlane) shipSegment(ctx context.Context, d api.Database, a archive, end uint64) (archive, error) {
	n := min(segmentBytes-a.Place%segmentBytes, end-a.Place)
	path := cp.segmentPath(a, a.Place)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return a, cp.unarchived(d, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return a, cp.unarchived(d, err)
	}
	defer f.Close()
	if err := f.Truncate(a.Tail); err != nil {
		return a, cp.unarchived(d, err)
	}
	if _, err := f.Seek(a.Tail, io.SeekStart); err != nil {
		return a, cp.unarchived(d, err)
	}
	size, err := cp.pipeLog(ctx, d, a, n, f)
	if err != nil {
		return a, err
	}
	if err := errors.Join(f.Sync(), syncDir(filepath.Dir(path))); err != nil {
		return a, cp.unarchived(d, err)
	}
	return cp.changeArchive(d, "", "", func(a *archive) {
		a.Place, a.Tail = a.Place+n, a.Tail+size
		if a.Place%segmentBytes == 0 {
			a.Tail = 0
		}
	})
}

// pipeLog compresses n bytes of the log into out, and returns how many that took.
func (cp *ControlPlane) pipeLog(ctx context.Context, d api.Database, a archive, n uint64, out io.Writer) (int64, error) {
	small := &meteredWriter{to: out}
	zip, err := gzip.NewWriterLevel(small, gzip.BestSpeed)
	if err != nil {
		return 0, err
	}
	big := &meteredWriter{to: zip}
	p := readLog(a.Timeline, a.Place, n)
	p.Stdout = big
	_, _, err = cp.command(ctx, d.ID, fmt.Sprintf("read the log of database %q", d.Name), p)
	switch closed := zip.Close(); {
	case small.err != nil:
		return 0, cp.unarchived(d, small.err)
	case err != nil || closed != nil:
		return 0, errors.Join(err, closed)
	case big.bytes != int64(n):
		return 0, api.Errorf(api.Unavailable, "cannot archive the log of database %q: %d of %d bytes were read", d.Name, big.bytes, n)
	}
	return small.bytes, nil
}

func (cp *ControlPlane) unarchived(d api.Database, err error) error {
	return api.Errorf(api.Unavailable, "cannot archive the log of database %q: %w", d.Name, err)
}

// makeBase copies the files of a server.
func (cp *ControlPlane) makeBase(ctx context.Context, d api.Database, a archive) (archive, error) {
	b := base{ID: cp.NewID("base"), Since: a.Place, Mark: a.Until}
	stored, err := storeFile(cp.basePath(d.ID, b), func(err error) error { return cp.unarchived(d, err) }, func(out io.Writer) error {
		zip, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
		if err != nil {
			return err
		}
		p := baseCopy()
		p.Stdout = zip
		_, _, err = cp.command(ctx, d.ID, fmt.Sprintf("copy the files of database %q", d.Name), p)
		return errors.Join(err, zip.Close())
	})
	if err != nil {
		return a, err
	}
	s, err := cp.logState(ctx, d, a.Place)
	if err != nil {
		return a, err
	}
	b.At, b.SHA256, b.Bytes = s.at, stored.sum, stored.bytes
	return cp.changeArchive(d, "base", "a copy of all files, "+sizeText(b.Bytes), func(a *archive) { a.Bases = append(a.Bases, b) })
}

// verifyBase replays the log from a base in a scratch server, and counts what is there.
func (cp *ControlPlane) verifyBase(ctx context.Context, d api.Database, a archive, b base) (archive, error) {
	e, err := databaseEngineOf(d.Spec.Engine)
	if err != nil {
		return a, err
	}
	var held contents
	err = cp.replay(ctx, d, a, b, b.At, a.Place, func(id string) error {
		out, _, err := cp.command(ctx, id, "count what was replayed", e.count(login{database: e.database(d.Name)}))
		held = readContents(out)
		return err
	})
	if err != nil && (ctx.Err() != nil || errors.Is(err, api.Unavailable)) {
		return a, err
	}
	verb, detail := "verify-base", "replayed in a scratch server: "+totalsText(e.name, held)
	if err != nil {
		verb, detail = "base-failed", err.Error()
	}
	return cp.changeArchive(d, verb, clip(detail), func(a *archive) {
		for i := range a.Bases {
			if a.Bases[i].ID == b.ID {
				a.Bases[i].Verified = err == nil
				if err != nil {
					a.Bases[i].Failed = detail
				}
			}
		}
	})
}

// trimArchive lets go of bases that are too old, or too many for the archive's size, and of the log before the first.
func (cp *ControlPlane) trimArchive(d api.Database, a archive) error {
	kept := a.keep(d.Spec, cp.Now())
	size, err := cp.archiveBytes(a)
	for err == nil && size > archiveFactor*d.Spec.StorageBytes && len(kept) > 1 && kept[1].Verified {
		size, kept = size-kept[0].Bytes, kept[1:]
	}
	if err != nil {
		return err
	}
	if len(kept) != len(a.Bases) || a.First != kept[0].Since {
		if a, err = cp.shorten(d, kept); err != nil {
			return err
		}
	}
	if err := cp.tidyArchive(a); err != nil {
		return err
	}
	if size, err = cp.archiveBytes(a); err != nil {
		return err
	}
	billed := (size + billedStep - 1) / billedStep * billedStep
	if billed == a.Bytes {
		return nil
	}
	_, err = cp.changeArchive(d, "", "", func(a *archive) { a.Bytes = billed })
	return err
}

// shorten forgets all bases but some, and the log before the first of these, unless a database is being made from the archive.
func (cp *ControlPlane) shorten(d api.Database, kept []base) (a archive, err error) {
	err = cp.Store.Update(func(tx *storage.Tx) error {
		if a, err = archiveTable.Get(tx, d.ID); err != nil || noSource(tx, &d) != nil {
			return err
		}
		a.Bases, a.First = kept, kept[0].Since
		return archiveTable.Put(tx, a)
	})
	return a, err
}

// archiveBytes is what is stored of an archive.
func (cp *ControlPlane) archiveBytes(a archive) (sum int64, err error) {
	files, err := os.ReadDir(cp.archiveDir(a.ID))
	for _, f := range files {
		info, gone := f.Info()
		if gone == nil {
			sum += info.Size()
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return sum, err
}

// tidyArchive removes the files that an archive does not need, those that a kill left too.
func (cp *ControlPlane) tidyArchive(a archive) error {
	files, err := os.ReadDir(cp.archiveDir(a.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	keep := map[string]bool{}
	for _, b := range a.Bases {
		keep[b.ID+".tar.gz"] = true
	}
	first, last := segmentName(a.Timeline, a.First), segmentName(a.Timeline, a.Place)
	for _, f := range files {
		segment, is := strings.CutSuffix(f.Name(), ".gz")
		if keep[f.Name()] || is && len(segment) == len(first) && first <= segment && segment <= last {
			continue
		}
		err = errors.Join(err, os.Remove(filepath.Join(cp.archiveDir(a.ID), f.Name())))
	}
	return err
}

// endArchive has the server keep nothing any more, and forgets what is archived.
func (cp *ControlPlane) endArchive(ctx context.Context, d api.Database) error {
	if _, _, err := cp.command(ctx, d.ID, fmt.Sprintf("end the archive of database %q", d.Name), asPostgres("postgres", postgresUnarchive)); err != nil {
		return err
	}
	if err := os.RemoveAll(cp.archiveDir(d.ID)); err != nil {
		return err
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		if err := erase(tx, archiveTable, d.ID); err != nil {
			return err
		}
		return cp.record(tx, platform("backup"), "database", &d.Meta, "archive", "the log is archived no more: there are no scheduled backups")
	})
}
