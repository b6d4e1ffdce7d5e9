package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"charm.land/bubbles/v2/progress"
	"charm.land/bubbles/v2/spinner"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// tracker shows on stderr how something slow is going: one moving line on a terminal, elsewhere nothing, or where
// NUAGE_PROGRESS is plain and stdout is not read by a program, a line for each change.
type tracker struct {
	w     io.Writer
	title string
	mode  trackerMode
	now   func() time.Time
	since time.Time
	width int

	mu    sync.Mutex
	text  string
	frame int
	quit  chan struct{}
	done  chan struct{}
}

type trackerMode int

const (
	trackNothing trackerMode = iota
	trackLines
	trackTerminal
)

// progress begins to track something called title. stop must follow.
func (c *cli) progress(title string) *tracker {
	t := &tracker{w: c.err, title: title, now: c.now, since: c.now(), quit: make(chan struct{}), done: make(chan struct{})}
	switch {
	case c.colour(c.err):
		t.mode, t.width = trackTerminal, terminalWidth(c.err)
		t.w = c.painted(c.err)
		go t.spin()
	case c.env["NUAGE_PROGRESS"] == "plain" && !c.machine():
		t.mode = trackLines
	}
	return t
}

// show tells where the work is.
func (t *tracker) show(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mode == trackLines && text != t.text {
		fmt.Fprintf(t.w, "%s %s\n", t.title, text)
	}
	t.text = text
	if t.mode == trackTerminal {
		t.draw()
	}
}

// part tells how much of the work is done; on a terminal only, since it changes all the time.
func (t *tracker) part(done, total int64) {
	if t.mode != trackTerminal || total <= 0 {
		return
	}
	bar := progress.New(progress.WithWidth(30), progress.WithDefaultBlend())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = fmt.Sprintf("%s of %s", bar.ViewAs(min(1, float64(done)/float64(total))), bytesText(total))
}

// stop ends the tracking and clears the line.
func (t *tracker) stop() {
	if t.mode != trackTerminal {
		return
	}
	close(t.quit)
	<-t.done
}

func (t *tracker) spin() {
	defer close(t.done)
	tick := time.NewTicker(spinner.MiniDot.FPS)
	defer tick.Stop()
	for {
		select {
		case <-t.quit:
			fmt.Fprint(t.w, "\r"+ansi.EraseEntireLine)
			return
		case <-tick.C:
			t.mu.Lock()
			t.frame++
			t.draw()
			t.mu.Unlock()
		}
	}
}

// draw writes the line anew. The caller holds mu.
func (t *tracker) draw() {
	frames := spinner.MiniDot.Frames
	dot := lipgloss.NewStyle().Foreground(lipgloss.Magenta).Render(frames[t.frame%len(frames)])
	line := strings.ReplaceAll(fmt.Sprintf("%s %s %s", dot, t.title, t.text), "\n", " ")
	if age := t.now().Sub(t.since); age > 2*time.Second {
		line += " (" + ageText(age) + ")"
	}
	fmt.Fprint(t.w, "\r"+ansi.EraseEntireLine+ansi.Truncate(line, t.width-1, "…"))
}

func terminalWidth(w io.Writer) int {
	if f, ok := w.(interface{ Fd() uintptr }); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 10 {
			return width
		}
	}
	return 80
}
