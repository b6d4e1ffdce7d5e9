package controlplane

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"nuage/api"
)

// sources keeps uploaded folders as blobs named by their SHA-256.
type sources struct{ cp *ControlPlane }

var sourceID = regexp.MustCompile(`^src-[0-9a-f]{64}$`)

func (s sources) Put(ctx context.Context, project string, content io.Reader) (api.Source, error) {
	if _, err := s.cp.authorize(ctx, project); err != nil {
		return api.Source{}, err
	}
	f, err := os.CreateTemp(s.cp.BlobDir, ".upload-*")
	if err != nil {
		return api.Source{}, api.Errorf(api.Unavailable, "cannot store the source: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(content, api.MaxSourceBytes+1))
	switch {
	case err != nil:
		return api.Source{}, api.Errorf(api.Unavailable, "cannot store the source: %w", err)
	case size > api.MaxSourceBytes:
		return api.Source{}, api.Errorf(api.Invalid, "cannot take a source of more than %d MiB: leave out what is not needed with a .dockerignore", api.MaxSourceBytes>>20)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return api.Source{}, err
	}
	if err := walkTar(f, func(*tar.Header, io.Reader) error { return nil }); err != nil {
		return api.Source{}, err
	}
	made := api.Source{ID: "src-" + hex.EncodeToString(sum.Sum(nil)), Size: size}
	return made, s.cp.keepBlob(f, made.ID)
}

// keepBlob makes an uploaded file durable under its name. The same content again is the same blob.
func (cp *ControlPlane) keepBlob(f *os.File, id string) error {
	if err := f.Sync(); err != nil {
		return api.Errorf(api.Unavailable, "cannot store the source: %w", err)
	}
	if err := os.Rename(f.Name(), cp.blobPath(id)); err != nil {
		return api.Errorf(api.Unavailable, "cannot store the source: %w", err)
	}
	return nil
}

func (cp *ControlPlane) blobPath(id string) string { return filepath.Join(cp.BlobDir, id+".tar") }

// checkSource refuses ids of sources that were never uploaded. fresh: the caller named it now, so it must be there.
func (cp *ControlPlane) checkSource(id string, fresh bool) error {
	if !sourceID.MatchString(id) {
		return api.Errorf(api.Invalid, "cannot use source %q: upload the folder first and give the id that answers", id)
	}
	if !fresh {
		return nil
	}
	now := time.Now() // of the file system, as ModTime is
	switch err := os.Chtimes(cp.blobPath(id), now, now); {
	case errors.Is(err, fs.ErrNotExist):
		return api.Errorf(api.NotFound, "cannot find source %q: upload it first", id)
	case err != nil:
		return api.Errorf(api.Unavailable, "cannot use source %q: %w", id, err)
	}
	return nil
}

// openSource returns the uncompressed tar of a source.
func (cp *ControlPlane) openSource(id string) (io.ReadCloser, error) {
	f, err := os.Open(cp.blobPath(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, api.Errorf(api.NotFound, "cannot find source %q: its blob is gone; upload it again", id)
	}
	if err != nil {
		return nil, api.Errorf(api.Unavailable, "cannot read source %q: %w", id, err)
	}
	r, err := plainTar(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{r, f}, nil
}

// plainTar undoes gzip where the content begins like it.
func plainTar(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	if magic, err := b.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		return gzip.NewReader(b)
	}
	return b, nil
}

// What a source may unpack to: a small upload can hold a lot of zeros, or a lot of empty files.
const (
	maxUnpacked = 4 * api.MaxSourceBytes
	maxEntries  = 50_000
)

// walkTar calls fn with each entry. Invalid: no tar, a path that leaves the folder, or one that unpacks to too much.
func walkTar(r io.Reader, fn func(*tar.Header, io.Reader) error) error {
	plain, err := plainTar(r)
	if err != nil {
		return api.Errorf(api.Invalid, "cannot read the source: it is no gzip stream: %w", err)
	}
	t := tar.NewReader(plain)
	for entries, size := 0, int64(0); ; entries++ {
		h, err := t.Next()
		if err == io.EOF && entries > 0 {
			return nil
		}
		if err != nil {
			return api.Errorf(api.Invalid, "cannot read the source: it is no tar of a folder with files: %w", err)
		}
		if size += h.Size; h.Size < 0 || size > maxUnpacked || entries >= maxEntries {
			return api.Errorf(api.Invalid, "cannot take the source: it unpacks to more than %d MiB or %d files", maxUnpacked>>20, maxEntries)
		}
		if name := filepath.Clean(h.Name); !filepath.IsLocal(name) && name != "." {
			return api.Errorf(api.Invalid, "cannot take the source: %q leaves the folder", h.Name)
		}
		if err := fn(h, t); err != nil {
			return err
		}
	}
}

// unpack returns the folder of a source, unpacking it into the cache where it is not there yet. Links are left out.
func (cp *ControlPlane) unpack(id string) (string, error) {
	dir := filepath.Join(cp.CacheDir, "code", strings.TrimPrefix(id, "src-"))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", api.Errorf(api.Unavailable, "cannot unpack source %q: %w", id, err)
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".unpack-*")
	if err != nil {
		return "", api.Errorf(api.Unavailable, "cannot unpack source %q: %w", id, err)
	}
	defer os.RemoveAll(temp)
	f, err := os.Open(cp.blobPath(id))
	if err != nil {
		return "", api.Errorf(api.NotFound, "cannot find source %q: its blob is gone; upload it again", id)
	}
	defer f.Close()
	root, err := os.OpenRoot(temp)
	if err != nil {
		return "", err
	}
	defer root.Close()
	if err := walkTar(f, func(h *tar.Header, r io.Reader) error { return unpackError(h, unpackEntry(root, h, r)) }); err != nil {
		return "", err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(temp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(dir); there != nil {
			return "", api.Errorf(api.Unavailable, "cannot unpack source %q: %w", id, err)
		}
	}
	return dir, nil
}

// unpackError tells a folder that can't be, as one with a file in a file, from a disk that is full.
func unpackError(h *tar.Header, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return api.Errorf(api.Unavailable, "cannot unpack %q: %w", h.Name, err)
	}
	return api.Errorf(api.Invalid, "cannot unpack %q: %w", h.Name, err)
}

func unpackEntry(root *os.Root, h *tar.Header, r io.Reader) error {
	name := filepath.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeReg:
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644|fs.FileMode(h.Mode)&0o111)
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, r); err != nil {
			f.Close()
			return err
		}
		return f.Close()
	}
	return nil
}
