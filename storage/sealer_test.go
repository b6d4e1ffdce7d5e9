package storage_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"nuage/api"
	"nuage/storage"
)

func newKey(t *testing.T) (string, *storage.Sealer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret.key")
	sealer, err := storage.OpenKey(path)
	must(t, err)
	return path, sealer
}

func TestSealerOpensWhatItSealed(t *testing.T) {
	path, sealer := newKey(t)
	again, err := storage.OpenKey(path, storage.MustExist)
	must(t, err)
	for _, plain := range []string{"", "hunter2", strings.Repeat("long ", 10_000)} {
		sealed := sealer.Seal([]byte(plain), "databases/db-1/password")
		if plain != "" && bytes.Contains(sealed, []byte(plain)) {
			t.Error("the sealed value shows the plain one")
		}
		if bytes.Equal(sealed, sealer.Seal([]byte(plain), "databases/db-1/password")) {
			t.Error("sealing twice gives the same")
		}
		got, err := again.Open(sealed, "databases/db-1/password")
		if err != nil || string(got) != plain {
			t.Errorf("opened %.20q, %v; want %.20q", got, err, plain)
		}
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
}

func TestSealerRefusesWhatIsNotIts(t *testing.T) {
	_, sealer := newKey(t)
	_, other := newKey(t)
	good := sealer.Seal([]byte("hunter2"), "a")
	changed := bytes.Clone(good)
	changed[len(changed)-1] ^= 1
	const wrong = `cannot open the secret %q: it was sealed with another key or for something else, or was changed: cipher: message authentication failed`
	cases := []struct {
		name    string
		sealer  *storage.Sealer
		sealed  []byte
		context string
		message string
	}{
		{"other context", sealer, good, "b", fmt.Sprintf(wrong, "b")},
		{"other key", other, good, "a", fmt.Sprintf(wrong, "a")},
		{"changed", sealer, changed, "a", fmt.Sprintf(wrong, "a")},
		{"cut", sealer, good[:5], "a", `cannot open the secret "a": it is no sealed value`},
		{"other format", sealer, append([]byte{9}, good[1:]...), "a", `cannot open the secret "a": it is no sealed value`},
		{"nothing", sealer, nil, "a", `cannot open the secret "a": it is no sealed value`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.sealer.Open(c.sealed, c.context)
			wantError(t, err, api.Internal, "", c.message)
		})
	}
}

func TestOpenKeyRefuses(t *testing.T) {
	good := strings.Repeat("0f", 32) + "\n"
	cases := []struct {
		name, content string
		mode          os.FileMode
		code          api.Code
		message       string
	}{
		{"readable by others", good, 0o644, api.Forbidden, `cannot use key file "PATH": its mode is 0644 and others may read it; run "chmod 600 PATH"`},
		{"readable by group", good, 0o640, api.Forbidden, `cannot use key file "PATH": its mode is 0640 and others may read it; run "chmod 600 PATH"`},
		{"short", good[:40], 0o600, api.Invalid, `cannot use key file "PATH": it must hold 64 hex digits; put the right file back`},
		{"no hex", strings.Repeat("zz", 32), 0o600, api.Invalid, `cannot use key file "PATH": it must hold 64 hex digits; put the right file back`},
		{"empty", "", 0o600, api.Invalid, `cannot use key file "PATH": it must hold 64 hex digits; put the right file back`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret.key")
			must(t, os.WriteFile(path, []byte(c.content), c.mode))
			must(t, os.Chmod(path, c.mode))
			_, err := storage.OpenKey(path)
			wantError(t, err, c.code, path, c.message)
			if left, _ := os.ReadFile(path); string(left) != c.content {
				t.Error("the file was changed")
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "secret.key")
	_, err := storage.OpenKey(missing, storage.MustExist)
	wantError(t, err, api.NotFound, missing, `cannot find key file "PATH", which opens the secrets of the store beside it; put it back from where you keep it (a new key can't open them)`)
	if _, err := os.Stat(missing); !os.IsNotExist(err) {
		t.Errorf("a key was made after all: %v", err)
	}
	nowhere := filepath.Join(t.TempDir(), "no", "secret.key")
	_, err = storage.OpenKey(nowhere)
	if api.CodeOf(err) != api.Unavailable {
		t.Errorf("a missing folder answered %v", err)
	}
}

// TestOpenKeyRace: many that find no key agree on one, and no other file stays.
func TestOpenKeyRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret.key")
	prints := make([]string, 16)
	var group sync.WaitGroup
	for i := range prints {
		group.Go(func() {
			sealer, err := storage.OpenKey(path)
			if err != nil {
				t.Error(err)
				return
			}
			prints[i] = sealer.Fingerprint()
		})
	}
	group.Wait()
	for _, p := range prints {
		if p != prints[0] || len(p) != 16 {
			t.Fatalf("fingerprints differ: %q", prints)
		}
	}
	left, err := filepath.Glob(path + "*")
	must(t, err)
	if len(left) != 1 {
		t.Errorf("files %v, want the key alone", left)
	}
}

func TestCheckKey(t *testing.T) {
	s := newStore(t)
	_, mine := newKey(t)
	otherPath, other := newKey(t)
	must(t, s.CheckKey(mine))
	must(t, s.CheckKey(mine))
	err := s.CheckKey(other)
	wantError(t, err, api.Conflict, s.Path(), fmt.Sprintf(`cannot use key %q: the secrets in "PATH" were sealed with another key; put that key file back`, otherPath))
}
