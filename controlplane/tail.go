package controlplane

import (
	"bytes"
	"strings"
	"sync"
)

// tail keeps the last lines written to it.
type tail struct {
	mu   sync.Mutex
	rest []byte
	kept []string
}

const tailLines = 20

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest = append(t.rest, p...)
	for {
		i := bytes.IndexByte(t.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		t.add(string(t.rest[:i]))
		t.rest = t.rest[i+1:]
	}
}

func (t *tail) add(line string) {
	if line = strings.TrimRight(line, "\r"); strings.TrimSpace(line) == "" {
		return
	}
	t.kept = append(t.kept, line)
	if len(t.kept) > tailLines {
		t.kept = t.kept[1:]
	}
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(string(t.rest))
	t.rest = nil
	return append([]string{}, t.kept...)
}
