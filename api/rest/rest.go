// Package rest is the HTTP face of a cloud: typed operations over an api.Cloud, described by OpenAPI 3.1, with
// RFC 9457 problems for everything that fails. See ../DESIGN.md.
package rest

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"
	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
)

// Options are what New needs. Cloud, Logger, Registerer, Gatherer and Ready are required.
type Options struct {
	Cloud      api.Cloud
	Logger     *slog.Logger
	Registerer prometheus.Registerer  // takes the metrics nuage_http_*
	Gatherer   prometheus.Gatherer    // what /metrics shows
	Ready      func() error           // nil: the cloud serves; else why it does not yet
	Changed    func() <-chan struct{} // a channel that is closed when something of the cloud changes next; nil: one a second
	Version    string                 // of the program, for the description of the API
	Hosts      []string               // names in the Host header that are accepted besides loopback ones, without port
	MaxBody    int64                  // most bytes of a JSON body; 0: 6 MiB
}

// New returns the handler of the control address.
//
// The caller's http.Server shall set ReadHeaderTimeout (10 s is good) and IdleTimeout, but neither ReadTimeout nor
// WriteTimeout: JSON bodies get their own 30 s here, while uploads, logs, waits and execs may take long.
func New(o Options) (http.Handler, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	meters, err := newMeters(o.Registerer)
	if err != nil {
		return nil, err
	}
	f := &face{Options: o, meters: meters, router: mux.NewRouter().SkipClean(true)}
	f.router.NotFoundHandler = http.HandlerFunc(f.noRoute)
	f.router.MethodNotAllowedHandler = http.HandlerFunc(f.wrongMethod)
	f.router.Use(nameRoute)
	f.huma = humamux.New(f.router, f.config())
	for _, r := range f.routes() {
		f.add(r)
	}
	if err := f.describe(); err != nil {
		return nil, err
	}
	return f.observe(f.recover(f.guard(f.direct(getForHead(f.router))))), nil
}

// face is the handler's state; nothing of it changes after New.
type face struct {
	Options
	router  *mux.Router
	huma    huma.API
	meters  *meters
	openapi []byte
}

func (o *Options) check() error {
	if o.Logger == nil || o.Registerer == nil || o.Gatherer == nil || o.Ready == nil {
		return errors.New("cannot make the HTTP API: Logger, Registerer, Gatherer and Ready are required")
	}
	if o.MaxBody < 0 {
		return fmt.Errorf("cannot make the HTTP API: MaxBody %d is negative", o.MaxBody)
	}
	if o.MaxBody == 0 {
		o.MaxBody = api.MaxPayloadBytes
	}
	return nil
}

// getForHead lets each GET route answer HEAD: the server leaves the body out by itself.
func getForHead(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			get := *r
			get.Method = http.MethodGet
			r = &get
		}
		next.ServeHTTP(w, r)
	})
}
