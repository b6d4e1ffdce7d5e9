//go:build linux

package guest

import (
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// mostTyped bounds a line that is told.
const mostTyped = 1000

// typed reads along what somebody types in a terminal, and tells the lines that went to the login shell at its prompt. Told is what was
// typed: what completion and history put there is not known, and is marked. Nothing is told of
//   - what goes to a program that the shell has started, as an editor or sudo: another process group has the terminal then;
//   - what is read as a line without echo, as passwords are, by the shell itself too;
//   - further lines that come in one piece with the first, as of a paste: which program will read them is not known yet.
type typed struct {
	io.Reader
	tell   func(line string)
	prompt func() bool // the shell is in the foreground, and reads no secret

	line   []byte
	more   bool // something came into the line that is not known
	escape int  // within an escape sequence: 1 after ESC, 2 after ESC [ or ESC O
}

func (t *typed) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if n > 0 {
		t.follow(p[:n])
	}
	return n, err
}

func (t *typed) follow(p []byte) {
	atPrompt := t.prompt()
	for _, b := range p {
		if b == '\r' || b == '\n' {
			t.end(atPrompt)
			atPrompt = false
			continue
		}
		t.key(b)
	}
}

// end is the end of a line.
func (t *typed) end(atPrompt bool) {
	line := string(t.line)
	if t.more {
		line = strings.TrimSpace(line + " (and what completion or history put there)")
	}
	if atPrompt && line != "" && utf8.ValidString(line) {
		t.tell(line)
	}
	t.line, t.more, t.escape = t.line[:0], false, 0
}

// key is one byte of a line, as shells edit it.
func (t *typed) key(b byte) {
	switch {
	case t.escape == 1:
		t.escape = 0
		if b == '[' || b == 'O' {
			t.escape = 2
		}
	case t.escape == 2:
		if b >= '@' && b <= '~' {
			t.escape = 0
		}
	case b == 0x1b:
		t.escape, t.more = 1, true
	case b == 0x7f || b == '\b':
		t.rub()
	case b == 0x03 || b == 0x15: // ^C and ^U
		t.line, t.more = t.line[:0], false
	case b < ' ':
		t.more = true
	case len(t.line) < mostTyped:
		t.line = append(t.line, b)
	}
}

// rub takes the last character away.
func (t *typed) rub() {
	_, size := utf8.DecodeLastRune(t.line)
	t.line = t.line[:len(t.line)-size]
}

// atPrompt tells that the process group of a shell has the terminal, and that it reads no line without echo.
func (t *terminal) atPrompt(shell int) bool {
	raw, err := t.stdin.SyscallConn()
	if err != nil {
		return false
	}
	ok := false
	err = raw.Control(func(fd uintptr) {
		group, err := unix.IoctlGetInt(int(fd), unix.TIOCGPGRP)
		if err != nil || group != shell {
			return
		}
		mode, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		ok = err == nil && (mode.Lflag&unix.ICANON == 0 || mode.Lflag&unix.ECHO != 0)
	})
	return err == nil && ok
}
