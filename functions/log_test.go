package functions

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestLogReader(t *testing.T) {
	l := NewLog(3)
	for n := range 5 {
		l.Add(fmt.Sprint("line ", n))
	}
	tests := []struct {
		tail int
		want string
	}{{0, "line 2\nline 3\nline 4\n"}, {2, "line 3\nline 4\n"}, {9, "line 2\nline 3\nline 4\n"}}
	for _, tt := range tests {
		got, err := io.ReadAll(l.Reader(tt.tail, false))
		if err != nil || string(got) != tt.want {
			t.Errorf("tail %d: got %q, %v", tt.tail, got, err)
		}
	}
}

func TestLogFollow(t *testing.T) {
	l := NewLog(10)
	l.Add("before")
	r := l.Reader(1, true)
	lines := bufio.NewReader(r)
	for _, want := range []string{"before\n", "after\n"} {
		got, err := lines.ReadString('\n')
		if err != nil || got != want {
			t.Fatalf("got %q, %v", got, err)
		}
		go l.Add("after")
	}
	ended := make(chan error, 1)
	other := l.Reader(1, true)
	go func() {
		_, err := io.Copy(io.Discard, other)
		ended <- err
	}()
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Close did not end the reader")
	}
	l.Close()
	if rest, err := io.ReadAll(lines); err != nil || strings.Trim(string(rest), "after\n") != "" {
		t.Errorf("got %q, %v", rest, err)
	}
}

func TestCallLog(t *testing.T) {
	l := NewLog(100)
	c := newCallLog(l)
	fmt.Fprint(c, "a line in ")
	fmt.Fprint(c, "two parts\nopen")
	c.print(fmt.Appendf(nil, "platform %d\n", 1))
	fmt.Fprint(c, strings.Repeat("x", 40<<10)+"\n\xff\n")
	all, err := io.ReadAll(l.Reader(0, false))
	want := "a line in two parts\nopen\nplatform 1\n" + strings.Repeat("x", maxLine) + "\n\xff\n"
	if err != nil || string(all) != want {
		t.Errorf("got %d bytes, %v; want %d", len(all), err, len(want))
	}
	if got, want := c.tail(), strings.Repeat("x", tailBytes-3)+"\n\uFFFD\n"; got != want {
		t.Errorf("got %d bytes %q", len(got), got[max(0, len(got)-20):])
	}
}
