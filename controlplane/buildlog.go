package controlplane

import (
	"context"
	"io"
	"sync"
)

// maxBuildLog bounds what is kept of the log of one build, keepBuilds of how many builds.
const (
	maxBuildLog = 1 << 20
	keepBuilds  = 50
)

// buildLogs holds what the newest builds have said, and the release commands after them. It is empty at a start.
type buildLogs struct {
	mu    sync.Mutex
	by    map[string]*buildLog // by releaseKey
	order []string
}

func newBuildLogs() *buildLogs { return &buildLogs{by: map[string]*buildLog{}} }

// open returns the log of a build, a new one where there is none. One that grew too old is forgotten for it.
func (b *buildLogs) open(key string) *buildLog {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.by[key]; l != nil {
		return l
	}
	l := &buildLog{grown: make(chan struct{})}
	b.by[key], b.order = l, append(b.order, key)
	if len(b.order) > keepBuilds {
		delete(b.by, b.order[0])
		b.order = b.order[1:]
	}
	return l
}

// find returns the log of a build, nil where none is kept.
func (b *buildLogs) find(key string) *buildLog {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.by[key]
}

// buildLog is a log that one writes and many follow. Beyond maxBuildLog the rest of it is left out.
type buildLog struct {
	mu    sync.Mutex
	text  []byte
	full  bool
	ended bool
	grown chan struct{} // closed when there is more, or the end
}

func (l *buildLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.full:
		return len(p), nil
	case len(l.text)+len(p) > maxBuildLog:
		l.text, l.full = append(l.text, "\n(the rest of this log was not kept)\n"...), true
	default:
		l.text = append(l.text, p...)
	}
	l.wake()
	return len(p), nil
}

// end tells those who follow that nothing more comes.
func (l *buildLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended = true
		l.wake()
	}
}

func (l *buildLog) wake() {
	close(l.grown)
	l.grown = make(chan struct{})
}

// after returns what was written after the first n bytes, whether that is all there will be, and what is closed when there is more.
func (l *buildLog) after(n int) (text []byte, ended bool, grown <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text[n:len(l.text):len(l.text)], l.ended, l.grown
}

// read streams the log: what there is, or with a going function all until its end, or until nothing is going any more; going returns
// what is closed when to ask again. The caller closes the reader.
func (l *buildLog) read(ctx context.Context, going func() (bool, <-chan struct{})) io.ReadCloser {
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	go func() { w.CloseWithError(l.copy(ctx, w, going)) }()
	return closer{r, cancel}
}

func (l *buildLog) copy(ctx context.Context, w io.Writer, going func() (bool, <-chan struct{})) error {
	for n := 0; ; {
		more, changed := false, (<-chan struct{})(nil)
		if going != nil {
			more, changed = going()
		}
		text, ended, grown := l.after(n)
		if _, err := w.Write(text); err != nil {
			return err
		}
		if n += len(text); ended || !more {
			return nil
		}
		select {
		case <-grown:
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
