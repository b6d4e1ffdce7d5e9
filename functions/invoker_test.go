package functions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"nuage/api"
)

// fake is a runtime whose programs do what answer says.
type fake struct {
	mu     sync.Mutex
	check  error
	opened []*fakeProgram
	answer func(context.Context, Deployment, Event) (Outcome, error)
	closed bool
}

func (f *fake) Check(context.Context, Deployment) error { return f.check }

func (f *fake) Open(_ context.Context, d Deployment) (Program, error) {
	p := &fakeProgram{runtime: f, d: d}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened = append(f.opened, p)
	return p, nil
}

func (f *fake) Close() error {
	f.closed = true
	return nil
}

type fakeProgram struct {
	runtime *fake
	d       Deployment
	closed  bool
}

func (p *fakeProgram) Call(ctx context.Context, e Event) (Outcome, error) {
	return p.runtime.answer(ctx, p.d, e)
}

func (p *fakeProgram) Close() error {
	p.runtime.mu.Lock()
	defer p.runtime.mu.Unlock()
	p.closed = true
	return nil
}

// journal keeps records, or fails.
type journal struct {
	mu      sync.Mutex
	records []Record
	err     error
}

func (j *journal) Finish(_ context.Context, r Record) (api.Receipt, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return api.Receipt{}, j.err
	}
	j.records = append(j.records, r)
	return api.Receipt{RequestID: r.RequestID, BilledMs: r.BilledMs}, nil
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func echo(_ context.Context, _ Deployment, e Event) (Outcome, error) {
	return Outcome{Payload: e.Payload, Status: OK, Duration: 1500 * time.Microsecond}, nil
}

// newTest makes an Invoker with one deployed function.
func newTest(t *testing.T, answer func(context.Context, Deployment, Event) (Outcome, error), change func(*Options)) (*Invoker, *fake, *journal) {
	t.Helper()
	f, j := &fake{answer: answer}, &journal{}
	o := Options{Runtimes: map[string]Runtime{"fake": f}, Journal: j, Now: func() time.Time { return start }}
	if change != nil {
		change(&o)
	}
	i := New(o)
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := i.Deploy(t.Context(), testDeployment(1)); err != nil {
		t.Fatal(err)
	}
	return i, f, j
}

func testDeployment(version int) Deployment {
	return Deployment{FunctionID: "fn-1", Project: "p", Name: "f", Version: version, Runtime: "fake"}
}

func TestInvoke(t *testing.T) {
	const id = "11111111-2222-4333-8444-555555555555"
	tests := []struct {
		name    string
		outcome Outcome
		answer  api.Answer
		record  Record
		log     string
	}{
		{
			name:    "cold",
			outcome: Outcome{Payload: []byte("{}"), Status: OK, Cold: true, Init: 2_000_400, Duration: 1_000_700, MaxMemoryMB: 9},
			answer:  api.Answer{Payload: []byte("{}"), ContentType: "application/json", Receipt: api.Receipt{RequestID: id, BilledMs: 3}},
			record:  Record{Cold: true, Init: 2_000_000, Duration: 1_000_000, BilledMs: 3, MaxMemoryMB: 9, AnswerBytes: 2, Status: OK},
			log: "printed\nEND RequestId: " + id + "\nREPORT RequestId: " + id +
				"\tDuration: 1.00 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\tMax Memory Used: 9 MB\tInit Duration: 2.00 ms\n",
		},
		{
			name:    "warm, any bytes",
			outcome: Outcome{Payload: []byte("\xff"), ContentType: "image/png", Status: OK, Duration: 1_000_001_000, MaxMemoryMB: 9},
			answer:  api.Answer{Payload: []byte("\xff"), ContentType: "image/png", Receipt: api.Receipt{RequestID: id, BilledMs: 1001}},
			record:  Record{Duration: 1_000_001_000, BilledMs: 1001, MaxMemoryMB: 9, AnswerBytes: 1, Status: OK},
			log: "printed\nEND RequestId: " + id + "\nREPORT RequestId: " + id +
				"\tDuration: 1000.00 ms\tBilled Duration: 1001 ms\tMemory Size: 128 MB\tMax Memory Used: 9 MB\n",
		},
		{
			name:    "no time at all",
			outcome: Outcome{Status: OK},
			answer:  api.Answer{ContentType: "application/json", Receipt: api.Receipt{RequestID: id, BilledMs: 1}},
			record:  Record{BilledMs: 1, Status: OK},
			log: "printed\nEND RequestId: " + id + "\nREPORT RequestId: " + id +
				"\tDuration: 0.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 0 MB\n",
		},
		{
			name:    "the function's error",
			outcome: Outcome{Payload: []byte(`{"errorMessage":"m"}`), Status: Error, Duration: time.Millisecond},
			answer: api.Answer{Payload: []byte(`{"errorMessage":"m"}`), ContentType: "application/json", FunctionError: "Unhandled",
				Receipt: api.Receipt{RequestID: id, BilledMs: 1}},
			record: Record{Duration: time.Millisecond, BilledMs: 1, AnswerBytes: 20, Status: Error},
			log: "printed\nEND RequestId: " + id + "\nREPORT RequestId: " + id +
				"\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 0 MB\n",
		},
		{
			name:    "time-out",
			outcome: Outcome{Status: Timeout, Duration: 3002 * time.Millisecond},
			answer: api.Answer{
				Payload:     []byte(`{"errorMessage":"RequestId: ` + id + ` Error: Task timed out after 3.00 seconds","errorType":"Sandbox.Timedout"}`),
				ContentType: "application/json", FunctionError: "Unhandled", Receipt: api.Receipt{RequestID: id, BilledMs: 3000}},
			record: Record{Duration: 3 * time.Second, BilledMs: 3000, AnswerBytes: 138, Status: Timeout},
			log: "printed\n" + id + " Task timed out\nEND RequestId: " + id + "\nREPORT RequestId: " + id +
				"\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\tMax Memory Used: 0 MB\n",
		},
		{
			name:    "answer too large",
			outcome: Outcome{Payload: make([]byte, api.MaxPayloadBytes+1), Status: OK, Duration: time.Millisecond},
			answer: api.Answer{
				Payload:     []byte(`{"errorMessage":"RequestId: ` + id + ` Error: Response payload size exceeded maximum allowed payload size (6291456 bytes).","errorType":"Function.ResponseSizeTooLarge"}`),
				ContentType: "application/json", FunctionError: "Unhandled", Receipt: api.Receipt{RequestID: id, BilledMs: 1}},
			record: Record{Duration: time.Millisecond, BilledMs: 1, AnswerBytes: 194, Status: Error},
			log: "printed\nEND RequestId: " + id + "\nREPORT RequestId: " + id +
				"\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 0 MB\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i, _, j := newTest(t, func(_ context.Context, _ Deployment, e Event) (Outcome, error) {
				fmt.Fprint(e.Log, "printed")
				return tt.outcome, nil
			}, nil)
			got, err := i.Invoke(t.Context(), "fn-1", Call{RequestID: id, Payload: []byte("event")})
			if err != nil {
				t.Fatal(err)
			}
			tt.answer.Log = "START RequestId: " + id + " Version: 1\n" + tt.log
			if diff := cmp.Diff(tt.answer, got); diff != "" {
				t.Error(diff)
			}
			want := tt.record
			want.RequestID, want.Project, want.Function, want.FunctionID, want.Version = id, "p", "f", "fn-1", 1
			want.StartedAt, want.MemoryMB, want.PayloadBytes, want.Answer = start, 128, 5, tt.answer.Payload
			if diff := cmp.Diff([]Record{want}, j.records); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequestIDs(t *testing.T) {
	shape := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if a, b := NewRequestID(), NewRequestID(); a == b || !shape.MatchString(a) {
		t.Errorf("got %s and %s", a, b)
	}
}

func TestInvokeErrors(t *testing.T) {
	i, f, j := newTest(t, echo, nil)
	check := func(name string, err error, code api.Code, text string) {
		t.Helper()
		if !errors.Is(err, code) || err.Error() != text {
			t.Errorf("%s: got %s: %v\nwant %s: %s", name, api.CodeOf(err), err, code, text)
		}
	}
	_, err := i.Invoke(t.Context(), "fn-2", Call{})
	check("unknown", err, api.NotFound, `cannot call function "fn-2": it is not deployed`)
	_, err = i.Invoke(t.Context(), "fn-1", Call{Payload: make([]byte, api.MaxPayloadBytes+1)})
	check("payload", err, api.Invalid, `cannot call function "f": the payload has 6291457 bytes, and 6291456 is the most`)
	f.answer = func(context.Context, Deployment, Event) (Outcome, error) {
		return Outcome{}, api.Errorf(api.Invalid, "cannot take that")
	}
	_, err = i.Invoke(t.Context(), "fn-1", Call{})
	check("refused event", err, api.Invalid, "cannot take that")
	if len(j.records) != 0 {
		t.Errorf("calls that did not run are charged: %+v", j.records)
	}
	f.answer = echo
	j.err = api.Errorf(api.Unavailable, "cannot write")
	_, err = i.Invoke(t.Context(), "fn-1", Call{RequestID: "r"})
	check("journal", err, api.Unavailable, `cannot answer request r of function "f": its receipt could not be stored: cannot write`)
	j.err = errors.New("disk on fire")
	_, err = i.Invoke(t.Context(), "fn-1", Call{RequestID: "r"})
	check("journal's defect", err, api.Internal, `cannot answer request r of function "f": its receipt could not be stored: disk on fire`)
}

// blocked is an answer that waits until it is let go.
func blocked() (answer func(context.Context, Deployment, Event) (Outcome, error), release func()) {
	gate := make(chan struct{})
	return func(ctx context.Context, d Deployment, e Event) (Outcome, error) {
		select {
		case <-gate:
			return echo(ctx, d, e)
		case <-ctx.Done():
			return Outcome{}, api.Errorf(api.Unavailable, "stopped")
		}
	}, sync.OnceFunc(func() { close(gate) })
}

func TestConcurrency(t *testing.T) {
	tests := []struct {
		name          string
		overall, each int
		want          string
	}{
		{"of the function", 5, 2, `cannot call function "f": its 2 calls at once are under way; try again, or raise its concurrency`},
		{"of all", 2, 0, `cannot call function "f": the cloud's 2 calls at once are under way; try again`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer, release := blocked()
				i, _, j := newTest(t, answer, func(o *Options) { o.MaxConcurrency = tt.overall })
				d := testDeployment(2)
				d.Concurrency = tt.each
				if err := i.Deploy(t.Context(), d); err != nil {
					t.Fatal(err)
				}
				var calls sync.WaitGroup
				for range 2 {
					calls.Go(func() { i.Invoke(context.Background(), "fn-1", Call{}) })
				}
				synctest.Wait()
				_, err := i.Invoke(t.Context(), "fn-1", Call{})
				if !errors.Is(err, api.Exhausted) || err.Error() != tt.want {
					t.Errorf("got %v", err)
				}
				release()
				calls.Wait()
				if _, err := i.Invoke(t.Context(), "fn-1", Call{}); err != nil || len(j.records) != 3 {
					t.Errorf("after the calls: %v, %d records", err, len(j.records))
				}
			})
		})
	}
}

// A caller that hangs up does not stop its call, which is charged.
func TestCallerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer, release := blocked()
		i, _, j := newTest(t, answer, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var call sync.WaitGroup
		call.Go(func() { i.Invoke(ctx, "fn-1", Call{}) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		release()
		call.Wait()
		if len(j.records) != 1 || j.records[0].Status != OK {
			t.Errorf("got %+v", j.records)
		}
	})
}

func TestRedeploy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer, release := blocked()
		i, f, j := newTest(t, answer, nil)
		var call sync.WaitGroup
		call.Go(func() { i.Invoke(context.Background(), "fn-1", Call{}) })
		synctest.Wait()
		f.check = api.Errorf(api.Invalid, "cannot deploy that")
		if err := i.Deploy(t.Context(), testDeployment(2)); !errors.Is(err, api.Invalid) || len(f.opened) != 1 {
			t.Errorf("a bad version: %v, %d opened", err, len(f.opened))
		}
		checked := testDeployment(3)
		checked.Checked = true
		if err := i.Deploy(t.Context(), checked); err != nil {
			t.Error(err)
		}
		if err := i.Deploy(t.Context(), checked); err != nil || len(f.opened) != 2 {
			t.Errorf("the same once more: %v, %d opened", err, len(f.opened))
		}
		if err := i.Deploy(t.Context(), testDeployment(2)); !errors.Is(err, api.Conflict) || err.Error() != `cannot deploy version 2 of function "f": version 3 serves already` {
			t.Errorf("an older version: %v", err)
		}
		if f.opened[0].closed {
			t.Error("the old version was closed under its call")
		}
		release()
		call.Wait()
		if !f.opened[0].closed || f.opened[1].closed {
			t.Errorf("closed: old %v, new %v", f.opened[0].closed, f.opened[1].closed)
		}
		if _, err := i.Invoke(t.Context(), "fn-1", Call{}); err != nil || j.records[0].Version != 1 || j.records[1].Version != 3 {
			t.Errorf("got %v, %+v", err, j.records)
		}
	})
}

func TestUnknownRuntime(t *testing.T) {
	i, _, _ := newTest(t, echo, nil)
	d := testDeployment(1)
	d.Runtime = "cobol"
	if err := i.Deploy(t.Context(), d); !errors.Is(err, api.Unsupported) || err.Error() != `cannot deploy function "f": this cloud has no runtime "cobol"` {
		t.Errorf("got %v", err)
	}
}

func TestRemove(t *testing.T) {
	i, f, _ := newTest(t, echo, nil)
	lines, err := i.Logs("fn-1", LogQuery{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	i.Remove("fn-1")
	i.Remove("fn-1")
	if _, err := i.Invoke(t.Context(), "fn-1", Call{}); !errors.Is(err, api.NotFound) || !f.opened[0].closed {
		t.Errorf("got %v, closed %v", err, f.opened[0].closed)
	}
	if _, err := io.ReadAll(lines); err != nil { // ends, as the function is gone
		t.Error(err)
	}
	if _, err := i.Logs("fn-1", LogQuery{}); !errors.Is(err, api.NotFound) {
		t.Errorf("got %v", err)
	}
}

// Close lets calls finish, then stops those that do not; nothing unreceipted is answered.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer, release := blocked()
		i, f, j := newTest(t, answer, func(o *Options) { o.Drain = 10 * time.Second })
		var call sync.WaitGroup
		call.Go(func() {
			if _, err := i.Invoke(context.Background(), "fn-1", Call{}); !errors.Is(err, api.Unavailable) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		began := time.Now()
		if err := i.Close(); err != nil {
			t.Error(err)
		}
		call.Wait()
		if took := time.Since(began); took != 10*time.Second || !f.opened[0].closed || !f.closed || len(j.records) != 0 {
			t.Errorf("took %s, program closed %v, runtime closed %v, %d records", took, f.opened[0].closed, f.closed, len(j.records))
		}
		release()
		if _, err := i.Invoke(t.Context(), "fn-1", Call{}); !errors.Is(err, api.Unavailable) {
			t.Errorf("got %v", err)
		}
		if err := i.Deploy(t.Context(), testDeployment(2)); !errors.Is(err, api.Unavailable) {
			t.Errorf("got %v", err)
		}
	})
}

func TestMetrics(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	i, _, _ := newTest(t, func(context.Context, Deployment, Event) (Outcome, error) {
		return Outcome{Status: Error, Cold: true, Init: 2 * time.Millisecond, Duration: time.Millisecond}, nil
	}, func(o *Options) { o.Registerer = r; o.MaxConcurrency = 1 })
	for range 2 {
		if _, err := i.Invoke(t.Context(), "fn-1", Call{}); err != nil {
			t.Fatal(err)
		}
	}
	want := `
# HELP nuage_function_billed_seconds_total Time charged for, each call rounded up to a millisecond.
# TYPE nuage_function_billed_seconds_total counter
nuage_function_billed_seconds_total{function="f",project="p"} 0.006
# HELP nuage_function_cold_starts_total Calls for which the code had to be loaded.
# TYPE nuage_function_cold_starts_total counter
nuage_function_cold_starts_total{function="f",project="p"} 2
# HELP nuage_function_concurrent_calls Calls under way.
# TYPE nuage_function_concurrent_calls gauge
nuage_function_concurrent_calls{function="f",project="p"} 0
# HELP nuage_function_invocations_total Calls that ended, by how they ended.
# TYPE nuage_function_invocations_total counter
nuage_function_invocations_total{function="f",project="p",status="error"} 2
nuage_function_invocations_total{function="f",project="p",status="ok"} 0
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "nuage_function_billed_seconds_total",
		"nuage_function_cold_starts_total", "nuage_function_concurrent_calls", "nuage_function_invocations_total"); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

// A burst gets as many calls as may be at once, the others are refused at once, and each answered one has its record.
func TestBurst(t *testing.T) {
	const burst, limit = 1000, 20
	hold, inside := make(chan struct{}), make(chan struct{}, burst)
	i, _, j := newTest(t, func(ctx context.Context, d Deployment, e Event) (Outcome, error) {
		inside <- struct{}{}
		<-hold
		return echo(ctx, d, e)
	}, nil)
	d := i.functions["fn-1"].current.Deployment
	d.Version, d.Concurrency = d.Version+1, limit
	if err := i.Deploy(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	ends := make(chan error, burst)
	for range burst {
		go func() {
			_, err := i.Invoke(t.Context(), "fn-1", Call{})
			ends <- err
		}()
	}
	for range burst - limit {
		if err := <-ends; !errors.Is(err, api.Exhausted) {
			t.Fatalf("got %v, want exhausted", err)
		}
	}
	if len(inside) != limit {
		t.Errorf("%d calls were let in, want %d", len(inside), limit)
	}
	close(hold)
	for range limit {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
	if len(j.records) != limit {
		t.Errorf("%d records, want %d", len(j.records), limit)
	}
}

// A published version is called by its number, whatever is deployed after it, and ends when it is withdrawn.
func TestPublishedVersions(t *testing.T) {
	i, f, _ := newTest(t, func(_ context.Context, d Deployment, _ Event) (Outcome, error) {
		return Outcome{Payload: fmt.Append(nil, d.Version), Status: OK}, nil
	}, nil)
	first := i.functions["fn-1"].current.Deployment
	d := first
	d.Version++
	if err := i.Deploy(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	call := func(version int) string {
		a, err := i.Invoke(t.Context(), "fn-1", Call{Version: version})
		if err != nil {
			return string(api.CodeOf(err))
		}
		return string(a.Payload)
	}
	if got := call(first.Version); got != "not_found" {
		t.Errorf("a version that is not deployed answers %s", got)
	}
	first.Published = true
	for range 2 {
		if err := i.Deploy(t.Context(), first); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{fmt.Sprint(first.Version), fmt.Sprint(d.Version), fmt.Sprint(d.Version)}
	if got := []string{call(first.Version), call(d.Version), call(0)}; !cmp.Equal(got, want) || len(f.opened) != 3 {
		t.Errorf("got %v, want %v; %d were opened", got, want, len(f.opened))
	}
	i.Withdraw("fn-1", first.Version)
	if got := call(first.Version); got != "not_found" || !f.opened[2].closed || call(0) != want[1] {
		t.Errorf("a version that was withdrawn answers %s, closed %v", got, f.opened[2].closed)
	}
}
