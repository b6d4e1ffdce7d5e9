//go:build linux

package guest

import (
	"io"
	"slices"
	"strings"
	"testing"
)

// pieces reads one piece a Read.
type pieces []string

func (p *pieces) Read(b []byte) (int, error) {
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := copy(b, (*p)[0])
	*p = (*p)[1:]
	return n, nil
}

func TestTypedLines(t *testing.T) {
	for _, c := range []struct {
		what   string
		pieces pieces
		away   bool // the terminal is not the shell's
		want   []string
	}{
		{"a line, key by key", pieces{"l", "s", " ", "-", "l", "\r"}, false, []string{"ls -l"}},
		{"two lines", pieces{"id\r", "pwd\r"}, false, []string{"id", "pwd"}},
		{"rubbed out", pieces{"caé\x7f\x7ft x\x15ls\r"}, false, []string{"ls"}},
		{"given up", pieces{"rm -rf /\x03", "ls\r"}, false, []string{"ls"}},
		{"empty lines", pieces{"\r", "\r"}, false, nil},
		{"an arrow and a completion", pieces{"\x1b[A\r", "cat /et\t\r"}, false, []string{"(and what completion or history put there)", "cat /et (and what completion or history put there)"}},
		{"to another program, or without echo", pieces{"secret\r"}, true, nil},
		{"pasted", pieces{"sudo id\rsecret\r"}, false, []string{"sudo id"}},
		{"no text", pieces{"\xff\xfe\r"}, false, nil},
		{"endless", slices.Repeat(pieces{strings.Repeat("x", 500)}, 3), false, nil},
		{"endless, ended", append(slices.Repeat(pieces{strings.Repeat("x", 500)}, 3), "\r"), false, []string{strings.Repeat("x", mostTyped)}},
	} {
		var got []string
		r := &typed{Reader: &c.pieces, tell: func(line string) { got = append(got, line) }, prompt: func() bool { return !c.away }}
		through, err := io.ReadAll(r)
		if err != nil || len(through) == 0 {
			t.Errorf("%s: %q, %v came through", c.what, through, err)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: told %q, want %q", c.what, got, c.want)
		}
	}
}
