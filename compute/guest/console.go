//go:build linux

package guest

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// console writes the boot log. It never blocks its callers: when nobody takes the lines off, it drops and counts them.
type console struct {
	now     func() time.Time
	start   time.Time
	lines   chan string
	done    chan struct{}
	mu      sync.Mutex
	dropped int
	closed  bool
}

const maxLine = 4 << 10

func newConsole(w io.Writer, now func() time.Time) *console {
	c := &console{now: now, start: now(), lines: make(chan string, 1024), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		for line := range c.lines {
			io.WriteString(w, line) // there is nowhere else to report a failure
		}
	}()
	return c
}

// printf writes one line, after the seconds since the start.
func (c *console) printf(format string, args ...any) {
	line := fmt.Sprintf("[%7.3f] %s\n", c.now().Sub(c.start).Seconds(), fmt.Sprintf(format, args...))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if c.dropped > 0 {
		line = fmt.Sprintf("[console] %d lines lost\n%s", c.dropped, line)
	}
	select {
	case c.lines <- line:
		c.dropped = 0
	default:
		c.dropped++
	}
}

// copy prints what r gives, line by line, each after the name, until r ends.
func (c *console) copy(name string, r io.Reader) {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n') // a longer line comes in pieces
		if len(line) > 0 {
			c.printf("%s: %s", name, strings.TrimRight(string(line), "\r\n"))
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

// close waits, for a second at most, until what was printed is written.
func (c *console) close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.lines)
	}
	c.mu.Unlock()
	select {
	case <-c.done:
	case <-time.After(time.Second):
	}
}
