package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"nuage/api"
)

// samplesDir has the functions of the bench.
const samplesDir = "cmd/nuage-bench/testdata"

// crowds are the numbers of callers at once.
func crowds() []int { return []int{1, 8, 64} }

const (
	turns    = 3                       // that each subject gets, in turns with the others, so that a busy machine is busy for all
	turn     = 1200 * time.Millisecond // how long one lasts
	settling = 15 * time.Second        // that callers may take until all sandboxes are warm
	wholeCPU = 1769                    // MB of memory, with which a sandbox has a processor
)

// subject is one way to have an event answered.
type subject struct {
	name    string
	call    func() error
	sandbox bool // its sandboxes take all the room that there is
	slow    bool // one turn shows enough
	results map[int]result
}

// result is what a number of callers at once got.
type result struct {
	times []time.Duration
	took  time.Duration
}

func (r result) rate() float64 { return float64(len(r.times)) / r.took.Seconds() }

func (r result) at(percent int) time.Duration {
	if len(r.times) == 0 {
		return 0
	}
	slices.Sort(r.times)
	return r.times[len(r.times)*percent/100]
}

// lab is a cloud with the functions of the bench, and what they are measured against.
type lab struct {
	*cloud
	yard     *yardsticks
	caller   caller
	subjects []*subject
	runs     map[string]time.Duration // what docker run takes for one event, by function
}

// benchWasm measures what needs no engine: wasm functions against the yardsticks.
func benchWasm(ctx context.Context, binary string) ([]row, error) {
	l, err := openLab(ctx, binary, "sim")
	if err != nil {
		return nil, err
	}
	defer l.close()
	err = l.measure()
	l.print()
	return l.ceilingRows(), err
}

// benchFunctions measures all runtimes: warm in one table, then cold starts, a burst and an idle function.
func benchFunctions(ctx context.Context, binary string) ([]row, error) {
	l, err := openLab(ctx, binary, "docker")
	if err != nil {
		return nil, err
	}
	defer l.close()
	if err := l.deploySandboxes(ctx); err != nil {
		return nil, err
	}
	err = errors.Join(l.measure(), l.dockerRuns(ctx))
	l.print()
	rows := l.ceilingRows()
	if err != nil {
		return rows, err
	}
	for _, more := range []func(context.Context) ([]row, error){l.coldRows, l.burstRows, l.idleRows} {
		made, err := more(ctx)
		if rows = append(rows, made...); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func openLab(ctx context.Context, binary, engine string) (*lab, error) {
	c, err := start(ctx, binary, engine)
	if err != nil {
		return nil, err
	}
	l := &lab{cloud: c, caller: newCaller(c.token), runs: map[string]time.Duration{}}
	if l.yard, err = startYardsticks(ctx); err != nil {
		c.stop()
		return nil, err
	}
	l.add("bare net/http handler, echoes", l.post(l.yard.url+echoPath), false)
	l.add("bare handler that commits the record: the ceiling", l.post(l.yard.url+ceilingPath), false)
	if err := l.deployWasm(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lab) close() {
	l.yard.stop()
	l.stop()
}

func (l *lab) add(name string, call func() error, sandbox bool) {
	l.subjects = append(l.subjects, &subject{name: name, call: call, sandbox: sandbox, results: map[int]result{}})
}

func (l *lab) post(url string) func() error {
	event := []byte(`{"name":"Ada"}`)
	return func() error { return l.caller.do(http.MethodPost, url, event) }
}

func (l *lab) invoke(name string) func() error {
	return l.post(l.url + "/v1/projects/default/functions/" + name + "/invocations")
}

func (l *lab) deployWasm(ctx context.Context) error {
	module, err := os.ReadFile(filepath.Join(samplesDir, "module", "digest.wasm"))
	if err != nil {
		return err
	}
	command, err := goBuild(ctx, "command", "GOOS=wasip1", "GOARCH=wasm")
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name, title string
		code        []byte
	}{{"digest", "wasm, C, 100 KB", module}, {"command", "wasm, Go, 3 MB", command}} {
		if err := l.create(ctx, f.name, "main.wasm", f.code, api.FunctionSpec{Runtime: "wasm"}); err != nil {
			return err
		}
		l.add(f.title, l.invoke(f.name), false)
	}
	return nil
}

func (l *lab) deploySandboxes(ctx context.Context) error {
	program, err := goBuild(ctx, "lambda", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	if err != nil {
		return err
	}
	python, err := os.ReadFile(filepath.Join(samplesDir, "greet.py"))
	if err != nil {
		return err
	}
	node, err := os.ReadFile(filepath.Join(samplesDir, "greet.js"))
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name, file, title string
		code              []byte
		spec              api.FunctionSpec
	}{
		{"go", "bootstrap", "Go sandbox, warm", program, api.FunctionSpec{Runtime: "provided"}},
		{"python", "greet.py", "Python sandbox, warm", python, api.FunctionSpec{Runtime: "python", Handler: "greet.handler"}},
		{"node", "greet.js", "Node.js sandbox, warm", node, api.FunctionSpec{Runtime: "nodejs", Handler: "greet.handler"}},
	} {
		f.spec.MemoryMB = wholeCPU
		if err := l.create(ctx, f.name, f.file, f.code, f.spec); err != nil {
			return err
		}
		l.add(f.title, l.invoke(f.name), true)
	}
	if _, err := exec.LookPath("python3"); err != nil {
		fmt.Println("there is no python3 on this machine, so no process is started per call")
		return nil
	}
	l.add("a Python process per call, and the commit", l.post(l.yard.url+forkPath), false)
	l.subjects[len(l.subjects)-1].slow = true
	return nil
}

// goBuild builds a sample with this machine's Go.
func goBuild(ctx context.Context, name string, env ...string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "nuage-bench-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "out")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "lambda.norpc", "-o", out, "./"+samplesDir+"/"+name)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build of %s: %w: %s", name, err, said)
	}
	return os.ReadFile(out)
}

// create deploys a function of one file.
func (c *cloud) create(ctx context.Context, name, file string, code []byte, spec api.FunctionSpec) error {
	var folder bytes.Buffer
	t := tar.NewWriter(&folder)
	err := t.WriteHeader(&tar.Header{Name: file, Mode: 0o755, Size: int64(len(code)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = t.Write(code)
	}
	if err := errors.Join(err, t.Close()); err != nil {
		return err
	}
	source, err := c.api.Sources.Put(ctx, "default", &folder)
	if err != nil {
		return err
	}
	spec.Source = source.ID
	_, err = c.api.Functions.Create(ctx, "default", name, spec)
	return err
}

// measure fills in the results of all subjects.
func (l *lab) measure() error {
	for _, callers := range crowds() {
		together, alone := l.subjects, []*subject(nil)
		if callers > 8 { // more sandboxes of one function than there is room for those of all
			alone = slices.DeleteFunc(slices.Clone(together), func(s *subject) bool { return !s.sandbox })
			together = slices.DeleteFunc(slices.Clone(together), func(s *subject) bool { return s.sandbox })
		}
		if err := inTurns(callers, together...); err != nil {
			return err
		}
		for _, s := range alone {
			if err := inTurns(callers, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// inTurns measures subjects by turns, after those of sandboxes have as many as the callers need.
func inTurns(callers int, subjects ...*subject) error {
	for _, s := range subjects {
		if !s.sandbox {
			continue
		}
		if err := s.warm(callers); err != nil {
			return err
		}
	}
	for n := range turns {
		for _, s := range subjects {
			if s.slow && n > 0 {
				continue
			}
			r, err := crowdCalls(callers, turn, s.call)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			sum := s.results[callers]
			s.results[callers] = result{append(sum.times, r.times...), sum.took + r.took}
		}
	}
	return nil
}

// warm calls until a turn brings no call that takes as long as a sandbox does.
func (s *subject) warm(callers int) error {
	const short, asSandbox = 500 * time.Millisecond, 100 * time.Millisecond
	for begin := time.Now(); time.Since(begin) < settling; {
		r, err := crowdCalls(callers, short, s.call)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if r.at(100-1) < asSandbox {
			return nil
		}
	}
	return nil
}

// crowdCalls calls from a number of callers for a time. One that is told to come again does, and its time is counted from the first try.
func crowdCalls(callers int, d time.Duration, call func() error) (result, error) {
	const again = 5 * time.Millisecond
	times, errs := make([][]time.Duration, callers), make([]error, callers)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range callers {
		wg.Go(func() {
			for from := time.Now(); from.Sub(begin) < d; from = time.Now() {
				err := call()
				for errors.Is(err, api.Exhausted) {
					time.Sleep(again)
					err = call()
				}
				if err != nil {
					errs[i] = err
					return
				}
				times[i] = append(times[i], time.Since(from))
			}
		})
	}
	wg.Wait()
	return result{slices.Concat(times...), time.Since(begin)}, errors.Join(errs...)
}

// print prints the one table of calls.
func (l *lab) print() {
	fmt.Printf("\n%-50s", "CALLS over HTTP, each with its durable receipt")
	for _, callers := range crowds() {
		fmt.Printf(" | %9s %9s %8s", fmt.Sprintf("%d: p50", callers), "p99", "calls/s")
	}
	fmt.Println()
	for _, s := range l.subjects {
		fmt.Printf("%-50s", s.name)
		for _, callers := range crowds() {
			r, ok := s.results[callers]
			if !ok {
				fmt.Print(" | ", strings.Repeat(" ", 28))
				continue
			}
			fmt.Printf(" | %9s %9s %8.0f", round(r.at(50)), round(r.at(99)), r.rate())
		}
		fmt.Println()
	}
	fmt.Println()
}

// named finds a subject by how its name begins; nil: there is none.
func (l *lab) named(begin string) *subject {
	for _, s := range l.subjects {
		if strings.HasPrefix(s.name, begin) {
			return s
		}
	}
	return nil
}

// ceilingRows are the ratios to the ceiling.
func (l *lab) ceilingRows() []row {
	var rows []row
	ceiling := l.named("bare handler that commits")
	for _, s := range l.subjects {
		for _, callers := range crowds() {
			r, base := s.results[callers], ceiling.results[callers]
			if !strings.HasPrefix(s.name, "wasm, C") || len(r.times) == 0 {
				continue
			}
			rows = append(rows, rateRow(fmt.Sprintf("%s, %d at once", s.name, callers), r.rate(), base.rate(), "durable receipt", "the ceiling"))
		}
		if r := s.results[1]; s.sandbox && len(r.times) > 0 {
			rows = append(rows, timeRow(s.name+", p50", r.at(50), ceiling.results[1].at(50), "durable receipt", "the ceiling"))
		}
	}
	return rows
}
