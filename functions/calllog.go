package functions

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tailBytes is how much of a call's log goes with its answer.
const tailBytes = 4 << 10

// callLog takes what one call prints, line by line into the function's log, and keeps the last bytes of it.
type callLog struct {
	log     *Log
	request string

	mu   sync.Mutex
	line []byte // begun, without a line feed yet
	kept []byte
}

// usualBytes is room for what a call that prints nothing itself leaves.
const usualBytes = 320

func newCallLog(log *Log, request string) *callLog {
	return &callLog{log: log, request: request, kept: make([]byte, 0, usualBytes)}
}

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
		if ended && len(c.line) == 0 {
			c.log.Add(c.request, string(line[:min(maxLine, len(line))]))
			p = rest
			continue
		}
		if room := maxLine - len(c.line); room > 0 {
			c.line = append(c.line, line[:min(room, len(line))]...)
		}
		if !ended {
			return
		}
		c.log.Add(c.request, string(c.line))
		c.line, p = c.line[:0], rest
	}
}

func (c *callLog) keep(p []byte) {
	c.kept = append(c.kept, p[max(0, len(p)-tailBytes):]...)
	if len(c.kept) > 2*tailBytes {
		c.kept = append(c.kept[:0], c.kept[len(c.kept)-tailBytes:]...)
	}
}

// print writes lines of the platform, after ending a line the code has left open.
func (c *callLog) print(lines []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.line) > 0 {
		c.write([]byte("\n"))
	}
	c.write(lines)
}

// tail returns the last 4 KB.
func (c *callLog) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.ToValidUTF8(string(c.kept[max(0, len(c.kept)-tailBytes):]), "\uFFFD")
}

// The lines are put together by hand: a call may take less time than fmt for them.

func (c *callLog) start(requestID string, version int) {
	var room [96]byte
	b := append(append(room[:0], "START RequestId: "...), requestID...)
	b = strconv.AppendInt(append(b, " Version: "...), int64(version), 10)
	c.print(append(b, '\n'))
}

func (c *callLog) failed(requestID string, err error) {
	c.print(fmt.Appendf(nil, "END RequestId: %s Error: %s\n", requestID, err))
}

// report writes the last lines, in the order of CloudWatch.
func (c *callLog) report(r Record) {
	var room [320]byte
	b := room[:0]
	if r.Status == Timeout {
		b = append(append(b, r.RequestID...), " Task timed out\n"...)
	}
	b = append(append(append(b, "END RequestId: "...), r.RequestID...), '\n')
	b = append(append(append(b, "REPORT RequestId: "...), r.RequestID...), "\tDuration: "...)
	b = append(appendMilliseconds(b, r.Duration), " ms\tBilled Duration: "...)
	b = append(strconv.AppendInt(b, r.BilledMs, 10), " ms\tMemory Size: "...)
	b = append(strconv.AppendInt(b, r.MemoryMB, 10), " MB\tMax Memory Used: "...)
	b = append(strconv.AppendInt(b, r.MaxMemoryMB, 10), " MB"...)
	if r.Init > 0 {
		b = append(appendMilliseconds(append(b, "\tInit Duration: "...), r.Init), " ms"...)
	}
	c.print(append(b, '\n'))
}

// appendMilliseconds writes d with two decimals, rounded half up.
func appendMilliseconds(b []byte, d time.Duration) []byte {
	hundredths := int64((d + 5*time.Microsecond) / (10 * time.Microsecond))
	b = append(strconv.AppendInt(b, hundredths/100, 10), '.')
	return append(b, byte('0'+hundredths/10%10), byte('0'+hundredths%10))
}
