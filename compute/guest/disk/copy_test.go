//go:build linux

package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// root skips where files can't be given to others.
func root(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can give files to others")
	}
}

// tree describes all that is in a directory, and the directory itself.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var lines []string
	first := map[uint64]string{}
	ok(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		lines = append(lines, describe(t, dir, path, first))
		return nil
	}))
	return strings.Join(lines, "\n")
}

func describe(t *testing.T, dir, path string, first map[uint64]string) string {
	t.Helper()
	var st unix.Stat_t
	ok(t, unix.Lstat(path, &st))
	name, err := filepath.Rel(dir, path)
	ok(t, err)
	line := fmt.Sprintf("%s %#o %d:%d rdev %d mtime %d.%d", name, st.Mode, st.Uid, st.Gid, st.Rdev, st.Mtim.Sec, st.Mtim.Nsec)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		content, err := os.ReadFile(path)
		ok(t, err)
		line += fmt.Sprintf(" %d bytes, %q, holes %v", len(content), strings.Trim(string(content), "\x00"), st.Blocks*512 < st.Size/2)
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		ok(t, err)
		line += " -> " + target
	}
	if same := first[st.Ino]; same != "" {
		line += " same as " + same
	}
	first[st.Ino] = name
	names, err := readAll(func(b []byte) (int, error) { return unix.Llistxattr(path, b) })
	ok(t, err)
	for attribute := range strings.SplitSeq(string(names), "\x00") {
		if attribute != "" {
			value, err := readAll(func(b []byte) (int, error) { return unix.Lgetxattr(path, attribute, b) })
			ok(t, err)
			line += fmt.Sprintf(" %s=%x", attribute, value)
		}
	}
	return line
}

// plant fills a directory with one of each.
func plant(t *testing.T, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	ok(t, os.MkdirAll(at("dir/deep"), 0o755))
	ok(t, os.WriteFile(at("dir/file"), []byte("content"), 0o600))
	ok(t, os.Chown(at("dir/file"), 12, 34))
	ok(t, unix.Chmod(at("dir/file"), 0o6750))
	ok(t, os.Link(at("dir/file"), at("dir/deep/hard")))
	ok(t, os.Symlink("../../../nowhere", at("dir/soft")))
	ok(t, os.Lchown(at("dir/soft"), 5, 6))
	ok(t, os.Symlink("/etc", at("out")))
	ok(t, unix.Mkfifo(at("pipe"), 0o620))
	ok(t, unix.Mknod(at("null"), unix.S_IFCHR|0o640, int(unix.Mkdev(1, 3))))
	ok(t, os.WriteFile(at("program"), []byte("x"), 0o755))
	capability := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	ok(t, unix.Setxattr(at("program"), "security.capability", capability, 0))
	ok(t, unix.Setxattr(at("dir"), "user.note", []byte("kept"), 0))
	ok(t, unix.Setxattr(at("dir"), "user.empty", nil, 0))
	sparse, err := os.Create(at("sparse"))
	ok(t, err)
	for _, offset := range []int64{1 << 20, 9 << 20} {
		_, err = sparse.WriteAt([]byte("piece"), offset)
		ok(t, err)
	}
	ok(t, errors.Join(sparse.Truncate(20<<20), sparse.Close()))
	ok(t, os.WriteFile(at("empty"), nil, 0o444))
	for _, name := range []string{"dir/deep", "dir/file", "dir/soft", "pipe", "."} {
		times := []unix.Timespec{{Sec: 1, Nsec: 2}, {Sec: 1_000_000_000, Nsec: 123_456_789}}
		ok(t, unix.UtimesNanoAt(unix.AT_FDCWD, at(name), times, unix.AT_SYMLINK_NOFOLLOW))
	}
}

func TestCopyIsExact(t *testing.T) {
	root(t)
	from, to := t.TempDir(), t.TempDir()
	plant(t, from)
	ok(t, os.Chmod(from, 0o1771))
	ok(t, os.MkdirAll(filepath.Join(to, "dir/file/old"), 0o700)) // what was there before, partly under the same names
	ok(t, os.WriteFile(filepath.Join(to, ".gone"), []byte("old"), 0o600))
	want := tree(t, from)
	for range 2 {
		var stderr bytes.Buffer
		if status := Main([]string{from, to}, &stderr); status != 0 || stderr.Len() > 0 {
			t.Fatalf("status %d: %s", status, &stderr)
		}
		if d := cmp.Diff(want, tree(t, to)); d != "" {
			t.Fatalf("the copy differs (- original, + copy):\n%s", d)
		}
	}
	if d := cmp.Diff(want, tree(t, from)); d != "" {
		t.Errorf("the original changed:\n%s", d)
	}
	for _, part := range []string{"holes true", "security.capability=01000002", "user.note=6b657074", "same as dir/deep/hard", "12:34", "0106750"} {
		if !strings.Contains(want, part) {
			t.Errorf("the original lacks %q:\n%s", part, want)
		}
	}
}

// TestSocketsStay: a socket is of no use without the program that listens.
func TestSocketsStay(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	l, err := net.Listen("unix", filepath.Join(from, "socket"))
	ok(t, err)
	defer l.Close()
	ok(t, os.WriteFile(filepath.Join(from, "file"), nil, 0o600))
	ok(t, Copy(from, to))
	all, err := os.ReadDir(to)
	ok(t, err)
	if len(all) != 1 || all[0].Name() != "file" {
		t.Errorf("copied are %v", all)
	}
}

func TestWhatFails(t *testing.T) {
	dir := t.TempDir()
	for want, args := range map[string][]string{
		"usage: copy FROM TO\n": {"only"},
		"cannot empty " + dir + "/none: open " + dir + "/none: no such file or directory\n": {dir, dir + "/none"},
		"cannot read " + dir + "/none: open " + dir + "/none: no such file or directory\n":  {dir + "/none", t.TempDir()},
	} {
		var stderr bytes.Buffer
		if status := Main(args, &stderr); status == 0 || stderr.String() != want {
			t.Errorf("%v: status %d, says %q, want %q", args, status, &stderr, want)
		}
	}
}

// TestBigFile: a file larger than any buffer, without holes, is copied byte by byte.
func TestBigFile(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	content := bytes.Repeat([]byte("0123456789abcdef"), 2<<20/16*5)
	ok(t, os.WriteFile(filepath.Join(from, "big"), content, 0o600))
	ok(t, Copy(from, to))
	got, err := os.ReadFile(filepath.Join(to, "big"))
	ok(t, err)
	if !bytes.Equal(got, content) {
		t.Errorf("%d bytes became %d others", len(content), len(got))
	}
}
