package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	coldRounds = 7
	burst      = 16 // calls at once of a function for which two sandboxes are ready
)

// runOnce is docker run for one event of a handler, by function. A Go function is a client of the Runtime API and does nothing alone, so
// the least of a container stands in for it.
func runOnce() map[string][]string {
	return map[string][]string{
		"python": {"nuage/python:1", "python3", "-c", pythonOnce},
		"node": {"nuage/nodejs:1", "node", "-e",
			`require('./greet.js').handler(JSON.parse(require('fs').readFileSync(0))).then((a) => console.log(JSON.stringify(a)))`},
		"go": {"nuage/debian-12:1", "echo", "Hello, Ada!"},
	}
}

// coldRows times the first call of a new version of each function, with a sandbox ready, against docker run of the same code in the same image.
func (l *lab) coldRows(ctx context.Context) ([]row, error) {
	var rows []row
	for _, name := range []string{"python", "node", "go"} {
		colds, runs := make([]time.Duration, coldRounds), make([]time.Duration, coldRounds)
		once := runOnce()[name]
		for i := range coldRounds {
			var err error
			if colds[i], err = l.cold(ctx, name, i); err != nil {
				return rows, err
			}
			if runs[i], err = dockerOnce(ctx, once); err != nil {
				return rows, err
			}
		}
		l.runs[name] = median(runs)
		rows = append(rows, timeRow(name+": cold start, sandbox ready", median(colds), l.runs[name], "bind, load, first call, receipt", "docker run "+once[0]+" per call"))
	}
	return rows, nil
}

// dockerRuns fills in what docker run per call comes to, for as many callers as a small machine can bear.
func (l *lab) dockerRuns(ctx context.Context) error {
	s := &subject{name: "docker run per call, Python", results: map[int]result{}}
	l.subjects = append(l.subjects, s)
	for _, callers := range []int{1, 8} {
		r, err := crowdCalls(callers, turn, func() error { _, err := dockerOnce(ctx, runOnce()["python"]); return err })
		if err != nil {
			return err
		}
		s.results[callers] = r
	}
	return nil
}

// cold deploys a function anew and times its first call, after the pool is full again.
func (l *lab) cold(ctx context.Context, name string, turn int) (time.Duration, error) {
	f, err := l.api.Functions.Get(ctx, "default", name)
	if err != nil {
		return 0, err
	}
	f.Spec.Env = map[string]string{"TURN": fmt.Sprint(turn)}
	if _, err := l.api.Functions.Update(ctx, "default", name, f.Spec, 0); err != nil {
		return 0, err
	}
	if _, err := l.api.Functions.Wait(ctx, "default", name, time.Minute); err != nil {
		return 0, err
	}
	if err := l.quiet(ctx); err != nil {
		return 0, err
	}
	begin := time.Now()
	err = l.invoke(name)()
	return time.Since(begin), err
}

// quiet waits until the number of the cloud's containers has not changed for a while: sandboxes are made and removed beside calls.
func (l *lab) quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	const looks = 4
	last, same := "", 0
	for same < looks {
		now, err := l.containers(ctx)
		if err != nil {
			return err
		}
		if text := strings.Join(now, " "); text == last {
			same++
		} else {
			last, same = text, 0
		}
		select {
		case <-time.After(150 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// containers are those of the cloud.
func (l *lab) containers(ctx context.Context) ([]string, error) {
	status, err := l.api.System.Status(ctx)
	if err != nil {
		return nil, err
	}
	found, err := dockerDo(ctx, "ps", "--quiet", "--filter", "label=nuage.cloud="+status.CloudID)
	all := strings.Fields(found)
	slices.Sort(all)
	return all, err
}

// dockerOnce times a container for one event.
func dockerOnce(ctx context.Context, command []string) (time.Duration, error) {
	folder, err := filepath.Abs(samplesDir)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	cmd := exec.CommandContext(ctx, "docker", append([]string{"run", "--rm", "--interactive", "--volume", folder + ":/code:ro", "--workdir", "/code"}, command...)...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(`{"name":"Ada"}`), os.Stderr
	out, err := cmd.Output()
	if err == nil && !bytes.Contains(out, []byte("Hello, Ada!")) {
		err = fmt.Errorf("docker run answers %q", out)
	}
	return time.Since(begin), err
}

// burstRows makes more calls at once than sandboxes are ready.
func (l *lab) burstRows(ctx context.Context) ([]row, error) {
	if _, err := l.cold(ctx, "python", -1); err != nil { // one is bound, two are ready
		return nil, err
	}
	if err := l.quiet(ctx); err != nil {
		return nil, err
	}
	call := l.invoke("python")
	times, errs := make([]time.Duration, burst), make([]error, burst)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range burst {
		wg.Go(func() {
			errs[i] = call()
			times[i] = time.Since(begin)
		})
	}
	wg.Wait()
	slices.Sort(times)
	name := fmt.Sprintf("python: a burst of %d, 2 sandboxes ready", burst)
	return []row{
		timeRow(name+", first", times[0], l.runs["python"], "bind, load, call", "docker run per call"),
		timeRow(name+", last", times[burst-1], l.runs["python"], "a sandbox is made, or one gets free", "docker run per call"),
	}, errors.Join(errs...)
}

// idleRows looks at what a function does between its calls: nothing of it runs.
func (l *lab) idleRows(ctx context.Context) ([]row, error) {
	all, err := l.containers(ctx)
	if err != nil {
		return nil, err
	}
	bound, processes, running := 0, 0, 0
	for _, id := range all {
		states, err := dockerDo(ctx, "top", id, "-eo", "pid,stat")
		if err != nil {
			return nil, err
		}
		stopped, others := countStopped(states)
		if stopped == 0 {
			continue // nothing is bound to it
		}
		bound, processes, running = bound+1, processes+stopped+others, running+others
	}
	if bound == 0 {
		return nil, errors.New("no sandbox of an idle function has stopped processes")
	}
	return []row{{name: "idle functions: processes that run", ours: fmt.Sprint(running), base: fmt.Sprint(processes), ratio: float64(running) / float64(processes),
		oursIs: fmt.Sprintf("in %d sandboxes", bound), baseIs: "processes there, the guests left out"}}, nil
}

// countStopped reads the processes of a container but the first, its guest.
func countStopped(states string) (stopped, others int) {
	for i, line := range strings.Split(states, "\n") {
		fields := strings.Fields(line)
		switch {
		case i < 2 || len(fields) < 2: // the heading, the guest
		case strings.HasPrefix(fields[1], "T"):
			stopped++
		default:
			others++
		}
	}
	return stopped, others
}
