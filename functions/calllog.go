package functions

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"
)

// tailBytes is how much of a call's log goes with its answer.
const tailBytes = 4 << 10

// callLog takes what one call prints, line by line into the function's log, and keeps the last bytes of it.
type callLog struct {
	log *Log

	mu   sync.Mutex
	line []byte // begun, without a line feed yet
	kept []byte
}

func newCallLog(log *Log) *callLog { return &callLog{log: log} }

// Write implements io.Writer; it never fails.
func (c *callLog) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write(p)
	return len(p), nil
}

func (c *callLog) write(p []byte) {
	c.keep(p)
	for {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		if room := maxLine - len(c.line); room > 0 {
			c.line = append(c.line, line[:min(room, len(line))]...)
		}
		if !ended {
			return
		}
		c.log.Add(string(c.line))
		c.line, p = c.line[:0], rest
	}
}

func (c *callLog) keep(p []byte) {
	c.kept = append(c.kept, p[max(0, len(p)-tailBytes):]...)
	if len(c.kept) > 2*tailBytes {
		c.kept = append(c.kept[:0], c.kept[len(c.kept)-tailBytes:]...)
	}
}

// print writes a line of the platform, after ending a line the code has left open.
func (c *callLog) print(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.line) > 0 {
		c.write([]byte("\n"))
	}
	c.write(fmt.Appendf(nil, format+"\n", args...))
}

// tail returns the last 4 KB.
func (c *callLog) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.ToValidUTF8(string(c.kept[max(0, len(c.kept)-tailBytes):]), "\uFFFD")
}

func (c *callLog) start(requestID string, version int) {
	c.print("START RequestId: %s Version: %d", requestID, version)
}

func (c *callLog) failed(requestID string, err error) {
	c.print("END RequestId: %s Error: %s", requestID, err)
}

// report writes the two last lines, in the order of CloudWatch.
func (c *callLog) report(r Record) {
	var init string
	if r.Init > 0 {
		init = fmt.Sprintf("\tInit Duration: %s ms", milliseconds(r.Init))
	}
	if r.Status == Timeout {
		c.print("%s Task timed out", r.RequestID)
	}
	c.print("END RequestId: %s", r.RequestID)
	c.print("REPORT RequestId: %s\tDuration: %s ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB%s",
		r.RequestID, milliseconds(r.Duration), r.BilledMs, r.MemoryMB, r.MaxMemoryMB, init)
}

// milliseconds writes d with two decimals, rounded half up.
func milliseconds(d time.Duration) string {
	hundredths := (d + 5*time.Microsecond) / (10 * time.Microsecond)
	return fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100)
}
