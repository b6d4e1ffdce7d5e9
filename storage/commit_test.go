package storage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"nuage/api"
	"nuage/storage"
)

// occupied keeps the committer busy inside a commit until release is called, so that what is queued meanwhile forms
// one batch.
func occupied(t *testing.T, s *storage.Store) (release func()) {
	t.Helper()
	running, gate, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.Commit(context.Background(), func(*storage.Tx) error { close(running); <-gate; return nil })
	}()
	<-running
	return func() { close(gate); must(t, <-done) }
}

// queued starts a call of Commit for each fn, in order, each in the queue before the next starts.
func queued(t *testing.T, s *storage.Store, ctx context.Context, fns ...func(*storage.Tx) error) []chan error {
	t.Helper()
	var out []chan error
	for _, fn := range fns {
		answer := make(chan error, 1)
		before := s.Waiting()
		go func() {
			defer func() {
				if v := recover(); v != nil {
					answer <- fmt.Errorf("panicked: %.60s", strings.SplitN(fmt.Sprint(v), "\n", 2)[0])
				}
			}()
			answer <- s.Commit(ctx, fn)
		}()
		eventually(t, func() bool { return s.Waiting() > before })
		out = append(out, answer)
	}
	return out
}

func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the condition did not come true in 10 s")
		}
	}
}

func TestCommitSharesOneTransaction(t *testing.T) {
	s, table := newStore(t), apps()
	release := occupied(t, s)
	var fns []func(*storage.Tx) error
	for i := range 20 {
		fns = append(fns, putAll(table, app{ID: fmt.Sprint(i), Project: "p", Name: fmt.Sprint(i)}))
	}
	answers := queued(t, s, t.Context(), fns...)
	var commits int
	s.OnCommit(func(storage.Change) { commits++ })
	release()
	for _, a := range answers {
		must(t, <-a)
	}
	st, err := s.Stats()
	must(t, err)
	if st.Committed != 21 || st.Commits != 2 {
		t.Errorf("%d calls in %d commits, want 21 in 2", st.Committed, st.Commits)
	}
}

func TestCommitIsolatesFailures(t *testing.T) {
	s, table := newStore(t), apps()
	release := occupied(t, s)
	put := func(id, name string) func(*storage.Tx) error {
		return putAll(table, app{ID: id, Project: "p", Name: name})
	}
	writeThenFail := func(tx *storage.Tx) error {
		return errors.Join(put("bad", "bad")(tx), errors.New("changed my mind"))
	}
	writeThenPanic := func(tx *storage.Tx) error { must(t, put("worse", "worse")(tx)); panic("oh dear") }
	answers := queued(t, s, t.Context(), put("1", "a"), writeThenFail, put("2", "b"), put("3", "a"), writeThenPanic,
		put("4", "bad"), writeThenFail, put("5", "c"))
	release()
	want := []string{
		"<nil>", "changed my mind", "<nil>",
		`cannot write "3" in apps: name "p/a" is taken by "1"; choose another one or delete that first`,
		"panicked: panic in a commit: oh dear", "<nil>",
		`cannot write "bad" in apps: name "p/bad" is taken by "4"; choose another one or delete that first` + "\nchanged my mind", "<nil>",
	}
	for i, a := range answers {
		if got := fmt.Sprint(<-a); got != want[i] {
			t.Errorf("call %d answered %q, want %q", i, got, want[i])
		}
	}
	view(t, s, func(tx *storage.Tx) {
		page, err := table.ListBy(tx, "name", storage.Query{})
		must(t, err)
		if got, want := fmt.Sprint(page.Items), "[{1 p a  0} {2 p b  0} {4 p bad  0} {5 p c  0}]"; got != want {
			t.Errorf("stored %s, want %s", got, want)
		}
	})
}

// TestCommitIsolatesMoodyFunctions: a function that succeeds the first time and fails when it runs again hits only
// itself.
func TestCommitIsolatesMoodyFunctions(t *testing.T) {
	s, table := newStore(t), apps()
	release := occupied(t, s)
	runs := 0
	moody := func(tx *storage.Tx) error {
		must(t, table.Put(tx, app{ID: "moody", Name: "moody"}))
		if runs++; runs > 1 {
			return errors.New("not again")
		}
		return nil
	}
	spoiler := func(tx *storage.Tx) error {
		must(t, table.Put(tx, app{ID: "bad", Name: "bad"}))
		return errors.New("no")
	}
	answers := queued(t, s, t.Context(), putAll(table, app{ID: "1", Name: "1"}), moody, putAll(table, app{ID: "2", Name: "2"}), spoiler)
	release()
	for i, want := range []string{"<nil>", "not again", "<nil>", "no"} {
		if got := fmt.Sprint(<-answers[i]); got != want {
			t.Errorf("call %d answered %s, want %s", i, got, want)
		}
	}
	view(t, s, func(tx *storage.Tx) {
		if !table.Has(tx, "1") || !table.Has(tx, "2") || table.Has(tx, "moody") || table.Has(tx, "bad") {
			t.Error("want exactly records 1 and 2")
		}
	})
}

func TestCommitAppendsToSeveralLogsOrNone(t *testing.T) {
	s, log, receiptLog, table := newStore(t), calls(), receipts(), apps()
	record := func(n int) []storage.Record {
		a, err := log.Record(call{Function: "f", N: n})
		must(t, err)
		b, err := receiptLog.Record(someReceipt(int64(n)))
		must(t, err)
		return []storage.Record{a, b}
	}
	must(t, s.Append(t.Context(), record(1)...))
	must(t, s.Commit(t.Context(), putAll(table, app{ID: "1", Name: "1"}), record(2)...))
	err := s.Commit(t.Context(), putAll(table, app{ID: "2", Name: "1"}), record(3)...)
	if !errors.Is(err, api.Conflict) {
		t.Errorf("error %v, want a conflict", err)
	}
	view(t, s, func(tx *storage.Tx) {
		if log.End(tx) != 3 || receiptLog.End(tx) != 3 || table.Has(tx, "2") {
			t.Errorf("logs end at %d and %d, want 3 and 3; no record 2", log.End(tx), receiptLog.End(tx))
		}
	})
}

func TestCommitCancelledWhileQueued(t *testing.T) {
	s, table := newStore(t), apps()
	release := occupied(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	answers := queued(t, s, ctx, putAll(table, app{ID: "1", Name: "1"}))
	others := queued(t, s, t.Context(), putAll(table, app{ID: "2", Name: "2"}))
	cancel()
	err := <-answers[0] // answered although the committer is still busy
	wantError(t, err, api.Unavailable, "", "cannot commit: the call was given up before its turn: context canceled")
	if !errors.Is(err, context.Canceled) {
		t.Error("the error does not wrap context.Canceled")
	}
	release()
	must(t, <-others[0])
	view(t, s, func(tx *storage.Tx) {
		if table.Has(tx, "1") || !table.Has(tx, "2") {
			t.Error("want record 2 only")
		}
	})
	if err := s.Commit(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a call with a context that has ended answered %v", err)
	}
}

func TestCommitCancelledTooLateIsDone(t *testing.T) {
	s, table := newStore(t), apps()
	ctx, cancel := context.WithCancel(t.Context())
	must(t, s.Commit(ctx, func(tx *storage.Tx) error { cancel(); return table.Put(tx, app{ID: "1", Name: "1"}) }))
	view(t, s, func(tx *storage.Tx) {
		if !table.Has(tx, "1") {
			t.Error("the record is not there")
		}
	})
}

// TestCloseDrains closes with more calls in the queue than one batch takes.
func TestCloseDrains(t *testing.T) {
	s, log := newStore(t), calls()
	release := occupied(t, s)
	const n = 2500
	var group errgroup.Group
	for i := range n {
		group.Go(func() error {
			r, err := log.Record(call{N: i})
			return errors.Join(err, s.Append(context.Background(), r))
		})
	}
	eventually(t, func() bool { return s.Waiting() == n })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	eventually(t, s.Closing)
	wantError(t, s.Commit(t.Context(), nil), api.Unavailable, s.Path(), `cannot use "PATH": the store is closed`)
	release()
	must(t, group.Wait())
	must(t, <-closed)
	reopened := openAt(t, s.Path(), testOptions())
	view(t, reopened, func(tx *storage.Tx) {
		if end := log.End(tx); end != n+1 {
			t.Errorf("the log ends at %d, want %d", end, n+1)
		}
	})
}

// TestCommitUnderLoad mixes successes and failures of many callers: every answer must match what is stored.
func TestCommitUnderLoad(t *testing.T) {
	s, table, log := newStore(t), apps(), calls()
	var group sync.WaitGroup
	var mu sync.Mutex
	want := map[string]bool{}
	for w := range 32 {
		group.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("%d-%d", w, i)
				r, err := log.Record(call{Function: id})
				if err != nil {
					t.Error(err)
					return
				}
				err = s.Commit(t.Context(), func(tx *storage.Tx) error {
					if err := table.Put(tx, app{ID: id, Name: id}); err != nil || i%7 != 3 {
						return err
					}
					return api.Errorf(api.Exhausted, "cannot go on")
				}, r)
				mu.Lock()
				want[id] = i%7 != 3
				mu.Unlock()
				if (err == nil) != (i%7 != 3) {
					t.Errorf("%s: answered %v", id, err)
				}
			}
		})
	}
	group.Wait()
	view(t, s, func(tx *storage.Tx) {
		for id, stored := range want {
			entries, err := log.LastBy(tx, "function", id, 0, 2)
			must(t, err)
			if table.Has(tx, id) != stored || (len(entries) == 1) != stored {
				t.Errorf("%s: want stored %v; in the table %v, %d in the log", id, stored, table.Has(tx, id), len(entries))
			}
		}
	})
}
