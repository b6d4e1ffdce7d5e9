package storage

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"nuage/api"
)

// maxBatch bounds one group commit, and with it the time the first caller of a batch waits for the last.
const maxBatch = 1024

// job is one call of Commit. taken and its place in the queue are guarded by queue.mu; err is read after done closes.
type job struct {
	fn      func(*Tx) error
	records []Record
	taken   bool
	err     error
	done    chan struct{}
}

// run writes what the job asks for. A panic becomes an error that submit raises again in the caller's goroutine.
func (j *job) run(tx *Tx) (err error) {
	defer func() {
		if v := recover(); v != nil {
			tx.writes++ // half a write may be in there: force the rollback
			err = &panicked{value: v, stack: debug.Stack()}
		}
	}()
	if j.fn != nil {
		if err := j.fn(tx); err != nil {
			return err
		}
	}
	for _, r := range j.records {
		if _, err := tx.append(r); err != nil {
			return err
		}
	}
	return nil
}

type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic in a commit: %v\n%s", p.value, p.stack) }

// queue collects jobs; one goroutine takes all that wait and commits them together.
type queue struct {
	store              *Store
	wake               chan struct{}
	stopped            chan struct{}
	commits, committed atomic.Uint64

	mu      sync.Mutex
	waiting []*job
	closed  bool
}

func newQueue(s *Store) *queue {
	q := &queue{store: s, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	go q.loop()
	return q
}

// submit queues a job and waits for its outcome.
func (q *queue) submit(ctx context.Context, j *job) error {
	if err := ctx.Err(); err != nil {
		return cancelled(err)
	}
	if err := q.add(j); err != nil {
		return err
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		if q.withdraw(j) {
			return cancelled(context.Cause(ctx))
		}
		<-j.done
	}
	if p, ok := j.err.(*panicked); ok {
		panic(p)
	}
	return j.err
}

func cancelled(err error) error {
	return api.Errorf(api.Unavailable, "cannot commit: the call was given up before its turn: %w", err)
}

func (q *queue) add(j *job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed(q.store.path)
	}
	q.waiting = append(q.waiting, j)
	q.signal()
	return nil
}

// signal is called with the lock held, so that close can't race with it.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// withdraw takes a job out unless its transaction has begun.
func (q *queue) withdraw(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.taken {
		return false
	}
	j.taken = true
	return true
}

func (q *queue) loop() {
	defer close(q.stopped)
	for {
		batch, closed := q.take()
		switch {
		case len(batch) > 0:
			q.commitAll(batch)
			q.regroup(len(batch))
		case closed:
			return
		default:
			<-q.wake
		}
	}
}

// regroup lets the callers just answered run once, so that those with more to write share the next batch; otherwise
// the first to come back would start it nearly alone and batches would be half as large. It never sleeps, and after a
// batch of one it does nothing.
func (q *queue) regroup(answered int) {
	for before := -1; answered > 1; {
		runtime.Gosched()
		waiting := q.length()
		if waiting >= answered || waiting == before {
			return
		}
		before = waiting
	}
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// take removes up to maxBatch jobs, leaving out withdrawn ones.
func (q *queue) take() (batch []*job, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), maxBatch)
	for _, j := range q.waiting[:n] {
		if !j.taken {
			j.taken = true
			batch = append(batch, j)
		}
	}
	q.waiting = append([]*job(nil), q.waiting[n:]...)
	return batch, q.closed && len(q.waiting) == 0
}

// commitAll answers every job. One that fails after it has written spoils the transaction: the jobs before it are
// committed without it, then it runs again as the first of the rest. At the head it fails on committed state alone, is
// answered, and the rest goes on. So a job runs three times at most, whatever the others do.
func (q *queue) commitAll(jobs []*job) {
	for len(jobs) > 0 {
		spoiler := q.attempt(jobs)
		switch spoiler {
		case -1:
			return
		case 0:
			close(jobs[0].done)
			jobs = jobs[1:]
		default:
			q.commitAll(jobs[:spoiler])
			jobs = jobs[spoiler:]
		}
	}
}

// attempt runs jobs in one transaction and answers all of them after its fsync. When one spoils it, nothing is
// committed, no job is answered and the spoiler's index is returned, otherwise -1. A job that failed without writing
// spoils nothing, but its answer waits too: it may rest on what others wrote here.
func (q *queue) attempt(jobs []*job) (spoiler int) {
	tx, err := q.store.begin(true)
	if err != nil {
		answer(jobs, err)
		return -1
	}
	defer tx.rollback()
	for i, j := range jobs {
		before := tx.writes
		if j.err = j.run(tx); j.err != nil && tx.writes != before {
			return i
		}
	}
	change, err := tx.commit()
	if err == nil {
		q.commits.Add(1)
		q.committed.Add(uint64(len(jobs)))
	}
	q.store.hooks.run(change)
	answer(jobs, err)
	return -1
}

// answer ends jobs, with err where it is not nil and with their own outcome otherwise.
func answer(jobs []*job, err error) {
	for _, j := range jobs {
		if err != nil {
			j.err = err
		}
		close(j.done)
	}
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.signal()
	q.mu.Unlock()
	<-q.stopped
}
