package main

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nuage/storage"
)

// sealedTar is a full backup with just these entries.
func sealedTar(t *testing.T, entries ...tar.Header) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "full.nuage")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed := storage.Seal(f)
	out := tar.NewWriter(sealed)
	for _, h := range entries {
		content := []byte(h.PAXRecords["content"])
		h.PAXRecords = nil
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(content))
		}
		if err := out.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := out.Write(content); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, end := range []func() error{out.Close, sealed.Close, f.Close} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func entry(name, content string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, PAXRecords: map[string]string{"content": content}}
}

// stateOf is a backup of a new state, and the key that belongs to it.
func stateOf(t *testing.T) (state, key string) {
	t.Helper()
	dir := t.TempDir()
	store, err := storage.Open(filepath.Join(dir, "state.db"), storage.Options{NewCloudID: func() string { return "cloud-1" }})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	sealer, err := storage.OpenKey(filepath.Join(dir, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.CheckKey(sealer); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := store.Backup(&b); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), string(text)
}

// tree is all files of a folder with their content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		out[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestHostileBackupsAreRefused whose checksum is right: nothing of them comes into the home or beside it.
func TestHostileBackupsAreRefused(t *testing.T) {
	state, key := stateOf(t)
	_, other := stateOf(t)
	begin := []tar.Header{entry(stateName, state), entry("secret.key", key)}
	for name, c := range map[string]struct {
		entries []tar.Header
		says    string
	}{
		"path up":        {append(begin, entry("blobs/../../evil", "x")), "has no place in a home"},
		"absolute":       {append(begin, entry("/tmp/evil", "x")), "has no place in a home"},
		"settings":       {append(begin, entry("config.json", "{}")), "has no place in a home"},
		"link":           {append(begin, tar.Header{Name: "keys/a", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), "has no place in a home"},
		"twice":          {append(begin, entry("keys/a", "1"), entry("keys/a", "2")), "has no place in a home"},
		"no state":       {[]tar.Header{entry("secret.key", key)}, "it does not begin with the state"},
		"no key":         {begin[:1], "cannot find key file"},
		"another key":    {[]tar.Header{begin[0], entry("secret.key", other)}, "its key is not the one of its state"},
		"damaged state":  {[]tar.Header{entry(stateName, state[:len(state)-1]), begin[1]}, "damaged"},
		"a key too many": {append(begin, entry("secret.key", other)), "has no place in a home"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			home := filepath.Join(parent, "home")
			for path, content := range map[string]string{"secret.key": "mine", "keys/a": "mine"} {
				if err := writeDurable(filepath.Join(home, path), strings.NewReader(content)); err != nil {
					t.Fatal(err)
				}
			}
			before := tree(t, parent)
			r := restoring{home: home, stage: filepath.Join(home, "restore.part")}
			if err := r.from(sealedTar(t, c.entries...)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it says %v, want %q in it", err, c.says)
			}
			if after := tree(t, parent); !sameTree(before, after) {
				t.Errorf("the home has changed: %d files before, %d after", len(before), len(after))
			}
		})
	}
}

func sameTree(a, b map[string]string) bool {
	for path, content := range a {
		if b[path] != content {
			return false
		}
	}
	return len(a) == len(b)
}

// TestFailedRestorePutsKeysBack when a file can't come to its place: here a folder is there.
func TestFailedRestorePutsKeysBack(t *testing.T) {
	state, key := stateOf(t)
	home := t.TempDir()
	if err := writeDurable(filepath.Join(home, "secret.key"), strings.NewReader("mine")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(home, "blobs/backups/b-1.dump/x"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := tree(t, home)
	r := restoring{home: home, stage: filepath.Join(home, "restore.part")}
	err := r.from(sealedTar(t, entry(stateName, state), entry("secret.key", key), entry("blobs/backups/b-1.dump", "dump")))
	if err == nil || !strings.Contains(err.Error(), "b-1.dump") {
		t.Errorf("it says %v", err)
	}
	if !sameTree(before, tree(t, home)) {
		t.Errorf("the home is not as it was: %v", tree(t, home))
	}
}
