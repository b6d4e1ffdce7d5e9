package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// contents lists a tar: mode, name, target of links and content of files.
func contents(t *testing.T, data []byte) string {
	t.Helper()
	var b strings.Builder
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(strings.TrimSpace(h.FileInfo().Mode().String() + " " + h.Name + " " + h.Linkname + string(text)))
		b.WriteString("\n")
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

func packed(t *testing.T, source, name string) ([]byte, error) {
	t.Helper()
	p, err := packPath(source, name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := errors.Join(p.write(&b), p.close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), nil
}

func TestPackFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"main.py": "print()", "lib/a.py": "a", "lib/b.log": "b", ".git/config": "secret", "node_modules/x/y.js": "y", "Dockerfile": "FROM x",
		".dockerignore": "node_modules\n**/*.log\n# comment\n*file\n!keep.log\n", "keep.log": "kept", "run.sh": "#!/bin/sh",
	})
	if err := os.Chmod(filepath.Join(dir, "run.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("lib/a.py", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	want := `-rw-r--r-- .dockerignore node_modules
**/*.log
# comment
*file
!keep.log
-rw-r--r-- Dockerfile FROM x
-rw-r--r-- keep.log kept
drwxr-xr-x lib/
-rw-r--r-- lib/a.py a
Lrw-r--r-- link lib/a.py
-rw-r--r-- main.py print()
-rwxr-xr-x run.sh #!/bin/sh
`
	first, err := packed(t, dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := contents(t, first); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "main.py"), later, later); err != nil {
		t.Fatal(err)
	}
	if again, err := packed(t, dir, ""); err != nil || !bytes.Equal(first, again) {
		t.Errorf("another time of a file makes another tar (%v)", err)
	}
}

func TestPackRefusesWhatLeadsOut(t *testing.T) {
	for _, target := range []string{"/etc/passwd", "../outside", "sub/../../outside"} {
		dir := t.TempDir()
		write(t, dir, map[string]string{"a": "a"})
		if err := os.Symlink(target, filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		_, err := packed(t, dir, "")
		want := `cannot take "link": it is a link that leads out of the folder (to "` + target + `"); copy the file, or name the link in .dockerignore`
		if err == nil || err.Error() != want {
			t.Errorf("link to %s: got %v, want %s", target, err, want)
		}
		write(t, dir, map[string]string{".dockerignore": "link\n"})
		if _, err := packed(t, dir, ""); err != nil {
			t.Errorf("ignored link to %s: %v", target, err)
		}
	}
}

func TestPackFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"hello.py": "x"})
	for name, want := range map[string]string{"": "-rw-r--r-- hello.py x\n", "app/main.py": "-rw-r--r-- app/main.py x\n"} {
		got, err := packed(t, filepath.Join(dir, "hello.py"), name)
		if err != nil || contents(t, got) != want {
			t.Errorf("as %q: got %q, %v, want %q", name, contents(t, got), err, want)
		}
	}
	if _, err := packed(t, filepath.Join(dir, "none"), ""); err == nil || !strings.HasPrefix(err.Error(), `cannot take the source "`) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := packed(t, t.TempDir(), ""); err == nil || !strings.HasSuffix(err.Error(), "there is no file in it") {
		t.Errorf("an empty folder: %v", err)
	}
}

func zipFile(t *testing.T, names ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "code.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for _, name := range names {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "in "+name); err != nil && !strings.HasSuffix(name, "/") {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPackZip(t *testing.T) {
	got, err := packed(t, zipFile(t, "main.py", "lib/a.py"), "")
	if want := "-rw-r--r-- lib/a.py in lib/a.py\n-rw-r--r-- main.py in main.py\n"; err != nil || contents(t, got) != want {
		t.Errorf("got %q, %v, want %q", contents(t, got), err, want)
	}
	for _, name := range []string{"../out", "/etc/passwd", `..\out`} {
		if got, err := packed(t, zipFile(t, name), ""); err == nil {
			t.Errorf("%s is taken: %q", name, contents(t, got))
		}
	}
}
