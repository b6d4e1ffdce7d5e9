package ingress

import (
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/http"
	"net/textproto"
	"regexp"
	"strings"

	"nuage/api"
)

var sane = regexp.MustCompile(`^[A-Za-z0-9._~:/+=-]{1,128}$`)

// requestID is the caller's id where it is sane, else a new one of 32 hex digits.
func requestID(given string) string {
	if sane.MatchString(given) {
		return given
	}
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// fromOutside is a copy of r with the headers that only the edge may set: what a caller forged is gone.
func fromOutside(r *http.Request, id string) *http.Request {
	out := r.Clone(r.Context())
	for name := range out.Header {
		if reserved(name) {
			delete(out.Header, name)
		}
	}
	for name, values := range forwarded(r) {
		out.Header[name] = values
	}
	out.Header.Set(api.HeaderRequestID, id)
	return out
}

// reserved reports whether only the edge may set a header. Programs behind a CGI or WSGI server take X_Nuage_User for
// X-Nuage-User, so both are.
func reserved(name string) bool {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	return name == "forwarded" || name == "x-real-ip" || strings.HasPrefix(name, "x-forwarded-") || strings.HasPrefix(name, "x-nuage-")
}

// forwarded tells a backend who asked for what.
func forwarded(r *http.Request) http.Header {
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = r.RemoteAddr
	}
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	return http.Header{"X-Forwarded-For": {client}, "X-Forwarded-Host": {r.Host}, "X-Forwarded-Proto": {proto}}
}

// dropHopByHop removes what is meant for this connection only: RFC 9110, section 7.6.1.
func dropHopByHop(h http.Header) {
	for _, line := range h.Values("Connection") {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for _, name := range []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		h.Del(name)
	}
}
