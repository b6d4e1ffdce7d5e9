package controlplane

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// entry is a file, or with link a symbolic link.
type entry struct{ name, content, link string }

func tarball(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.content)), Typeflag: tar.TypeReg, Linkname: e.link}
		if e.link != "" {
			h.Typeflag = tar.TypeSymlink
		}
		must(t, w.WriteHeader(&h))
		_, err := io.WriteString(w, e.content)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// promising is a tar whose only header promises more than there is.
func promising(t *testing.T, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, tar.NewWriter(&b).WriteHeader(&tar.Header{Name: "zeros", Mode: 0o644, Size: size, Typeflag: tar.TypeReg}))
	return b.Bytes()
}

func zipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func (p *plane) put(content []byte) (api.Source, error) {
	return p.cloud.Sources.Put(asCustomer(), "default", bytes.NewReader(content))
}

func TestSourcesRefused(t *testing.T) {
	p := newPlane(t, setup{idle: true})
	many := make([]entry, maxEntries+1)
	for i := range many {
		many[i].name = "f"
	}
	for why, c := range map[string]struct {
		content []byte
		want    string
	}{
		"a way out":         {tarball(t, entry{name: "../x"}), `cannot take the source: "../x" leaves the folder`},
		"a hidden way out":  {tarball(t, entry{name: "a/../../x"}), `cannot take the source: "a/../../x" leaves the folder`},
		"an absolute path":  {tarball(t, entry{name: "/etc/passwd"}), `cannot take the source: "/etc/passwd" leaves the folder`},
		"too much":          {promising(t, maxUnpacked+1), "cannot take the source: it unpacks to more than 1024 MiB or 50000 files"},
		"too much, zipped":  {zipped(t, promising(t, 1<<40)), "cannot take the source: it unpacks to more than 1024 MiB or 50000 files"},
		"too many":          {zipped(t, tarball(t, many...)), "cannot take the source: it unpacks to more than 1024 MiB or 50000 files"},
		"no tar":            {[]byte("hello"), "cannot read the source: it is no tar of a folder with files: unexpected EOF"},
		"nothing":           {nil, "cannot read the source: it is no tar of a folder with files: EOF"},
		"an empty folder":   {tarball(t), "cannot read the source: it is no tar of a folder with files: EOF"},
		"half a file":       {promising(t, 4096), "cannot read the source: it is no tar of a folder with files: unexpected EOF"},
		"no gzip after all": {[]byte{0x1f, 0x8b, 0, 0}, "cannot read the source: it is no gzip stream: unexpected EOF"},
	} {
		_, err := p.put(c.content)
		if !errors.Is(err, api.Invalid) || err.Error() != c.want {
			t.Errorf("%s answers %v, want %s", why, err, c.want)
		}
	}
	left, err := os.ReadDir(p.BlobDir)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("refused sources left %v", left)
	}
}

func TestSourcesAreKeptByContent(t *testing.T) {
	p := newPlane(t, setup{idle: true})
	content := tarball(t, entry{name: "main.py", content: "pass"})
	first, err := p.put(content)
	must(t, err)
	again, err := p.put(content)
	must(t, err)
	other, err := p.put(tarball(t, entry{name: "main.py", content: "fail"}))
	must(t, err)
	if again != first || other.ID == first.ID {
		t.Errorf("the same content is %v and %v, another %v", first, again, other)
	}
	files, err := os.ReadDir(p.BlobDir)
	must(t, err)
	if len(files) != 2 {
		t.Errorf("there are %v, want two blobs", files)
	}
	stored, err := os.ReadFile(p.blobPath(first.ID))
	must(t, err)
	if !bytes.Equal(stored, content) {
		t.Error("the blob is not what was uploaded")
	}
}

// TestUnpack: files and folders, no links, nothing outside.
func TestUnpack(t *testing.T) {
	p := newPlane(t, setup{idle: true})
	outside := filepath.Join(p.dir, "outside")
	must(t, os.WriteFile(outside, []byte("untouched"), 0o600))
	s, err := p.put(zipped(t, tarball(t, entry{name: "./main.py", content: "pass"}, entry{name: "lib/a/b.py", content: "x = 1"},
		entry{name: "way", link: p.dir}, entry{name: "secret", link: "/etc/passwd"}, entry{name: "lib/a/b.py", content: "x = 2"})))
	must(t, err)
	dir, err := p.unpack(s.ID)
	must(t, err)
	var found []string
	must(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			content, read := os.ReadFile(path)
			found, err = append(found, strings.TrimPrefix(path, dir)+"="+string(content)), read
		}
		return err
	}))
	if want := []string{"/lib/a/b.py=x = 2", "/main.py=pass"}; !slices.Equal(found, want) {
		t.Errorf("unpacked are %v, want %v", found, want)
	}
	again, err := p.unpack(s.ID)
	must(t, err)
	if again != dir {
		t.Errorf("unpacked twice to %s and %s", dir, again)
	}
	s, err = p.put(tarball(t, entry{name: "way", link: p.dir}, entry{name: "way/outside", content: "overwritten"}))
	must(t, err)
	_, err = p.unpack(s.ID)
	must(t, err)
	s, err = p.put(tarball(t, entry{name: "a", content: "a file"}, entry{name: "a/b", content: "in a file"}))
	must(t, err)
	if _, err = p.unpack(s.ID); !errors.Is(err, api.Invalid) {
		t.Errorf("a file in a file answers %v, want invalid", err)
	}
	if content, err := os.ReadFile(outside); err != nil || string(content) != "untouched" {
		t.Errorf("outside there is %q: %v", content, err)
	}
}

// TestUnusedIsRemoved: what nothing names and nobody has just uploaded.
func TestUnusedIsRemoved(t *testing.T) {
	p := newPlane(t, setup{idle: true})
	now := time.Now()
	p.Options.Now = func() time.Time { return now }
	old := func(path string) {
		t.Helper()
		must(t, os.Chtimes(path, now.Add(-2*keepUnused), now.Add(-2*keepUnused)))
	}
	upload := func(content string) string {
		s, err := p.put(tarball(t, entry{name: "main.py", content: content}))
		must(t, err)
		return s.ID
	}
	used, unused, fresh := upload("used"), upload("unused"), upload("fresh")
	_, err := p.cloud.Functions.Create(asCustomer(), "default", "f", api.FunctionSpec{Runtime: "python", Source: used, Handler: "main.handler"})
	must(t, err)
	_, err = p.unpack(unused)
	must(t, err)
	broken := filepath.Join(p.BlobDir, ".upload-1")
	must(t, os.WriteFile(broken, nil, 0o600))
	for _, path := range []string{p.blobPath(used), p.blobPath(unused), broken} {
		old(path)
	}
	must(t, p.tidy())
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	code := func(id string) string { return filepath.Join(p.CacheDir, "code", strings.TrimPrefix(id, "src-")) }
	if !there(p.blobPath(used)) || there(p.blobPath(unused)) || !there(p.blobPath(fresh)) || there(broken) {
		t.Error("removed are not just the old and unused uploads")
	}
	if !there(code(used)) || !there(code(unused)) {
		t.Error("unpacked code is gone at once: calls may still read it")
	}
	now = now.Add(keepUnused)
	must(t, p.tidy())
	if !there(code(used)) || there(code(unused)) || !there(p.blobPath(used)) {
		t.Error("after an hour, removed is not just the unused code")
	}
}
