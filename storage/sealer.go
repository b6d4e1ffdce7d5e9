package storage

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"nuage/api"
)

const (
	keyBytes   = 32
	sealFormat = 1
)

// Sealer encrypts secrets at rest with AES-256-GCM. Safe for concurrent use.
type Sealer struct {
	path        string
	fingerprint string
	aead        cipher.AEAD
}

// KeyOption changes what OpenKey does.
type KeyOption int

// MustExist makes OpenKey refuse to create a missing key: to be given when the store exists already, as its secrets
// would be lost behind a new key.
const MustExist KeyOption = 1

// OpenKey reads the key file at path (64 hex digits, mode 0600), or creates it with a new random key when missing.
// Errors: not_found with MustExist and no file; forbidden when others may read it; invalid when its content is no key;
// unavailable when it cannot be read or written.
func OpenKey(path string, options ...KeyOption) (*Sealer, error) {
	text, err := readKey(path)
	if errors.Is(err, os.ErrNotExist) {
		for _, o := range options {
			if o == MustExist {
				return nil, api.Errorf(api.NotFound, "cannot find key file %q, which opens the secrets of the store beside it; put it back from where you keep it (a new key can't open them)", path)
			}
		}
		text, err = createKey(path)
	}
	if err != nil {
		return nil, keyError(err, path)
	}
	key, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != keyBytes {
		return nil, api.Errorf(api.Invalid, "cannot use key file %q: it must hold %d hex digits; put the right file back", path, 2*keyBytes)
	}
	return newSealer(path, key)
}

func newSealer(path string, key []byte) (*Sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, keyError(err, path)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, keyError(err, path)
	}
	sum := sha256.Sum256(append([]byte("nuage key fingerprint\x00"), key...))
	return &Sealer{path: path, fingerprint: hex.EncodeToString(sum[:8]), aead: aead}, nil
}

func keyError(err error, path string) error {
	return unlessCoded(err, "cannot open key file %q", path)
}

func readKey(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", api.Errorf(api.Forbidden, "cannot use key file %q: its mode is %04o and others may read it; run \"chmod 600 %s\"", path, info.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

// createKey writes a new key under another name and links it into place, so that the file is whole from the start and
// of two processes only one makes it: the other reads what is there.
func createKey(path string) (string, error) {
	text := hex.EncodeToString(randomBytes(keyBytes)) + "\n"
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if removed := os.Remove(f.Name()); removed != nil {
		return "", removed
	}
	switch {
	case errors.Is(err, os.ErrExist):
		return readKey(path)
	case err != nil:
		return "", err
	}
	return text, syncDir(filepath.Dir(path))
}

// Fingerprint identifies the key without telling it: 16 hex digits.
func (s *Sealer) Fingerprint() string { return s.fingerprint }

// Seal encrypts plain. context names what it belongs to, such as "databases/db-1/password": the result opens with the
// same context only, so a sealed value copied into another record is of no use there.
func (s *Sealer) Seal(plain []byte, context string) []byte {
	nonce := randomBytes(s.aead.NonceSize())
	out := append([]byte{sealFormat}, nonce...)
	return s.aead.Seal(out, nonce, plain, []byte(context))
}

// Open decrypts what Seal made with the same key and context. Errors: internal when it was made with another key, for
// another context, or was changed; neither the message nor the cause tells anything of the content.
func (s *Sealer) Open(sealed []byte, context string) ([]byte, error) {
	head := 1 + s.aead.NonceSize()
	if len(sealed) < head || sealed[0] != sealFormat {
		return nil, api.Errorf(api.Internal, "cannot open the secret %q: it is no sealed value", context)
	}
	plain, err := s.aead.Open(nil, sealed[1:head], sealed[head:], []byte(context))
	if err != nil {
		return nil, api.Errorf(api.Internal, "cannot open the secret %q: it was sealed with another key or for something else, or was changed: %w", context, err)
	}
	return plain, nil
}

// randomBytes can't fail: crypto/rand ends the process where the system has no randomness.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(fmt.Sprintf("storage: no randomness: %v", err))
	}
	return b
}
