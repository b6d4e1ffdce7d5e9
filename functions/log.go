package functions

import (
	"bytes"
	"io"
	"sync"
)

// maxLine bounds one kept line; what is longer is cut.
const maxLine = 16 << 10

// Log keeps the newest lines of a function and lets readers follow. All methods are safe for concurrent use.
type Log struct {
	mu     sync.Mutex
	grown  *sync.Cond
	lines  []logLine // ring
	next   int64     // number of lines ever written; line n is lines[n%len]
	closed bool
}

// logLine is one line of a call.
type logLine struct{ request, text string }

// LogQuery says which lines of a log.
type LogQuery struct {
	Tail    int    // so many of the newest at most; 0: all that is kept
	Follow  bool   // go on as lines come
	Request string // only those of this call; "": of all
}

// of tells that a line is asked for.
func (q LogQuery) of(l logLine) bool { return q.Request == "" || q.Request == l.request }

// NewLog makes a log that keeps the given number of lines.
func NewLog(lines int) *Log {
	l := &Log{lines: make([]logLine, lines)}
	l.grown = sync.NewCond(&l.mu)
	return l
}

// Add appends one line of a call, given without its line feed.
func (l *Log) Add(request, line string) {
	if len(line) > maxLine {
		line = line[:maxLine]
	}
	l.mu.Lock()
	l.lines[l.next%int64(len(l.lines))] = logLine{request, line}
	l.next++
	l.mu.Unlock()
	l.grown.Broadcast()
}

// Close ends all readers that follow, after the last line.
func (l *Log) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.grown.Broadcast()
}

// Reader reads the lines asked for. Without Follow it ends at the last one.
// A reader slower than the writers misses the lines that were overwritten.
func (l *Log) Reader(q LogQuery) io.ReadCloser {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.oldest()
	if q.Tail > 0 {
		at = l.tail(q)
	}
	return &logReader{log: l, at: at, end: l.next, query: q}
}

// tail is the number of the line with which the newest ones begin. The lock is held.
func (l *Log) tail(q LogQuery) int64 {
	left := q.Tail
	for at := l.next - 1; at >= l.oldest(); at-- {
		if q.of(l.lines[at%int64(len(l.lines))]) {
			left--
		}
		if left == 0 {
			return at
		}
	}
	return l.oldest()
}

// oldest is the number of the oldest kept line. The lock is held.
func (l *Log) oldest() int64 { return max(0, l.next-int64(len(l.lines))) }

type logReader struct {
	log     *Log
	at, end int64
	query   LogQuery
	closed  bool // guarded by log.mu
	rest    bytes.Buffer
}

// Read implements io.Reader; it waits for a line where the reader follows.
func (r *logReader) Read(p []byte) (int, error) {
	if r.rest.Len() == 0 && !r.fill() {
		return 0, io.EOF
	}
	return r.rest.Read(p)
}

// fill takes all lines there are; false: there will be none.
func (r *logReader) fill() bool {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for r.query.Follow && r.at == l.next && !l.closed && !r.closed {
			l.grown.Wait()
		}
		ended := !r.query.Follow || l.closed
		if r.closed {
			return false
		}
		r.take()
		if r.rest.Len() > 0 || ended {
			return r.rest.Len() > 0
		}
	}
}

// take copies the lines asked for that are there. The lock is held.
func (r *logReader) take() {
	l, end := r.log, r.end
	if r.query.Follow {
		end = l.next
	}
	for r.at = max(r.at, l.oldest()); r.at < end; r.at++ {
		if line := l.lines[r.at%int64(len(l.lines))]; r.query.of(line) {
			r.rest.WriteString(line.text)
			r.rest.WriteByte('\n')
		}
	}
}

// Close ends a Read that waits.
func (r *logReader) Close() error {
	r.log.mu.Lock()
	r.closed = true
	r.log.mu.Unlock()
	r.log.grown.Broadcast()
	return nil
}
