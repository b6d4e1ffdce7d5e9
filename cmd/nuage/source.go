package main

import (
	"archive/tar"
	"archive/zip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"nuage/api"
)

// A pack is a set of files to upload as a tar. The same files always make the same tar, so that the cloud can tell that
// nothing has changed.
type pack struct {
	entries []packEntry
	close   func() error
}

// packEntry is one file, folder or link of a pack.
type packEntry struct {
	name string // slash separated
	mode fs.FileMode
	size int64
	link string
	open func() (io.ReadCloser, error)
}

// packPath takes a folder, a .zip file, or a single file, which is called name in the pack (its own name when "").
func packPath(source, name string) (*pack, error) {
	info, err := os.Stat(source)
	var p *pack
	switch {
	case err != nil:
	case info.IsDir():
		p, err = packFolder(source)
	case strings.EqualFold(filepath.Ext(source), ".zip"):
		p, err = packZip(source)
	default:
		p = packFile(source, name, info)
	}
	var known *api.Error
	if err != nil && !errors.As(err, &known) {
		err = api.Errorf(api.Invalid, "cannot take the source %q: %w", source, err)
	}
	if err != nil {
		return nil, err
	}
	return p, p.check(source)
}

func packFile(source, name string, info fs.FileInfo) *pack {
	if name == "" {
		name = filepath.Base(source)
	}
	open := func() (io.ReadCloser, error) { return os.Open(source) }
	return &pack{entries: []packEntry{{name: name, mode: info.Mode(), size: info.Size(), open: open}}, close: func() error { return nil }}
}

// check refuses a pack that the cloud would refuse.
func (p *pack) check(source string) error {
	var err error
	switch {
	case len(p.entries) == 0:
		err = api.Errorf(api.Invalid, "cannot take the source %q: there is no file in it", source)
	case p.size() > api.MaxSourceBytes:
		err = api.Errorf(api.Invalid, "cannot take the source %q: %s are more than %s; name what is not needed in a .dockerignore file",
			source, bytesText(p.size()), bytesText(api.MaxSourceBytes))
	default:
		return nil
	}
	return errors.Join(err, p.close())
}

func (p *pack) size() int64 {
	var n int64
	for _, e := range p.entries {
		n += e.size
	}
	return n
}

func (p *pack) files() int {
	n := 0
	for _, e := range p.entries {
		if !e.mode.IsDir() {
			n++
		}
	}
	return n
}

// packFolder takes what lies in a folder but .git and what .dockerignore names. Nothing outside is ever read.
func packFolder(dir string) (*pack, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	ignored, err := readIgnore(root)
	if err == nil {
		f := &folder{root: root, ignored: ignored}
		if err = fs.WalkDir(root.FS(), ".", f.visit); err == nil {
			return &pack{entries: f.entries, close: root.Close}, nil
		}
	}
	return nil, errors.Join(err, root.Close())
}

// readIgnore reads .dockerignore.
func readIgnore(root *os.Root) (*patternmatcher.PatternMatcher, error) {
	var patterns []string
	f, err := root.Open(".dockerignore")
	if err == nil {
		patterns, err = ignorefile.ReadAll(f)
		err = errors.Join(err, f.Close())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return patternmatcher.New(append([]string{".git"}, patterns...))
}

// folder gathers the entries of a folder.
type folder struct {
	root    *os.Root
	ignored *patternmatcher.PatternMatcher
	entries []packEntry
}

func (f *folder) visit(name string, d fs.DirEntry, err error) error {
	if err != nil || name == "." {
		return err
	}
	skip, err := f.ignored.MatchesOrParentMatches(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	if skip && name != "Dockerfile" { // the build needs it, ignored or not
		if d.IsDir() && (name == ".git" || !f.ignored.Exclusions()) {
			return fs.SkipDir
		}
		return nil
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	return f.add(name, info)
}

func (f *folder) add(name string, info fs.FileInfo) error {
	e := packEntry{name: name, mode: info.Mode()}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := f.root.Readlink(name)
		if err != nil {
			return err
		}
		if leaves(name, filepath.ToSlash(target)) {
			return api.Errorf(api.Invalid, "cannot take %q: it is a link that leads out of the folder (to %q); copy the file, or name the link in .dockerignore", name, target)
		}
		e.link = filepath.ToSlash(target)
	case info.Mode().IsRegular():
		e.size = info.Size()
		e.open = func() (io.ReadCloser, error) { return f.root.Open(name) }
	case !info.IsDir():
		return nil // sockets and the like are not source
	}
	f.entries = append(f.entries, e)
	return nil
}

// leaves reports whether a link at name with target leads out of the folder.
func leaves(name, target string) bool {
	if path.IsAbs(target) || filepath.IsAbs(target) {
		return true
	}
	return !filepath.IsLocal(filepath.FromSlash(path.Join(path.Dir(name), target)))
}

// packZip takes the files of a zip.
func packZip(source string) (*pack, error) {
	z, err := zip.OpenReader(source)
	if err != nil {
		return nil, err
	}
	p := &pack{close: z.Close}
	for _, f := range z.File {
		name := path.Clean(strings.ReplaceAll(f.Name, `\`, "/"))
		mode := f.Mode()
		if !filepath.IsLocal(filepath.FromSlash(name)) || !mode.IsRegular() && !mode.IsDir() || f.UncompressedSize64 > api.MaxSourceBytes {
			err := api.Errorf(api.Invalid, "cannot take %q of %q: only files and folders below %s, with names inside, can be", f.Name, source, bytesText(api.MaxSourceBytes))
			return nil, errors.Join(err, z.Close())
		}
		e := packEntry{name: name, mode: mode}
		if mode.IsRegular() {
			e.size, e.open = int64(f.UncompressedSize64), f.Open
		}
		p.entries = append(p.entries, e)
	}
	slices.SortFunc(p.entries, func(a, b packEntry) int { return strings.Compare(a.name, b.name) })
	return p, nil
}

// write writes the tar. Times and owners are left out and modes made plain, so that they make no difference.
func (p *pack) write(w io.Writer) error {
	t := tar.NewWriter(w)
	for _, e := range p.entries {
		if err := e.write(t); err != nil {
			return err
		}
	}
	return t.Close()
}

func (e packEntry) write(t *tar.Writer) error {
	h := &tar.Header{Name: e.name, Size: e.size, Mode: 0o644, Typeflag: tar.TypeReg, Linkname: e.link}
	switch {
	case e.mode.IsDir():
		h.Name, h.Mode, h.Typeflag = e.name+"/", 0o755, tar.TypeDir
	case e.link != "":
		h.Typeflag = tar.TypeSymlink
	case e.mode&0o111 != 0:
		h.Mode = 0o755
	}
	if err := t.WriteHeader(h); err != nil || e.open == nil {
		return err
	}
	f, err := e.open()
	if err != nil {
		return err
	}
	_, err = io.CopyN(t, f, e.size)
	return errors.Join(err, f.Close())
}

// upload sends the pack and shows how far it is.
func (p *pack) upload(ctx context.Context, c *cli, s session) (api.Source, error) {
	t := c.progress("upload")
	defer t.stop()
	t.show(plural(p.files(), "file") + ", " + bytesText(p.size()))
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(p.write(&counter{w: w, count: func(n int64) { t.part(n, p.size()) }}))
	}()
	source, err := s.cloud.Sources.Put(ctx, s.project, r)
	return source, errors.Join(err, r.Close(), p.close())
}

// counter counts what is written through it.
type counter struct {
	w     io.Writer
	n     int64
	count func(int64)
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.count(c.n)
	return n, err
}

// uploadSource packs and uploads what lies at source and returns its id.
func (c *cli) uploadSource(ctx context.Context, s session, source, name string) (string, error) {
	p, err := packPath(source, name)
	if err != nil {
		return "", err
	}
	stored, err := p.upload(ctx, c, s)
	return stored.ID, err
}
