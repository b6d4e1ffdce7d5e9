package docker

import (
	"context"
	"fmt"
	"testing"

	"nuage/compute"
)

// BenchmarkEngine measures the verbs that stand in somebody's way.
func BenchmarkEngine(b *testing.B) {
	e, err := New(b.Context(), Options{CloudID: "bench-" + random()})
	if err != nil {
		b.Skip(err)
	}
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Cleanup(func() { must(e.RemoveAll(context.Background())) })
	w := compute.Workload{Image: tiny, Command: []string{"sleep", "1000"}}
	b.Run("create, start, remove", func(b *testing.B) {
		for b.Loop() {
			w.ID = "w"
			must(e.Create(b.Context(), w))
			must(e.Start(b.Context(), "w"))
			must(e.Remove(b.Context(), "w"))
		}
	})
	for i := range 20 {
		w.ID = fmt.Sprint("w", i)
		must(e.Create(b.Context(), w))
	}
	b.Run("list 20", func(b *testing.B) {
		for b.Loop() {
			_, err := e.List(b.Context())
			must(err)
		}
	})
	must(e.Start(b.Context(), "w0"))
	b.Run("update", func(b *testing.B) {
		for b.Loop() {
			must(e.Update(b.Context(), "w0", compute.Limits{MilliCPU: 500, MemoryBytes: 64 << 20, Pids: 100}))
		}
	})
}
