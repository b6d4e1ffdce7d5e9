package wasm

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	wasmapi "github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"nuage/api"
	"nuage/functions"
)

// tryTime bounds the start section of a module at deploy.
const tryTime = time.Second

// program is one compiled deployment.
type program struct {
	name   string
	engine wazero.Runtime
	code   wazero.CompiledModule
	config wazero.ModuleConfig
	env    [][2]string // names and values
	memory *memories   // of the runtime
	seats  sync.Pool   // of *seat
}

// instanceConfig is what all instances of a deployment have in common, but for the environment: see seat.
func instanceConfig(d functions.Deployment) wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithName("").WithArgs(d.Name).WithStartFunctions().
		WithSysWalltime().WithSysNanotime().WithRandSource(rand.Reader)
}

// environment lists the variables of all instances of a deployment in a stable order.
func environment(d functions.Deployment) [][2]string {
	var env [][2]string
	for _, name := range slices.Sorted(maps.Keys(d.Env)) {
		env = append(env, [2]string{name, d.Env[name]})
	}
	return append(env, [2]string{"AWS_LAMBDA_FUNCTION_NAME", d.Name}, [2]string{"AWS_LAMBDA_FUNCTION_VERSION", fmt.Sprint(d.Version)},
		[2]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", fmt.Sprint(d.MemoryMB)})
}

// try makes one instance, which finds imports that are missing.
func (p *program) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	instance, err := p.engine.InstantiateModule(p.memory.in(ctx), p.code, p.config)
	if err != nil {
		return err
	}
	return instance.Close(ctx)
}

// Close implements functions.Program. The code in the cache's memory goes with its last user.
func (p *program) Close() error {
	var code error
	if p.code != nil {
		code = p.code.Close(context.Background())
	}
	return errors.Join(code, p.engine.Close(context.Background()))
}

// Call implements functions.Program.
func (p *program) Call(ctx context.Context, e functions.Event) (functions.Outcome, error) {
	run, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	s := p.seat()
	s.take(run, cancel, e)
	begin := time.Now()
	instance, err := p.engine.InstantiateModule(p.memory.in(run), p.code, s.config.WithEnv(requestVariable, e.RequestID))
	o := functions.Outcome{Init: time.Since(begin)}
	if err == nil {
		err = start(run, instance, &o)
	}
	if ctx.Err() != nil {
		return functions.Outcome{}, api.Errorf(api.Unavailable, "cannot finish the call of function %q: the cloud is stopping", p.name)
	}
	o = judge(run, o, e, &s.answer, err)
	p.leave(s)
	return o, nil
}

// start runs the instance to its end and closes it.
func start(ctx context.Context, instance wasmapi.Module, o *functions.Outcome) error {
	memory := instance.ExportedMemory("memory") // a closed instance has none
	begin := time.Now()
	_, err := instance.ExportedFunction("_start").Call(ctx)
	o.Duration = time.Since(begin)
	if memory != nil {
		o.MaxMemoryMB = (int64(memory.Size()) + 1<<20 - 1) >> 20
	}
	return errors.Join(err, instance.Close(context.Background()))
}

// judge says how the run ended.
func judge(run context.Context, o functions.Outcome, e functions.Event, answer *output, err error) functions.Outcome {
	var exit *sys.ExitError
	switch {
	case answer.over:
		o.Status, o.Payload = functions.Error, functions.TooLarge(e.RequestID)
	case err == nil || errors.As(err, &exit) && exit.ExitCode() == 0:
		o.Status, o.Payload = functions.OK, bytes.Clone(answer.Bytes())
	case errors.Is(run.Err(), context.DeadlineExceeded):
		o.Status = functions.Timeout
	case exit != nil:
		o.Status = functions.Error
		o.Payload = functions.Exited(e.RequestID, fmt.Sprintf("exit status %d", exit.ExitCode()))
	default:
		o.Status, o.Payload = functions.Crash, trap(e, err)
	}
	return o
}

// trap puts the stack of a trap into the log and its first line into the document.
func trap(e functions.Event, err error) []byte {
	fmt.Fprintln(e.Log, err) // never fails
	first, _, _ := strings.Cut(err.Error(), "\n")
	return functions.Exited(e.RequestID, first)
}
