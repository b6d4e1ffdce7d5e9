package metadata

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// tokens makes and checks tokens: the end of their life, a nonce, and a digest of both that only this boot can make.
type tokens struct {
	key []byte
	now func() time.Time
}

const (
	bodySize  = 8 + 12
	tokenSize = bodySize + sha256.Size
)

func newTokens(now func() time.Time) tokens {
	key := make([]byte, 32)
	rand.Read(key)
	return tokens{key, now}
}

// issue returns a token for so many seconds.
func (t tokens) issue(seconds int) string {
	end := t.now().Add(time.Duration(seconds) * time.Second)
	token := binary.BigEndian.AppendUint64(make([]byte, 0, tokenSize), uint64(end.UnixMilli()))
	token = token[:bodySize]
	rand.Read(token[8:])
	return base64.URLEncoding.EncodeToString(append(token, t.digest(token)...))
}

// check returns how many seconds, begun ones included, a token is still good for.
func (t tokens) check(text string) (seconds int, ok bool) {
	token, err := base64.URLEncoding.DecodeString(text)
	if err != nil || len(token) != tokenSize || !hmac.Equal(token[bodySize:], t.digest(token[:bodySize])) {
		return 0, false
	}
	left := time.UnixMilli(int64(binary.BigEndian.Uint64(token))).Sub(t.now())
	return int((left + time.Second - 1) / time.Second), left > 0
}

func (t tokens) digest(body []byte) []byte {
	h := hmac.New(sha256.New, t.key)
	h.Write(body)
	return h.Sum(nil)
}
