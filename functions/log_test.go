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
		l.Add("r", fmt.Sprint("line ", n))
	}
	tests := []struct {
		tail int
		want string
	}{{0, "line 2\nline 3\nline 4\n"}, {2, "line 3\nline 4\n"}, {9, "line 2\nline 3\nline 4\n"}}
	for _, tt := range tests {
		got, err := io.ReadAll(l.Reader(LogQuery{Tail: tt.tail}))
		if err != nil || string(got) != tt.want {
			t.Errorf("tail %d: got %q, %v", tt.tail, got, err)
		}
	}
}

func TestLogFollow(t *testing.T) {
	l := NewLog(10)
	l.Add("r", "before")
	r := l.Reader(LogQuery{Tail: 1, Follow: true})
	lines := bufio.NewReader(r)
	for _, want := range []string{"before\n", "after\n"} {
		got, err := lines.ReadString('\n')
		if err != nil || got != want {
			t.Fatalf("got %q, %v", got, err)
		}
		go l.Add("r", "after")
	}
	ended := make(chan error, 1)
	other := l.Reader(LogQuery{Tail: 1, Follow: true})
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
	c := newCallLog(l, "r")
	fmt.Fprint(c, "a line in ")
	fmt.Fprint(c, "two parts\nopen")
	c.print(fmt.Appendf(nil, "platform %d\n", 1))
	fmt.Fprint(c, strings.Repeat("x", 40<<10)+"\n\xff\n")
	all, err := io.ReadAll(l.Reader(LogQuery{}))
	want := "a line in two parts\nopen\nplatform 1\n" + strings.Repeat("x", maxLine) + "\n\xff\n"
	if err != nil || string(all) != want {
		t.Errorf("got %d bytes, %v; want %d", len(all), err, len(want))
	}
	if got, want := c.tail(), strings.Repeat("x", tailBytes-3)+"\n\uFFFD\n"; got != want {
		t.Errorf("got %d bytes %q", len(got), got[max(0, len(got)-20):])
	}
}

// TestLogOfARequest: calls at once have their lines among each other; those of one are read alone, also as they come.
func TestLogOfARequest(t *testing.T) {
	l := NewLog(6)
	for _, line := range []string{"b:lost", "a:1", "b:1", "a:2", "b:2", "b:3"} {
		request, text, _ := strings.Cut(line, ":")
		l.Add(request, text)
	}
	l.Add("a", "3")
	for _, c := range []struct {
		q    LogQuery
		want string
	}{
		{LogQuery{Request: "a"}, "1 2 3"}, {LogQuery{Request: "b"}, "1 2 3"}, {LogQuery{Request: "a", Tail: 2}, "2 3"}, {LogQuery{Request: "b", Tail: 1}, "3"},
		{LogQuery{Request: "b", Tail: 9}, "1 2 3"}, {LogQuery{Request: "c"}, ""}, {LogQuery{Tail: 2}, "3 3"},
	} {
		got, err := io.ReadAll(l.Reader(c.q))
		if text := strings.Join(strings.Fields(string(got)), " "); err != nil || text != c.want {
			t.Errorf("%+v: got %q, %v", c.q, got, err)
		}
	}
	r := l.Reader(LogQuery{Request: "c", Follow: true})
	l.Add("a", "4")
	l.Add("c", "first")
	l.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "first\n" {
		t.Errorf("followed is %q, %v", got, err)
	}
}
