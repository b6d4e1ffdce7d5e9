package main

import (
	"fmt"
	"html"
	"strconv"
	"strings"

	"nuage/controlplane/billing"
)

// chartSVG draws for each book what the calls cost on each model, one chart under the other. The picture needs nothing else.
func chartSVG(w billing.Workload, all []billing.Estimate) string {
	const each = chartHigh + chartTop + chartBottom
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", chartLeft+chartWide+chartRight, each*len(all)+30)
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

// drawBook draws the two level lines of instance and app, the line of the function, and where they cross.
func drawBook(out *strings.Builder, w billing.Workload, e billing.Estimate) {
	last := e.Points[len(e.Points)-1]
	c := chart{title: "book " + e.Book + ", USD a month by calls a month", most: max(1, last.Requests), high: max(1, millionths(e.IaaS), millionths(e.PaaS), millionths(last.FaaS)),
		dots: []chartPoint{{w.Requests, millionths(e.FaaS)}}}
	c.top, c.right = fmt.Sprintf("$%d", c.high/1_000_000), fmt.Sprintf("%d calls", c.most)
	function := chartLine{name: "function", colour: "#d62728"}
	for _, p := range e.Points {
		function.points = append(function.points, chartPoint{p.Requests, millionths(p.FaaS)})
	}
	level := func(name, cost, colour string) chartLine {
		return chartLine{name + " " + amount(cost, 2), colour, []chartPoint{{0, millionths(cost)}, {c.most, millionths(cost)}}}
	}
	c.lines = []chartLine{level("instance", e.IaaS, "#1f77b4"), level("app", e.PaaS, "#2ca02c"), function}
	for _, b := range []*billing.BreakEven{e.OfIaaS, e.OfPaaS} {
		if b != nil {
			c.marks = append(c.marks, chartMark{b.Requests, strconv.FormatInt(b.Requests, 10)})
		}
	}
	c.draw(out)
}

// millionths reads an amount with six decimals.
func millionths(cost string) int64 {
	n, err := strconv.ParseInt(strings.Replace(cost, ".", "", 1), 10, 64)
	if err != nil { // an estimate has six decimals and fits
		return 0
	}
	return n
}
