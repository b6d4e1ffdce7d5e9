package main

import (
	"fmt"
	"html"
	"strconv"
	"strings"

	"nuage/controlplane/billing"
)

// The chart of one book, in pixels.
const (
	chartWide   = 640
	chartHigh   = 300
	chartLeft   = 80
	chartTop    = 40
	chartBottom = 50
)

// chartSVG draws for each book what the calls cost on each model, one chart under the other. The picture needs nothing else.
func chartSVG(w billing.Workload, all []billing.Estimate) string {
	const each = chartHigh + chartTop + chartBottom
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", chartLeft+chartWide+120, each*len(all)+30)
	fmt.Fprintf(&out, `<text x="%d" y="20">%s</text>`+"\n", 10, html.EscapeString(workloadText(w)))
	for i, e := range all {
		fmt.Fprintf(&out, `<g transform="translate(%d,%d)">`+"\n", chartLeft, 30+chartTop+i*each)
		drawBook(&out, w, e)
		out.WriteString("</g>\n")
	}
	out.WriteString("</svg>\n")
	return out.String()
}

// chartHTML is the table and the charts on one page.
func chartHTML(w billing.Workload, all []billing.Estimate) string {
	var rows strings.Builder
	for _, e := range all {
		rows.WriteString("<tr>")
		for _, cell := range []string{e.Book, amount(e.IaaS, 6), amount(e.PaaS, 6), amount(e.FaaS, 6), modelWord(e.Cheapest), breakEvenText(e.OfIaaS), breakEvenText(e.OfPaaS)} {
			rows.WriteString("<td>" + html.EscapeString(cell) + "</td>")
		}
		rows.WriteString("</tr>\n")
	}
	return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Estimate</title>
<style>body{font-family:sans-serif;max-width:60em;margin:2em auto}td,th{padding:.3em .8em;text-align:left;border-bottom:1px solid #ccc}</style>
<h1>Instance, app or function</h1>
<table><tr><th>book</th><th>instance</th><th>app</th><th>function</th><th>cheapest</th><th>function dearer than instance from</th><th>dearer than app from</th></tr>
` + rows.String() + "</table>\n" + chartSVG(w, all) + "</html>\n"
}

// drawBook draws the axes, the two level lines of instance and app, the line of the function, and where they cross.
func drawBook(out *strings.Builder, w billing.Workload, e billing.Estimate) {
	right := max(1, e.Points[len(e.Points)-1].Requests)
	high := max(1, millionths(e.IaaS), millionths(e.PaaS), millionths(e.Points[len(e.Points)-1].FaaS))
	x := func(n int64) int64 { return scale(n, right, chartWide) }
	y := func(cost string) int64 { return chartHigh - scale(millionths(cost), high, chartHigh) }
	fmt.Fprintf(out, `<text x="0" y="-12" font-weight="bold">book %s, USD a month by calls a month</text>`+"\n", html.EscapeString(e.Book))
	fmt.Fprintf(out, `<path d="M0 0V%d H%d" fill="none" stroke="black"/>`+"\n", chartHigh, chartWide)
	fmt.Fprintf(out, `<text x="-8" y="10" text-anchor="end">$%d</text><text x="-8" y="%d" text-anchor="end">$0</text>`+"\n", high/1_000_000, chartHigh)
	fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="end">%d calls</text>`+"\n", chartWide, chartHigh+18, right)
	for _, l := range []struct{ name, cost, colour string }{{"instance", e.IaaS, "#1f77b4"}, {"app", e.PaaS, "#2ca02c"}} {
		fmt.Fprintf(out, `<path d="M0 %d H%d" stroke="%s" stroke-width="2"/><text x="%d" y="%d" fill="%s">%s %s</text>`+"\n", y(l.cost), chartWide, l.colour, chartWide+6, y(l.cost)+4, l.colour, l.name, amount(l.cost, 2))
	}
	var points []string
	for _, p := range e.Points {
		points = append(points, fmt.Sprintf("%d,%d", x(p.Requests), y(p.FaaS)))
	}
	fmt.Fprintf(out, `<polyline points="%s" fill="none" stroke="#d62728" stroke-width="2"/><text x="%d" y="%d" fill="#d62728">function</text>`+"\n", strings.Join(points, " "), chartWide+6, y(e.Points[len(e.Points)-1].FaaS)+4)
	fmt.Fprintf(out, `<circle cx="%d" cy="%d" r="4" fill="#d62728"/>`+"\n", x(w.Requests), y(e.FaaS))
	for _, b := range []*billing.BreakEven{e.OfIaaS, e.OfPaaS} {
		if b != nil {
			fmt.Fprintf(out, `<path d="M%d 0V%d" stroke="#999" stroke-dasharray="4"/><text x="%d" y="%d" text-anchor="middle">%d</text>`+"\n", x(b.Requests), chartHigh, x(b.Requests), chartHigh+34, b.Requests)
		}
	}
}

// scale is n of limit in pixels.
func scale(n, limit, pixels int64) int64 {
	if limit > 1<<40 { // so that the product fits
		n, limit = n>>20, limit>>20
	}
	return n * pixels / limit
}

// millionths reads an amount with six decimals.
func millionths(cost string) int64 {
	n, err := strconv.ParseInt(strings.Replace(cost, ".", "", 1), 10, 64)
	if err != nil { // an estimate has six decimals and fits
		return 0
	}
	return n
}
