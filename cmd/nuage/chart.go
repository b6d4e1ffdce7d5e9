package main

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
)

// The size of one chart, in pixels; the names of its lines stand to the right of it.
const (
	chartWide   = 640
	chartHigh   = 300
	chartLeft   = 80
	chartRight  = 200
	chartTop    = 40
	chartBottom = 50
	nameApart   = 15 // between the names of two lines
)

// chart is a picture of costs over requests. Amounts are integers in one unit of the caller's.
type chart struct {
	title, top, right string // what stands above it, at the top of the axis of costs, at the end of that of requests
	most, high        int64  // requests and amount at these ends, above 0
	lines             []chartLine
	marks             []chartMark
	dots              []chartPoint
}

// chartLine is one thing's cost.
type chartLine struct {
	name, colour string
	points       []chartPoint
}

// chartPoint is an amount at a number of requests.
type chartPoint struct{ requests, amount int64 }

// chartMark is a number of requests that is pointed out.
type chartMark struct {
	requests int64
	text     string
}

// draw writes the chart as SVG with its corner at (0, 0). Nothing in it can be mark-up of somebody else's.
func (c chart) draw(out *strings.Builder) {
	x := func(n int64) int64 { return scale(n, c.most, chartWide) }
	y := func(n int64) int64 { return chartHigh - scale(n, c.high, chartHigh) }
	fmt.Fprintf(out, `<text x="0" y="-12" font-weight="bold">%s</text>`+"\n", html.EscapeString(c.title))
	fmt.Fprintf(out, `<path d="M0 0V%d H%d" fill="none" stroke="black"/>`+"\n", chartHigh, chartWide)
	fmt.Fprintf(out, `<text x="-8" y="10" text-anchor="end">%s</text><text x="-8" y="%d" text-anchor="end">$0</text>`+"\n", html.EscapeString(c.top), chartHigh)
	fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", chartWide, chartHigh+18, html.EscapeString(c.right))
	for i, at := range c.nameHeights(y) {
		c.lines[i].draw(out, x, y, at)
	}
	for _, d := range c.dots {
		fmt.Fprintf(out, `<circle cx="%d" cy="%d" r="4" fill="#d62728"/>`+"\n", x(d.requests), y(d.amount))
	}
	for i, m := range c.marks {
		fmt.Fprintf(out, `<path d="M%d 0V%d" stroke="#999" stroke-dasharray="4"/><text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n",
			x(m.requests), chartHigh, x(m.requests), chartHigh+32+i%2*14, html.EscapeString(m.text))
	}
}

func (l chartLine) draw(out *strings.Builder, x, y func(int64) int64, name int64) {
	var points []string
	for _, p := range l.points {
		points = append(points, fmt.Sprintf("%d,%d", x(p.requests), y(p.amount)))
	}
	fmt.Fprintf(out, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/><text x="%d" y="%d" fill="%s">%s</text>`+"\n",
		strings.Join(points, " "), l.colour, chartWide+6, name, l.colour, html.EscapeString(l.name))
}

// nameHeights are where the names of the lines stand: beside their ends, as far as they do not cover each other.
func (c chart) nameHeights(y func(int64) int64) []int64 {
	at := make([]int64, len(c.lines))
	order := make([]int, len(c.lines))
	for i, l := range c.lines {
		at[i], order[i] = y(l.points[len(l.points)-1].amount)+4, i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(at[b], at[a]) }) // the lowest first
	for i := 1; i < len(order); i++ {
		at[order[i]] = min(at[order[i]], at[order[i-1]]-nameApart)
	}
	return at
}

// scale is n of limit in pixels.
func scale(n, limit, pixels int64) int64 {
	for limit > 1<<40 { // so that the product fits
		n, limit = n>>10, limit>>10
	}
	return n * pixels / limit
}
