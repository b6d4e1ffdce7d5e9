package controlplane

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"nuage/api"
	"nuage/compute"
)

// buildImage makes the image of a release from its source. Invalid: the source, or its build, is to blame.
func (cp *ControlPlane) buildImage(ctx context.Context, a api.App, r release, log io.Writer) (compute.Image, buildPlan, error) {
	var none compute.Image
	builder, ok := cp.Engine.(compute.Builder)
	if !ok {
		return none, buildPlan{}, api.Errorf(api.Unsupported, "cannot build app %q: the %s engine builds no images; deploy with an image instead", a.Name, cp.loop.engine().Name)
	}
	p, err := cp.planBuild(r.Spec.Source)
	if err != nil {
		return none, p, err
	}
	fmt.Fprintf(log, "building as %s\n", p.taken)
	if err := cp.sayBuilding(a, r, "building the image from its source, as "+p.taken); err != nil {
		return none, p, err
	}
	if err := cp.baseImage(ctx, p, log); err != nil {
		return none, p, err
	}
	extra := ""
	if p.golang {
		if extra, err = cp.compileGo(ctx, r.Spec.Source, a.Name, log); err != nil {
			return none, p, err
		}
		defer os.RemoveAll(extra)
	}
	source, err := cp.openSource(r.Spec.Source)
	if err != nil {
		return none, p, err
	}
	defer source.Close()
	content := p.content(source, extra)
	defer content.Close() // a builder that fails may not have read it all
	image, err := builder.Build(ctx, compute.Build{Tag: imageTag(a.ID, r.Number), Owner: a.ID, Project: a.Project, Name: a.Name}, content, log)
	return image, p, err
}

// imageTag is the tag of the image that is built for a release.
func imageTag(app string, number int) string { return fmt.Sprintf("nuage-app/%s:r%d", app, number) }

func (cp *ControlPlane) planBuild(id string) (buildPlan, error) {
	source, err := cp.openSource(id)
	if err != nil {
		return buildPlan{}, err
	}
	defer source.Close()
	f, err := readFolder(source)
	if err != nil {
		return buildPlan{}, err
	}
	return f.plan()
}

// baseImage makes the image that a build stands on where it is one of those that are made on first use.
func (cp *ControlPlane) baseImage(ctx context.Context, p buildPlan, log io.Writer) error {
	if p.base == "" || cp.BaseImage == nil {
		return nil
	}
	if err := cp.BaseImage(ctx, p.base, log); err != nil {
		return api.Errorf(api.Invalid, "cannot make the base image %s, which %s needs: %w", p.base, p.taken, err)
	}
	return nil
}

// content streams what the builder gets: the source's files, those below the folder extra, and the Dockerfile. An
// Invalid error of the source comes out of the reader. The caller closes it.
func (p buildPlan) content(source io.Reader, extra string) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		out := tar.NewWriter(w)
		err := p.copyEntries(out, source)
		if err == nil && extra != "" {
			err = addFolder(out, extra)
		}
		if err == nil {
			err = addFile(out, "Dockerfile", 0o644, strings.NewReader(p.dockerfile), int64(len(p.dockerfile)))
		}
		w.CloseWithError(errors.Join(err, out.Close()))
	}()
	return r
}

// copyEntries passes the files, folders and links on that the build needs.
func (p buildPlan) copyEntries(out *tar.Writer, source io.Reader) error {
	if p.prefix != "" { // even with nothing in it
		if err := out.WriteHeader(&tar.Header{Name: p.prefix, Mode: 0o755, Typeflag: tar.TypeDir}); err != nil {
			return err
		}
	}
	return walkTar(source, func(h *tar.Header, r io.Reader) error {
		name := path.Clean(h.Name)
		if name == "." || !slices.Contains([]byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink}, h.Typeflag) || p.skip(name) {
			return nil
		}
		h.Name = p.prefix + name
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(out, r)
		return err
	})
}

func addFile(out *tar.Writer, name string, mode int64, content io.Reader, size int64) error {
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: size, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := io.Copy(out, content)
	return err
}

// addFolder adds the files and links below dir, without their times: they make no other image.
func addFolder(out *tar.Writer, dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(name)
			return errors.Join(err, out.WriteHeader(&tar.Header{Name: filepath.ToSlash(relative), Linkname: target, Mode: 0o777, Typeflag: tar.TypeSymlink}))
		}
		return addFrom(out, name, filepath.ToSlash(relative))
	})
}

func addFrom(out *tar.Writer, file, name string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return addFile(out, name, int64(info.Mode().Perm()), f, info.Size())
}

// buildAdvice says what can be done about a build that failed so, "" where nothing is known.
func buildAdvice(log []string) string {
	text := strings.Join(log, "\n")
	switch {
	case strings.Contains(text, "No matching distribution found"), strings.Contains(text, "Failed to establish a new connection"):
		return "; pip found no package index that has it, nor a wheel in the folder: bring the wheels (pip download -d wheels -r requirements.txt), or build where an index can be reached"
	case strings.Contains(text, "module lookup disabled by GOPROXY=off"), strings.Contains(text, "is not in std"):
		return "; modules come from the folder vendor (go mod vendor) or from this machine's module cache (go mod download): nothing is fetched"
	}
	return ""
}
