package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"nuage/api"
)

//go:embed comparepage.html
var comparePageSource string

// comparePage is what the page of a comparison shows, in words.
type comparePage struct {
	T           comparePageText
	Project, At string
	Heads       []api.Subject
	Rows        []pageRow
	Why         []pageWhy
	Measures    []pageMeasure
	Costs       []api.SubjectCost
	Crossings   []string
	Chart       template.HTML
}

type pageRow struct {
	Layer string
	Cells []pageCell
}

type pageCell struct{ Class, Who, Count, Published, Example string }

type pageWhy struct{ Layer, Subject, Text string }

type pageMeasure struct {
	Name, Unit, Kind string
	Values           []pageValue
}

type pageValue struct{ Value, At string }

// printComparePage prints a comparison as one page that needs nothing else. Names and details come from users: the template escapes
// them.
func (c *cli) printComparePage(comparison api.Comparison, lang string) error {
	page, err := template.New("compare").Parse(comparePageSource)
	if err != nil {
		return err
	}
	t := comparePageTexts(lang)
	p := comparePage{T: t, Project: comparison.Project, At: pageTime(comparison.At), Heads: comparison.Subjects, Measures: pageMeasures(t, comparison)}
	for _, layer := range comparison.Layers {
		row := pageRow{Layer: translated(t.layers, string(layer.Layer))}
		for _, cell := range layer.Cells {
			row.Cells = append(row.Cells, t.cell(cell))
			if cell.Differs {
				p.Why = append(p.Why, pageWhy{row.Layer, cell.Subject, t.cellWhy(cell)})
			}
		}
		p.Rows = append(p.Rows, row)
	}
	for _, cost := range comparison.Costs {
		each := t.Unknown
		if cost.PerRequest != "" {
			each = price(cost.PerRequest)
		}
		p.Costs = append(p.Costs, api.SubjectCost{Subject: cost.Subject, PerHour: price(cost.PerHour), PerRequest: each})
	}
	for _, b := range comparison.BreakEven {
		p.Crossings = append(p.Crossings, fmt.Sprintf(t.crossing, b.Dearer, b.Cheaper, strconv.FormatInt(b.RequestsPerHour, 10)))
	}
	p.Chart = compareChart(t, comparison)
	return page.Execute(c.out, p)
}

func pageTime(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }

func (t comparePageText) cell(c api.ComparisonCell) pageCell {
	out := pageCell{Class: c.Recorded, Who: translated(t.who, c.Recorded), Published: translated(t.who, c.Published), Example: c.Example}
	if c.Recorded == "none" {
		out.Who = "– " + t.Nothing
	} else {
		out.Count = fmt.Sprintf(t.count, c.Customer, c.Platform)
	}
	if c.Differs {
		out.Class += " differs"
	}
	return out
}

func pageMeasures(t comparePageText, comparison api.Comparison) (out []pageMeasure) {
	for _, m := range comparison.Measures {
		row := pageMeasure{Name: t.measureWord(m.Name), Unit: translated(t.units, m.Unit), Kind: translated(t.kinds, m.Kind)}
		for _, s := range comparison.Subjects {
			v := pageValue{Value: measureText(m, s.Name)}
			if at, ok := m.Times[s.Name]; ok {
				v.At = t.At + " " + pageTime(at)
			}
			row.Values = append(row.Values, v)
		}
		out = append(out, row)
	}
	return out
}

// The colours of the chart's lines, which can be told apart by eyes that see few colours.
func lineColours() []string {
	return []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"}
}

// compareChart draws what an hour costs by the requests in it, as far as twice the largest break-even.
func compareChart(t comparePageText, comparison api.Comparison) template.HTML {
	known := slices.DeleteFunc(slices.Clone(comparison.Costs), func(c api.SubjectCost) bool { return c.PerRequest == "" })
	if len(known) == 0 {
		return ""
	}
	c := chart{title: t.ChartTitle, most: 3600}
	for _, b := range comparison.BreakEven {
		c.most = max(c.most, 2*b.RequestsPerHour)
		c.marks = append(c.marks, chartMark{b.RequestsPerHour, strconv.FormatInt(b.RequestsPerHour, 10)})
	}
	for i, cost := range known {
		line := chartLine{name: cost.Subject, colour: lineColours()[i%len(lineColours())]}
		for _, n := range []int64{0, c.most} {
			line.points = append(line.points, chartPoint{n, costAt(cost, n)})
			c.high = max(c.high, costAt(cost, n), 1)
		}
		c.lines = append(c.lines, line)
	}
	c.top = amount(fmt.Sprintf("%d.%09d", c.high/1e9, c.high%1e9), 4)
	c.right = fmt.Sprintf("%d %s", c.most, t.Requests)
	var out strings.Builder
	fmt.Fprintf(&out, `<svg role="img" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12"><g transform="translate(%d,%d)">`+"\n",
		chartLeft+chartWide+chartRight, chartTop+chartHigh+chartBottom, chartLeft, chartTop)
	c.draw(&out)
	out.WriteString("</g></svg>\n")
	return template.HTML(out.String()) // the chart escapes what it is given
}

// costAt is what an hour with so many requests costs, in thousandths of a millionth of a USD.
func costAt(c api.SubjectCost, requests int64) int64 {
	hour, ok1 := new(big.Rat).SetString(c.PerHour)
	each, ok2 := new(big.Rat).SetString(c.PerRequest)
	if !ok1 || !ok2 {
		return 0
	}
	sum := hour.Add(hour, each.Mul(each, new(big.Rat).SetInt64(requests)))
	sum.Mul(sum, new(big.Rat).SetInt64(1e9))
	return new(big.Int).Quo(sum.Num(), sum.Denom()).Int64()
}
