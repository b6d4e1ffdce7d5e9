package functions_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"nuage/api"
	"nuage/functions"
	"nuage/functions/wasm"
)

// noJournal stores nothing, so that what is measured is the Invoker and wazero.
type noJournal struct{}

func (noJournal) Finish(_ context.Context, r functions.Record) (api.Receipt, error) {
	return api.Receipt{RequestID: r.RequestID, BilledMs: r.BilledMs}, nil
}

// hello is a WASI command that writes "hello" to stdout: iovec at 0, text at 8, fd_write(1, 0, 1, 16).
const hello = "\x00asm\x01\x00\x00\x00" +
	"\x01\x0c\x02\x60\x04\x7f\x7f\x7f\x7f\x01\x7f\x60\x00\x00" + // types
	"\x02\x23\x01\x16wasi_snapshot_preview1\x08fd_write\x00\x00" + // import
	"\x03\x02\x01\x01" + "\x05\x03\x01\x00\x01" + // function, memory
	"\x07\x13\x02\x06memory\x02\x00\x06_start\x00\x01" + // exports
	"\x0a\x0f\x01\x0d\x00\x41\x01\x41\x00\x41\x01\x41\x10\x10\x00\x1a\x0b" + // code
	"\x0b\x13\x01\x00\x41\x00\x0b\x0d\x08\x00\x00\x00\x05\x00\x00\x00hello" // data

// BenchmarkWasm is whole invocations of a small wasm function by concurrent callers.
func BenchmarkWasm(b *testing.B) {
	runtime, err := wasm.New(wasm.Options{})
	if err != nil {
		b.Fatal(err)
	}
	i := functions.New(functions.Options{Runtimes: map[string]functions.Runtime{"wasm": runtime}, Journal: noJournal{}})
	b.Cleanup(func() {
		if err := i.Close(); err != nil {
			b.Error(err)
		}
	})
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.wasm"), []byte(hello), 0o600); err != nil {
		b.Fatal(err)
	}
	d := functions.Deployment{FunctionID: "fn-1", Project: "p", Name: "hello", Version: 1, Runtime: "wasm", CodeDir: dir}
	if err := i.Deploy(b.Context(), d); err != nil {
		b.Fatal(err)
	}
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) { bench(b, i, callers) })
	}
}

func bench(b *testing.B, i *functions.Invoker, callers int) {
	b.ReportAllocs()
	work := make(chan struct{}, callers)
	done := make(chan error, callers)
	for range callers {
		go func() {
			for range work {
				answer, err := i.Invoke(b.Context(), "fn-1", functions.Call{})
				if err != nil || string(answer.Payload) != "hello" {
					done <- fmt.Errorf("got %q, %w", answer.Payload, err)
					return
				}
			}
			done <- nil
		}()
	}
	b.ResetTimer()
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	for range callers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
