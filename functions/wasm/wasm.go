// Package wasm runs functions that are WASI preview 1 commands, in this process: the event on stdin, the answer on
// stdout, the log on stderr, exit status 0 or it failed. The module is compiled at deploy; every call gets a fresh
// instance that is gone afterwards. A function sees its environment, the clocks and random bytes, and neither files nor
// a network. Its memory is bounded; its share of the processor is not.
//
// A call of a wasm function is never cold, for the code is compiled at deploy. Making the instance is the call's
// Init, and it is charged.
package wasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"nuage/api"
	"nuage/functions"
)

// Options are what a Runtime needs.
type Options struct {
	CacheDir string // keeps compiled code from one process to the next; "" keeps none. Nobody else may write to it
	Logger   *slog.Logger
}

// Runtime is the functions.Runtime for WebAssembly.
type Runtime struct {
	cache  wazero.CompilationCache
	logger *slog.Logger
	memory memories
}

// New makes a Runtime. Internal: the cache's directory can not be made.
func New(o Options) (*Runtime, error) {
	cache, err := newCache(o.CacheDir)
	if err != nil {
		return nil, api.Errorf(api.Internal, "cannot use %q for compiled functions: %w", o.CacheDir, err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Runtime{cache: cache, logger: o.Logger}, nil
}

func newCache(dir string) (wazero.CompilationCache, error) {
	if dir == "" {
		return wazero.NewCompilationCache(), nil
	}
	return wazero.NewCompilationCacheWithDir(dir)
}

// Close implements functions.Runtime.
func (r *Runtime) Close() error { return r.cache.Close(context.Background()) }

// Check implements functions.Runtime: it compiles the module, which also fills the cache, and makes one instance
// without starting it.
func (r *Runtime) Check(ctx context.Context, d functions.Deployment) error {
	p, err := r.Open(ctx, d)
	if err != nil {
		return err
	}
	return p.Close()
}

// Open implements functions.Runtime.
func (r *Runtime) Open(ctx context.Context, d functions.Deployment) (functions.Program, error) {
	binary, err := load(d)
	if err != nil {
		return nil, err
	}
	p, err := r.compile(ctx, d, binary)
	if err != nil {
		return nil, err
	}
	if err := p.try(ctx); err != nil {
		return nil, errors.Join(refuse(d, "%w", err), p.Close())
	}
	return p, nil
}

// load reads the one module of the code.
func load(d functions.Deployment) ([]byte, error) {
	path, err := find(d)
	if err != nil {
		return nil, err
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		return nil, api.Errorf(api.Internal, "cannot read the code of function %q: %w", d.Name, err)
	}
	if len(binary) < 4 || string(binary[:4]) != "\x00asm" {
		return nil, refuse(d, "no WebAssembly module: %q does not begin as one", filepath.Base(path))
	}
	return binary, nil
}

// find names the module: main.wasm, bootstrap.wasm or function.wasm, else the only *.wasm.
func find(d functions.Deployment) (string, error) {
	entries, err := os.ReadDir(d.CodeDir)
	if err != nil {
		return "", api.Errorf(api.Internal, "cannot read the code of function %q: %w", d.Name, err)
	}
	var modules, files []string
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		files = append(files, e.Name())
		switch e.Name() {
		case "main.wasm", "bootstrap.wasm", "function.wasm":
			return filepath.Join(d.CodeDir, e.Name()), nil
		}
		if filepath.Ext(e.Name()) == ".wasm" {
			modules = append(modules, e.Name())
		}
	}
	if len(modules) == 0 && len(files) == 1 {
		modules = files
	}
	if len(modules) != 1 {
		return "", refuse(d, "no WebAssembly module: there must be one *.wasm, or one named main.wasm, and there are %d", len(modules))
	}
	return filepath.Join(d.CodeDir, modules[0]), nil
}

// refuse says why a deployment can not run.
func refuse(d functions.Deployment, format string, args ...any) error {
	return api.Errorf(api.Invalid, "cannot deploy function %q: %w", d.Name, fmt.Errorf(format, args...))
}

// compile makes the module ready in an engine of its own, which holds its memory to the deployment's limit.
func (r *Runtime) compile(ctx context.Context, d functions.Deployment, binary []byte) (*program, error) {
	config := wazero.NewRuntimeConfig().WithCompilationCache(r.cache).WithCloseOnContextDone(true).
		WithMemoryLimitPages(pages(d.MemoryMB)).WithDebugInfoEnabled(false) // interruptible moves the code away from its line numbers
	p := &program{engine: wazero.NewRuntimeWithConfig(ctx, config), name: d.Name, memory: &r.memory}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, p.engine); err != nil {
		return nil, errors.Join(api.Errorf(api.Internal, "cannot prepare function %q: %w", d.Name, err), p.Close())
	}
	code, err := p.engine.CompileModule(ctx, interruptible(binary))
	if err != nil {
		return nil, errors.Join(refuse(d, "no WebAssembly module: %w", err), p.Close())
	}
	p.code = code
	start, ok := code.ExportedFunctions()["_start"]
	if !ok || len(start.ParamTypes()) > 0 || len(start.ResultTypes()) > 0 {
		return nil, errors.Join(refuse(d, "no WASI command: the module exports no function _start; build it as a program, not a library"), p.Close())
	}
	p.config, p.env = instanceConfig(d), environment(d)
	return p, nil
}

// pages turns MiB into pages of 64 KiB, of which a module can address 65,536.
func pages(memoryMB int64) uint32 { return uint32(min(memoryMB*16, 65536)) }
