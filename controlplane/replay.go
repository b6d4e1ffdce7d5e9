package controlplane

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

// replayScratch is a container in which a server is put together from an archive: out of every network, without a volume.
func (cp *ControlPlane) replayScratch(d api.Database, e databaseEngine) compute.Workload {
	size, _ := api.SizeOf("small")
	return compute.Workload{
		ID: cp.NewID("replay"), Owner: d.ID, Kind: compute.KindHelper, Project: d.Project, Name: d.Name, Image: serverRef(e),
		Entrypoint: []string{"/bin/sh", "-c", "sleep 86400"}, Command: []string{}, Hostname: "scratch", Running: true,
		Limits: compute.Limits{MilliCPU: size.MilliCPU, MemoryBytes: size.MemoryBytes, Pids: 512},
	}
}

// replay brings a base to a moment in a scratch server, with the log up to a place, and runs fn beside it. The zero time is all of the log.
func (cp *ControlPlane) replay(ctx context.Context, d api.Database, a archive, b base, at time.Time, end uint64, fn func(id string) error) error {
	e, err := databaseEngineOf(d.Spec.Engine)
	if err != nil {
		return err
	}
	return cp.inScratch(ctx, cp.replayScratch(d, e), func(id string) error {
		if err := cp.unpackBase(ctx, id, d, b); err != nil {
			return err
		}
		if err := cp.unpackLog(ctx, id, d, a, b.Since, end); err != nil {
			return err
		}
		p := compute.Process{User: "postgres", Command: []string{"sh", "-c", postgresRecover}, Env: []string{"MOMENT=" + momentText(at)}}
		if _, _, err := cp.command(ctx, id, fmt.Sprintf("replay the log of database %q", d.Name), p); err != nil {
			return err
		}
		return fn(id)
	})
}

func (cp *ControlPlane) unpackBase(ctx context.Context, id string, d api.Database, b base) error {
	f, err := os.Open(cp.basePath(d.ID, b))
	if err != nil {
		return api.Errorf(api.NotFound, "cannot read the copy of database %q: %w", d.Name, err)
	}
	defer f.Close()
	sum := sha256.New()
	whole := io.TeeReader(f, sum)
	zip, err := gzip.NewReader(whole)
	if err != nil {
		return api.Errorf(api.Invalid, "cannot read the copy of database %q: %w", d.Name, err)
	}
	p := compute.Process{User: "postgres", Stdin: zip, Command: []string{"sh", "-c", `umask 077 && mkdir "$PGDATA" && exec tar -x -C "$PGDATA"`}}
	if _, _, err := cp.command(ctx, id, fmt.Sprintf("unpack the copy of database %q", d.Name), p); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, whole); err != nil || hex.EncodeToString(sum.Sum(nil)) != b.SHA256 {
		return api.Errorf(api.Invalid, "cannot rely on the copy of database %q: what is stored was changed since", d.Name)
	}
	return nil
}

// unpackLog gives a scratch server the log from one place to another.
func (cp *ControlPlane) unpackLog(ctx context.Context, id string, d api.Database, a archive, from, end uint64) error {
	in, out := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := cp.packLog(a, from, end, out)
		packed <- err
		out.CloseWithError(err)
	}()
	p := compute.Process{User: "postgres", Stdin: in, Command: []string{"sh", "-c", `umask 077 && exec tar -x -C "$PGDATA/pg_wal"`}}
	_, _, err := cp.command(ctx, id, fmt.Sprintf("unpack the log of database %q", d.Name), p)
	in.CloseWithError(errors.Join(err, io.ErrClosedPipe))
	if wrong := <-packed; wrong != nil && !errors.Is(wrong, io.ErrClosedPipe) {
		return api.Errorf(api.Invalid, "cannot rely on the archived log of database %q: %w", d.Name, wrong)
	}
	return err
}

// packLog writes the segments of the log from one place to another as a tar.
func (cp *ControlPlane) packLog(a archive, from, end uint64, out io.Writer) error {
	pack := tar.NewWriter(out)
	for place := from - from%segmentBytes; place < end; place += segmentBytes {
		if err := pack.WriteHeader(&tar.Header{Name: segmentName(a.Timeline, place), Mode: 0o600, Size: segmentBytes, Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		if err := cp.packSegment(a, place, pack); err != nil {
			return err
		}
	}
	return pack.Close()
}

// packSegment writes what is archived of a segment, and zeros for the rest.
func (cp *ControlPlane) packSegment(a archive, place uint64, out io.Writer) error {
	f, err := os.Open(cp.segmentPath(a, place))
	if err != nil {
		return err
	}
	defer f.Close()
	want, stored := uint64(segmentBytes), io.Reader(f)
	if a.Place-place < segmentBytes {
		want, stored = a.Place-place, io.LimitReader(f, a.Tail)
	}
	zip, err := gzip.NewReader(stored)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, zip)
	if err == nil && uint64(n) != want {
		err = fmt.Errorf("%s has %d of %d bytes", segmentName(a.Timeline, place), n, want)
	}
	if err == nil {
		_, err = out.Write(make([]byte, segmentBytes-n))
	}
	return err
}

// fillMoment gives a new database what another held at a moment: all of it, or it is done again from the beginning.
func (cp *ControlPlane) fillMoment(ctx context.Context, w *world, d api.Database) error {
	s := w.servers[d.ID]
	source, ok := w.databaseByID(s.Source)
	a := w.archives[s.Source]
	b, end, found := a.baseFor(s.Moment)
	if !ok || !found {
		return api.Errorf(api.NotFound, "cannot restore database %q: what was archived for %s is gone", d.Name, momentText(s.Moment))
	}
	e, err := databaseEngineOf(d.Spec.Engine)
	if err != nil {
		return err
	}
	var held contents
	err = cp.replay(ctx, source, a, b, s.Moment, end, func(id string) (err error) {
		held, err = cp.pour(ctx, id, login{database: e.database(source.Name)}, d, e, w.logins[d.ID])
		return err
	})
	if err != nil {
		return err
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		s, err := serverTable.Get(tx, d.ID)
		if err != nil || s.Filled {
			return ignoreGone(err)
		}
		s.Filled = true
		if err := serverTable.Put(tx, s); err != nil {
			return err
		}
		return cp.record(tx, platform("backup"), "database", &d.Meta, "restore", fmt.Sprintf("database %s at %s, %s", source.Name, momentText(s.Moment), totalsText(e.name, held)))
	})
}

// pour dumps what a scratch server holds into a new database, and compares.
func (cp *ControlPlane) pour(ctx context.Context, scratch string, from login, d api.Database, e databaseEngine, to login) (contents, error) {
	if _, _, err := cp.command(ctx, d.ID, fmt.Sprintf("prepare database %q", d.Name), e.empty(to)); err != nil {
		return nil, err
	}
	counted, _, err := cp.command(ctx, scratch, "count what was replayed", e.count(from))
	if err != nil {
		return nil, err
	}
	held := readContents(counted)
	in, out := io.Pipe()
	go func() {
		p := e.dump(from)
		p.Stdout = out
		_, _, err := cp.command(ctx, scratch, "dump what was replayed", p)
		out.CloseWithError(err)
	}()
	err = cp.loadDump(ctx, d.ID, e, to, in, held)
	in.CloseWithError(io.ErrClosedPipe)
	return held, err
}
