package identity

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238: what authenticator apps compute
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// One-time codes as RFC 6238 has them by default: SHA-1, 30 s, 6 digits. A clock may be a step off.
const (
	totpStep  = 30
	totpSkew  = 1
	totpBytes = 20
)

// totpCode is the code of a step (RFC 4226, section 5.3).
func totpCode(key []byte, step int64) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	mac := hmac.New(sha1.New, key)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:at+4])&0x7fffffff%1_000_000)
}

// matchTOTP finds the step a code is of, later than the last one taken.
func matchTOTP(key []byte, code string, last int64, now time.Time) (step int64, ok bool) {
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	current := now.Unix() / totpStep
	for s := current - totpSkew; s <= current+totpSkew; s++ {
		if sameText(totpCode(key, s), code) && s > last && !ok {
			step, ok = s, true
		}
	}
	return step, ok
}

// totpText is a key as people type it: groups of four.
func totpText(key []byte) string {
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(key)
	var groups []string
	for len(text) > 4 {
		groups, text = append(groups, text[:4]), text[4:]
	}
	return strings.Join(append(groups, text), " ")
}

// totpURI is what an authenticator app takes.
func totpURI(key []byte, pool, email string) string {
	query := url.Values{"secret": {strings.ReplaceAll(totpText(key), " ", "")}, "issuer": {pool}}
	return (&url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + pool + ":" + email, RawQuery: query.Encode()}).String()
}

func totpContext(u User) string { return u.Key() + "/totp" }
