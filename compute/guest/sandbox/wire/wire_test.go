package wire

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, Invoke, Event{RequestID: "r", TimeoutMs: 3000}, []byte("payload")); err != nil {
		t.Fatal(err)
	}
	if err := Write(&b, Accepted, nil, nil); err != nil {
		t.Fatal(err)
	}
	want := "i\x00\x00\x00\x48\x00\x00\x00\x07" + `{"requestId":"r","contentType":"","functionArn":"","timeoutMs":3000}` + "payload" +
		"a\x00\x00\x00\x00\x00\x00\x00\x00"
	want = strings.Replace(want, "\x48", string(rune(len(`{"requestId":"r","contentType":"","functionArn":"","timeoutMs":3000}`))), 1)
	if b.String() != want {
		t.Fatalf("got  %q\nwant %q", b.String(), want)
	}
	r := bufio.NewReader(&b)
	f, err := Read(r)
	var e Event
	if err != nil || f.Decode(&e) != nil || e.RequestID != "r" || e.TimeoutMs != 3000 || string(f.Body) != "payload" {
		t.Fatalf("got %+v %+v, %v", f, e, err)
	}
	if f, err := Read(r); err != nil || f.Kind != Accepted || len(f.Head)+len(f.Body) != 0 {
		t.Fatalf("got %+v, %v", f, err)
	}
	if _, err := Read(r); err != io.EOF {
		t.Fatalf("got %v, want EOF", err)
	}
}

func TestBadFrames(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"too large", "l\x00\x00\x00\x00\xff\xff\xff\xff", `cannot read a frame 'l' of 0 and 4294967295 bytes: it is too large`},
		{"cut short", "l\x00\x00\x00\x00\x00\x00\x00\x05abc", `cannot read a frame 'l': unexpected EOF`},
		{"cut in its prefix", "l\x00", "unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(bufio.NewReader(strings.NewReader(tt.in)))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("h\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("l\x00\x00\x00\x02\x00\x00\x00\x01{}x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := Read(bufio.NewReader(bytes.NewReader(b)))
		if err == nil && 9+len(frame.Head)+len(frame.Body) > len(b) {
			t.Fatalf("a frame of %d and %d bytes out of %d", len(frame.Head), len(frame.Body), len(b))
		}
	})
}
