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
	lines  []string // ring
	next   int64    // number of lines ever written; line n is lines[n%len]
	closed bool
}

// NewLog makes a log that keeps the given number of lines.
func NewLog(lines int) *Log {
	l := &Log{lines: make([]string, lines)}
	l.grown = sync.NewCond(&l.mu)
	return l
}

// Add appends one line, given without its line feed.
func (l *Log) Add(line string) {
	if len(line) > maxLine {
		line = line[:maxLine]
	}
	l.mu.Lock()
	l.lines[l.next%int64(len(l.lines))] = line
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

// Reader reads from the newest tail lines on (0: all that is kept). Without follow it ends at the last line.
// A reader slower than the writers misses the lines that were overwritten.
func (l *Log) Reader(tail int, follow bool) io.ReadCloser {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.oldest()
	if tail > 0 {
		at = max(at, l.next-int64(tail))
	}
	return &logReader{log: l, at: at, end: l.next, follow: follow}
}

// oldest is the number of the oldest kept line. The lock is held.
func (l *Log) oldest() int64 { return max(0, l.next-int64(len(l.lines))) }

type logReader struct {
	log     *Log
	at, end int64
	follow  bool
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
	for r.follow && r.at == l.next && !l.closed && !r.closed {
		l.grown.Wait()
	}
	end := r.end
	if r.follow {
		end = l.next
	}
	if r.closed {
		return false
	}
	for r.at = max(r.at, l.oldest()); r.at < end; r.at++ {
		r.rest.WriteString(l.lines[r.at%int64(len(l.lines))])
		r.rest.WriteByte('\n')
	}
	return r.rest.Len() > 0
}

// Close ends a Read that waits.
func (r *logReader) Close() error {
	r.log.mu.Lock()
	r.closed = true
	r.log.mu.Unlock()
	r.log.grown.Broadcast()
	return nil
}
