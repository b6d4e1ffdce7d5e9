package ingress

import (
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/http"
	"net/textproto"
	"strings"

	"nuage/api"
)

// What a backend is told of its caller.
const (
	headerFor   = "X-Forwarded-For"
	headerHost  = "X-Forwarded-Host"
	headerProto = "X-Forwarded-Proto"
)

// requestID is the caller's id where it is sane, else a new one of 32 hex digits.
func requestID(given string) string {
	if sane(given) {
		return given
	}
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// sane reports whether an id is 1 to 128 characters that are harmless in a log and a header.
func sane(id string) bool {
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("._~:/+=-", c) >= 0:
		default:
			return false
		}
	}
	return len(id) > 0 && len(id) <= 128
}

// clean puts the headers of a request in order that only the edge may set: what a caller forged goes, who asked for what is told.
func clean(r *http.Request, id string) {
	for name := range r.Header {
		if reserved(name) {
			delete(r.Header, name)
		}
	}
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = r.RemoteAddr
	}
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	told := []string{client, r.Host, proto, id}
	r.Header[headerFor], r.Header[headerHost], r.Header[headerProto], r.Header[api.HeaderRequestID] = told[0:1:1], told[1:2:2], told[2:3:3], told[3:4:4]
}

// reserved reports whether only the edge may set a header. Programs behind a CGI or WSGI server take X_Nuage_User for
// X-Nuage-User, so both are.
func reserved(name string) bool {
	if c := name[0] | 0x20; c != 'f' && c != 'x' {
		return false
	}
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	return name == "forwarded" || name == "x-real-ip" || strings.HasPrefix(name, "x-forwarded-") || strings.HasPrefix(name, "x-nuage-")
}

// dropHopByHop removes what is meant for this connection only: RFC 9110, section 7.6.1.
func dropHopByHop(h http.Header) {
	for _, line := range h.Values("Connection") {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for name := range h {
		if hopByHop(name) {
			delete(h, name)
		}
	}
}

// hopByHop reports whether a header, named as net/http does, is for one connection only.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}
