package rest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nuage/api"
)

func (f *face) systemRoutes() []route {
	return []route{
		{get, "/healthz", public, "system", "get-health", "Say that the process lives", handle(f.health)},
		{get, "/readyz", public, "system", "get-readiness", "Say whether the cloud serves", handle(f.readiness)},
		{get, "/metrics", machine, "system", "get-metrics", "Show metrics in the Prometheus text format", stream(f.showMetrics(), bytesOut(http.StatusOK, "text/plain", "Metrics."))},
		{get, "/v1/status", anyToken, "system", "get-status", "Show the cloud at a glance", handle(f.status)},
		{get, "/v1/backup", accountToken, "system", "get-backup", "Take a consistent copy of the state while the cloud runs",
			stream(f.backup, bytesOut(http.StatusOK, "application/octet-stream", "The copy."))},
		{post, "/v1/shutdown", accountToken, "system", "shutdown", "Stop every workload, then the cloud; data stays", handle(f.shutdown, status(http.StatusAccepted))},
	}
}

// Health is the answer of the two probes.
type Health struct {
	Status string `json:"status" enum:"ok"`
}

func (f *face) health(context.Context, *nothing) (*body[Health], error) {
	return &body[Health]{Health{"ok"}}, nil
}

func (f *face) readiness(context.Context, *nothing) (*body[Health], error) {
	if err := f.Ready(); err != nil { // asked many times at each start: nothing for the log
		p := newProblem(http.StatusServiceUnavailable, api.Unavailable, fmt.Sprintf("cannot serve yet: %v", err))
		p.headers.Set("Retry-After", "1")
		return nil, p
	}
	return &body[Health]{Health{"ok"}}, nil
}

func (f *face) showMetrics() func(http.ResponseWriter, *http.Request, *nothing) error {
	h := promhttp.HandlerFor(f.Gatherer, promhttp.HandlerOpts{})
	return func(w http.ResponseWriter, r *http.Request, _ *nothing) error {
		h.ServeHTTP(w, r)
		return nil
	}
}

func (f *face) status(ctx context.Context, _ *nothing) (*body[api.CloudStatus], error) {
	return one(f.Cloud.System.Status(ctx))
}

func (f *face) backup(w http.ResponseWriter, r *http.Request, _ *nothing) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	return f.Cloud.System.Backup(r.Context(), w)
}

func (f *face) shutdown(ctx context.Context, _ *nothing) (*nothing, error) {
	return done(f.Cloud.System.Shutdown(ctx))
}
