package main

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
	"nuage/api/apitest"
	"nuage/api/client"
	"nuage/api/rest"
)

// TestConformanceOverHTTP runs the suite of all faces through the HTTP face and the client, over a cloud opened as serve
// opens it, with the simulator.
func TestConformanceOverHTTP(t *testing.T) {
	apitest.Run(t, func(t *testing.T) apitest.Fixture {
		url, token := conformanceCloud(t)
		return apitest.Fixture{Cloud: client.New(url, token), Patience: 20 * time.Second,
			Login: func(_ *testing.T, secret string) (api.Cloud, context.Context) {
				return client.New(url, secret), context.Background()
			}}
	})
}

// conformanceCloud opens a cloud in a home of its own and serves it until the test ends.
func conformanceCloud(t *testing.T) (url, token string) {
	t.Helper()
	c := &cloud{registry: prometheus.NewRegistry(), conf: serveConfig{Home: t.TempDir(), Engine: "sim", Listen: "127.0.0.1:0", Edge: "127.0.0.1:0",
		Log: slog.New(slog.DiscardHandler)}}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	for _, open := range []func(context.Context) error{c.openStore, c.listen, c.openEngine} {
		if err := open(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.openPlane(ctx, cancel); err != nil {
		t.Fatal(err)
	}
	face, err := rest.New(rest.Options{Cloud: c.plane.Cloud(), Logger: c.conf.Log, Registerer: c.registry, Gatherer: c.registry, Ready: c.plane.Ready, Changed: c.plane.Changed, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(face)
	done := make(chan error, 1)
	go func() { done <- c.plane.Run(ctx) }()
	t.Cleanup(func() {
		server.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	for deadline := time.Now().Add(20 * time.Second); c.plane.Ready() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %v", c.plane.Ready())
		}
	}
	conf, err := loadConfig(c.conf.Home)
	if err != nil {
		t.Fatal(err)
	}
	return server.URL, conf.Token
}
