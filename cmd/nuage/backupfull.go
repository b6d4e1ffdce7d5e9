package main

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"nuage/api"
	"nuage/storage"
)

// A full backup is a sealed tar: the state as a backup of it, then files of the home, under their names there.
const stateName = "state.db"

// inFull is what a full backup may hold beside the state: the key of the secrets, keys of instances, sources (the code of functions too)
// and backups of databases.
var inFull = regexp.MustCompile(`^(secret\.key|keys/[a-zA-Z0-9][a-zA-Z0-9._-]*|blobs/src-[0-9a-f]{64}\.tar|blobs/backups/[a-zA-Z0-9][a-zA-Z0-9-]*\.dump)$`)

// fullFiles are the files of a home that go into a full backup, open, by name: what is removed meanwhile can still be read.
type fullFiles map[string]*os.File

// open opens the files there are and that are not open yet.
func (f fullFiles) open(home string) error {
	for _, pattern := range []string{"secret.key", "keys/*", "blobs/*.tar", "blobs/backups/*.dump"} {
		paths, err := filepath.Glob(filepath.Join(escapeGlob(home), filepath.FromSlash(pattern)))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if err := f.add(home, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return api.Errorf(api.Unavailable, "cannot save %q: %w", path, err)
			}
		}
	}
	return nil
}

var globSigns = regexp.MustCompile(`[*?\[\\]`)

// escapeGlob makes a path one that a pattern matches as it is.
func escapeGlob(path string) string {
	if filepath.Separator == '\\' {
		return path // there is no escape, and hardly a need
	}
	return globSigns.ReplaceAllString(path, `\$0`)
}

func (f fullFiles) add(home, path string) error {
	rel, err := filepath.Rel(home, path)
	name := filepath.ToSlash(rel)
	if err != nil || f[name] != nil || !inFull.MatchString(name) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	f[name], err = os.Open(path)
	if err != nil {
		delete(f, name)
	}
	return err
}

func (f fullFiles) close() (err error) {
	for _, file := range f {
		err = errors.Join(err, file.Close())
	}
	return err
}

// backupFull saves the state with the key and the files of the home. Files are opened before the state is copied and again after it, so
// that none is missing that the state names.
func (c *cli) backupFull(ctx context.Context, s session, path string) (files int, err error) {
	home, err := c.homeOf(ctx, s)
	if err != nil {
		return 0, err
	}
	all := fullFiles{}
	defer func() { err = errors.Join(err, all.close()) }()
	if err := all.open(home); err != nil {
		return 0, err
	}
	state, err := os.CreateTemp(home, stateName+".backup-*")
	if err != nil {
		return 0, api.Errorf(api.Unavailable, "cannot save the state: %w", err)
	}
	defer func() { err = errors.Join(err, state.Close(), os.Remove(state.Name())) }()
	if err := s.cloud.System.Backup(ctx, state); err != nil {
		return 0, err
	}
	if err := all.open(home); err != nil {
		return 0, err
	}
	if all["secret.key"] == nil {
		return 0, api.Errorf(api.NotFound, "cannot save everything: there is no secret.key in %q", home)
	}
	return len(all), writeFrom(path, 0o600, func(w io.Writer) error { return writeFull(w, state, all) })
}

// homeOf is the home of the cloud that answers. Invalid: it is another one, or on another machine.
func (c *cli) homeOf(ctx context.Context, s session) (string, error) {
	home, err := c.home()
	if err != nil {
		return "", err
	}
	status, err := s.cloud.System.Status(ctx)
	if err != nil {
		return "", err
	}
	if h, err := storage.ReadHolder(statePath(home)); err != nil || h.Address != status.API {
		return "", api.Errorf(api.Invalid, "cannot save everything: %q is not the home of the cloud at %s, which has its key and files; run it there, or choose the home with --home", home, status.API)
	}
	return home, nil
}

func writeFull(w io.Writer, state *os.File, all fullFiles) error {
	sealed := storage.Seal(w)
	out := tar.NewWriter(sealed)
	if err := writeEntry(out, stateName, state); err != nil {
		return err
	}
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := writeEntry(out, name, all[name]); err != nil {
			return err
		}
	}
	return errors.Join(out.Close(), sealed.Close())
}

// writeEntry adds a file from its begin on.
func writeEntry(out *tar.Writer, name string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: name, Size: info.Size(), Mode: 0o600, ModTime: info.ModTime(), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(f, 0, info.Size()))
	return err
}
