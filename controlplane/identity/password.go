package identity

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"nuage/api"
)

// The cost of argon2id, as OWASP's password storage cheat sheet advises: 19 MiB, 2 passes, one lane.
const (
	argonMemory = 19 << 10 // KiB
	argonPasses = 2
	argonLanes  = 1
	argonBytes  = 32
	saltBytes   = 16

	hashWait = 5 * time.Second // for a turn

	minPassword = 10  // characters
	maxPassword = 256 // bytes
)

// hasher computes argon2id, as many at a time as there are processors: each takes 19 MiB.
type hasher struct {
	turns chan struct{}
	decoy string // what a user who does not exist is checked against, so that the answer takes as long
}

func newHasher() *hasher {
	h := &hasher{turns: make(chan struct{}, runtime.GOMAXPROCS(0))}
	h.decoy = encodeHash(random(saltBytes), random(argonBytes))
	return h
}

// turn waits until fewer than the most are computed. Unavailable: it took too long.
func (h *hasher) turn(ctx context.Context) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	select {
	case h.turns <- struct{}{}:
		return func() { <-h.turns }, nil
	case <-ctx.Done():
		return nil, api.Errorf(api.Unavailable, "cannot check the password now: too many others are being checked; try again")
	}
}

// hash makes the stored form of a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	done, err := h.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	salt := random(saltBytes)
	return encodeHash(salt, argon2.IDKey([]byte(password), salt, argonPasses, argonMemory, argonLanes, argonBytes)), nil
}

func encodeHash(salt, sum []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonPasses, argonLanes, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// verify tells whether a password is the one of a stored form. "" is nobody's, and takes as long.
func (h *hasher) verify(ctx context.Context, stored, password string) (bool, error) {
	done, err := h.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	known := stored != ""
	if !known {
		stored = h.decoy
	}
	salt, sum, passes, memory, lanes, err := decodeHash(stored)
	if err != nil {
		return false, err
	}
	got := argon2.IDKey([]byte(clip(password, maxPassword+1)), salt, passes, memory, lanes, uint32(len(sum)))
	return subtle.ConstantTimeCompare(got, sum) == 1 && known, nil
}

func decodeHash(stored string) (salt, sum []byte, passes, memory uint32, lanes uint8, err error) {
	bad := api.Errorf(api.Internal, "cannot read a stored password: it is no argon2id hash")
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return nil, nil, 0, 0, 0, bad
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil {
		return nil, nil, 0, 0, 0, bad
	}
	if salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return nil, nil, 0, 0, 0, bad
	}
	if sum, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(sum) == 0 {
		return nil, nil, 0, 0, 0, bad
	}
	return salt, sum, passes, memory, lanes, nil
}

// checkPassword refuses what is too easy or too long. The word is a key of the pages' texts; "" is fine.
func checkPassword(password, email string) string {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return "passwordShort"
	case len(password) > maxPassword:
		return "passwordLong"
	case strings.EqualFold(password, email), strings.Count(password, password[:1]) == len(password):
		return "passwordEasy"
	}
	return ""
}

// hashOf is how random secrets of full strength are stored: codes, cookies, refresh tokens.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// sameText compares in constant time.
func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func clip(s string, n int) string { return s[:min(len(s), n)] }
