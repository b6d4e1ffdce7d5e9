// Package metadata is the instance metadata service, version 2, as programs know it from EC2: a PUT gives a token for a
// time, and a GET with the token reads what the machine is told of itself. It is a handler only; the guest puts it at
// 169.254.169.254.
package metadata

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nuage/compute/guest/link"
)

// Headers of the protocol.
const (
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
)

// Address is where EC2 has the service.
const Address = "169.254.169.254"

// MaxTTL is the longest life of a token, in seconds.
const MaxTTL = 21600

// Service answers for one machine. It keeps nothing for a token, so a flood of requests fills no memory and takes no
// other client's token away.
type Service struct {
	config func() link.Config
	tokens tokens
}

// New returns the service of a machine that is as config says at each request.
func New(config func() link.Config, now func() time.Time) *Service {
	return &Service{config: config, tokens: newTokens(now)}
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "EC2ws")
	w.Header().Set("Content-Type", "text/plain")
	switch {
	case r.Method == http.MethodPut:
		s.issue(w, r)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		s.read(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, PUT")
		refuse(w, http.StatusMethodNotAllowed)
	}
}

// issue gives out a token. A request that came through a proxy gets none: it may not be the machine's own.
func (s *Service) issue(w http.ResponseWriter, r *http.Request) {
	if strings.Trim(r.URL.Path, "/") != "latest/api/token" {
		refuse(w, http.StatusMethodNotAllowed)
		return
	}
	if len(r.Header.Values("X-Forwarded-For")) > 0 {
		refuse(w, http.StatusForbidden)
		return
	}
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	if err != nil || ttl < 1 || ttl > MaxTTL {
		refuse(w, http.StatusBadRequest)
		return
	}
	w.Header().Set(ttlHeader, strconv.Itoa(ttl))
	io.WriteString(w, s.tokens.issue(ttl)) // where the client is gone there is nobody to tell
}

func (s *Service) read(w http.ResponseWriter, r *http.Request) {
	left, ok := s.tokens.check(r.Header.Get(tokenHeader))
	if !ok {
		refuse(w, http.StatusUnauthorized)
		return
	}
	text, found := lookup(s.config(), r.URL.Path)
	if !found {
		refuse(w, http.StatusNotFound)
		return
	}
	w.Header().Set(ttlHeader, strconv.Itoa(left))
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	io.WriteString(w, text)
}

func refuse(w http.ResponseWriter, status int) {
	w.WriteHeader(status)
	io.WriteString(w, strconv.Itoa(status)+" - "+http.StatusText(status)+"\n")
}
