package controlplane

import (
	"archive/tar"
	"io"
	"path"
	"strings"

	"nuage/api"
)

// layout is what the root of a source folder tells about how to build it.
type layout struct {
	files map[string]bool
}

// withDockerfile streams the source's tar with a Dockerfile at its root: its own, or one for what the folder holds.
// An Invalid error of the source comes out of the reader. The caller closes it.
func withDockerfile(source io.Reader) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		out := tar.NewWriter(w)
		l, err := copyEntries(out, source)
		if err == nil && !l.files["Dockerfile"] {
			err = addDockerfile(out, l)
		}
		if err == nil {
			err = out.Close()
		}
		w.CloseWithError(err)
	}()
	return r
}

// copyEntries passes files and folders on and remembers what lies at the root.
func copyEntries(out *tar.Writer, source io.Reader) (layout, error) {
	l := layout{files: map[string]bool{}}
	err := walkTar(source, func(h *tar.Header, r io.Reader) error {
		name := path.Clean(h.Name)
		if name == "." || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir && h.Typeflag != tar.TypeSymlink {
			return nil
		}
		l.files[name] = true
		h.Name = name
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(out, r)
		return err
	})
	return l, err
}

func addDockerfile(out *tar.Writer, l layout) error {
	content, err := l.dockerfile()
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err = io.WriteString(out, content)
	return err
}

// dockerfile says how to build a folder without one. Invalid: nothing known is in it.
func (l layout) dockerfile() (string, error) {
	python := "FROM nuage/python:1\nWORKDIR /app\n"
	if l.files["requirements.txt"] {
		python += "COPY requirements.txt .\nRUN pip install --no-cache-dir -r requirements.txt\n"
	}
	for _, main := range []string{"app.py", "main.py"} {
		if l.files[main] {
			return python + "COPY . .\nENV PYTHONUNBUFFERED=1\nCMD [\"python3\", \"" + main + "\"]\n", nil
		}
	}
	if l.files["index.html"] {
		return "FROM nuage/python:1\nWORKDIR /site\nCOPY . .\nCMD exec python3 -m http.server ${PORT:-8080}\n", nil
	}
	var names []string
	for n := range l.files {
		if !strings.Contains(n, "/") && len(names) < 10 {
			names = append(names, n)
		}
	}
	return "", api.Errorf(api.Invalid, "cannot build the source: it has no Dockerfile, app.py, main.py or index.html at its root, only %s", strings.Join(names, ", "))
}
