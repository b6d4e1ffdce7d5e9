package rest

import (
	"io"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
)

func TestNew(t *testing.T) {
	reg := prometheus.NewRegistry()
	_, err := New(Options{Cloud: api.Cloud{}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: reg, Gatherer: reg, Ready: func() error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
}
