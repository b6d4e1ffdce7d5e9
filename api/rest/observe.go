package rest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
)

// record is what is known of a request once it is over.
type record struct {
	routine bool // a call of a function: its receipt tells of it
	id      string
	route   string // template; "none" where no route matched
	actor   string
}

type recordKey struct{}

func recordOf(ctx context.Context) *record {
	rec, _ := ctx.Value(recordKey{}).(*record)
	if rec == nil {
		return &record{}
	}
	return rec
}

func requestID(ctx context.Context) string { return recordOf(ctx).id }

// meters are the request metrics, by route template: raw paths would have no bound.
type meters struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMeters(reg prometheus.Registerer) (*meters, error) {
	m := &meters{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nuage_http_requests_total", Help: "Requests to the HTTP API by route template, method and status.",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "nuage_http_request_duration_seconds", Help: "Time to answer a request, waits and streams included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		}, []string{"route", "method"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("cannot register the metrics of the HTTP API: %w", err)
		}
	}
	return m, nil
}

// observe gives each request its id, counts it and logs it.
func (f *face) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &record{id: acceptID(r.Header.Get(api.HeaderRequestID)), route: "none"}
		r = r.WithContext(context.WithValue(r.Context(), recordKey{}, rec))
		w.Header().Set(api.HeaderRequestID, rec.id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		a := &answer{ResponseWriter: w}
		defer func() { f.observed(r, rec, a, time.Since(start)) }()
		next.ServeHTTP(a, r)
	})
}

func (f *face) observed(r *http.Request, rec *record, a *answer, took time.Duration) {
	method := knownMethod(r.Method)
	f.meters.requests.WithLabelValues(rec.route, method, strconv.Itoa(a.code())).Inc()
	f.meters.duration.WithLabelValues(rec.route, method).Observe(took.Seconds())
	level := slog.LevelInfo
	if r.Method == http.MethodGet || r.Method == http.MethodHead || rec.routine {
		level = slog.LevelDebug
	}
	if !f.Logger.Enabled(r.Context(), level) {
		return // what is to be logged is not put together in vain
	}
	f.Logger.Log(r.Context(), level, "request", "requestId", rec.id, "method", r.Method, "path", r.URL.Path, "route", rec.route,
		"status", a.code(), "bytes", a.bytes, "duration", took, "actor", rec.actor)
}

// knownMethod bounds the metric's label: a client may send any word as its method.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions:
		return method
	}
	return "other"
}

// nameRoute notes the template of the route that matched.
func nameRoute(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if route := mux.CurrentRoute(r); route != nil {
			if template, err := route.GetPathTemplate(); err == nil {
				recordOf(r.Context()).route = template
			}
		}
		next.ServeHTTP(w, r)
	})
}

// recover answers a panic with a problem and logs it in full.
func (f *face) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v)
			}
			f.panicked(w, r, v)
		}()
		next.ServeHTTP(w, r)
	})
}

func (f *face) panicked(w http.ResponseWriter, r *http.Request, v any) {
	if a, ok := w.(*answer); ok && a.begun() {
		if r.Context().Err() == nil {
			f.Logger.ErrorContext(r.Context(), "panic within an answer", "requestId", requestID(r.Context()), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
		panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
	}
	f.Logger.ErrorContext(r.Context(), "panic", "requestId", requestID(r.Context()), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	f.fail(w, r, newProblem(http.StatusInternalServerError, api.Internal, "internal error"))
}

var goodID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// acceptID keeps the id a caller brought, where it is harmless, so that a request can be followed through programs.
func acceptID(brought string) string {
	if brought != "" && goodID.MatchString(brought) {
		return brought
	}
	var b [8]byte
	rand.Read(b[:]) // never fails: see crypto/rand
	return "req-" + hex.EncodeToString(b[:])
}

// answer notes what a handler wrote. Unwrap keeps flushing, deadlines and hijacking reachable.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (a *answer) begun() bool { return a.status != 0 }

func (a *answer) code() int {
	if a.status == 0 {
		return http.StatusOK
	}
	return a.status
}

// WriteHeader notes the first final status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write counts.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
