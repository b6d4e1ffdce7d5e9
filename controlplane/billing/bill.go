package billing

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"nuage/api"
)

// Bill rates usage, in any order, into an invoice for the period of q; what lies outside is left out (see also
// Book.Needs). Total is the sum of the lines to the last digit, and the same whatever the bill is grouped by.
// Invalid: as Query.Check and CheckUsage. Exhausted: a quantity sums up to more than 2^63-1.
func (b *Book) Bill(q Query, usage []api.Usage) (api.Bill, error) {
	r, err := b.Rate(q)
	if err != nil {
		return api.Bill{}, err
	}
	for i := range usage {
		if err := r.Add(usage[i]); err != nil {
			return api.Bill{}, err
		}
	}
	return r.Bill()
}

// Bill is the invoice of what was added so far. Exhausted: a quantity sums up to more than 2^63-1.
func (r *Rating) Bill() (api.Bill, error) {
	charges, err := r.charges()
	if err != nil {
		return api.Bill{}, err
	}
	return r.book.billOf(r.query, append(charges, r.adjustments(r.daily)...))
}

// billOf adds charges up as a query says.
func (b *Book) billOf(q Query, charges []*charge) (api.Bill, error) {
	groups, total := make(map[string]*charge), new(big.Int)
	for _, c := range charges {
		total.Add(total, c.cost)
		key := c.key(q.By)
		if g := groups[key]; g == nil {
			own := *c
			own.only(q.By)
			groups[key] = &own
		} else if err := g.merge(c, q.By); err != nil {
			return api.Bill{}, err
		}
	}
	out := api.Bill{Currency: b.head.Currency, Book: b.Name(), PeriodStart: q.From.UTC(), PeriodEnd: q.To.UTC(),
		Total: format(total, costDecimals), Lines: make([]api.BillLine, 0, len(groups))}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		out.Lines = append(out.Lines, groups[key].line())
	}
	return out, nil
}

// charge is the cost of one meter of one resource at one price (on one day, where the bill is by day), or a group of such.
type charge struct {
	shown    api.BillLine // what all of the group agree on; Note is that of a single charge
	price    *price
	each     string // unit price; "" where a group has several
	order    int    // of the price among those of its line
	quantity int64  // stored units, where all have one meter
	cost     *big.Int
	count    int
	kept     bool // shown is all of it, from an invoice
}

// charges are the finest lines, ordered by project, service, resource, meter and price. This is where amounts are rounded.
func (r *Rating) charges() ([]*charge, error) {
	var lines []*line
	for _, l := range r.lines {
		whole, err := r.toppedUp(*l)
		if err != nil {
			return nil, err
		}
		lines = append(lines, whole)
	}
	slices.SortFunc(lines, func(a, b *line) int { return strings.Compare(a.key.text(), b.key.text()) })
	parts, err := r.divide(lines)
	if err != nil {
		return nil, err
	}
	var out []*charge
	for _, p := range parts {
		if p.quantity > 0 {
			out = append(out, r.chargesOf(p)...)
		}
	}
	slices.SortFunc(out, func(a, b *charge) int {
		return strings.Compare(a.key(ByNothing)+a.shown.Day, b.key(ByNothing)+b.shown.Day)
	})
	return out, nil
}

func (k lineKey) text() string {
	return strings.Join([]string{k.project, k.resource, k.resourceID, k.meter, k.tags}, "\x00")
}

// chargesOf is a part of a line as one charge, or one a day. It is rounded once: the days' costs are the differences of the
// rounded cost up to each day's end, so they add up to it.
func (r *Rating) chargesOf(p *part) []*charge {
	if !r.daily {
		cost, _ := p.amount(p.quantity).round(costDecimals)
		return []*charge{p.charge(p.quantity, cost, p.note())}
	}
	var out []*charge
	sum, before := int64(0), new(big.Int)
	for _, at := range slices.Sorted(maps.Keys(p.slices)) {
		if at < r.from || p.slices[at] == 0 {
			continue
		}
		sum += p.slices[at]
		cost, _ := p.amount(sum).round(costDecimals)
		c := p.charge(p.slices[at], new(big.Int).Sub(cost, before), p.formula(p.slices[at])+p.band.note+", its share of the charge for the period")
		c.shown.Day = time.UnixMilli(at).UTC().Format(time.DateOnly)
		out, before = append(out, c), cost
	}
	return out
}

func (p *part) charge(quantity int64, cost *big.Int, note string) *charge {
	of, k := p.line.price, p.line.key
	return &charge{price: of, each: p.band.each.String(), order: p.order, quantity: quantity, cost: cost, count: 1, shown: api.BillLine{
		Project: k.project, Service: of.meter.Service, Model: of.meter.Model, Resource: k.resource, ResourceID: k.resourceID, Meter: of.meter.Name, Note: note, Tags: p.line.tags}}
}

// amount is the exact cost of a stored quantity.
func (p *part) amount(quantity int64) fraction {
	return quotient(quantity, p.line.price.divisor).times(p.band.each)
}

// formula is the charge's arithmetic in words.
func (p *part) formula(quantity int64) string {
	of := p.line.price
	return fmt.Sprintf("%s %s x $%s", quotient(quantity, of.divisor).text(quantityDecimals), of.meter.Unit, p.band.each)
}

// note explains the charge.
func (p *part) note() string {
	note, l := p.formula(p.quantity), p.line
	if _, exact := p.amount(p.quantity).round(costDecimals); !exact {
		note += ", rounded half to even"
	}
	note += p.band.note
	if l.topped > 0 && p.order > 0 {
		note += fmt.Sprintf("; %s of it tops up %s to the minimum of %s", seconds(l.topUp), plural(l.topped, "run"), seconds(l.price.minimumMs))
	}
	return note
}

// key is what charges of one group have in common; groups are shown in its order.
func (c *charge) key(by string) string {
	s := c.shown
	if tag, ok := strings.CutPrefix(by, ByTag); ok {
		return s.Tags[tag]
	}
	switch by {
	case ByService:
		return s.Service
	case ByResource:
		return strings.Join([]string{s.Project, s.Service, s.Resource, s.ResourceID}, "\x00")
	case ByModel:
		return strconv.Itoa(slices.Index([]string{"iaas", "paas", "faas"}, s.Model)) + s.Model
	case ByProject:
		return s.Project
	case ByDay:
		return s.Day
	}
	return strings.Join([]string{s.Project, s.Service, s.Resource, s.ResourceID, s.Meter, tagsText(s.Tags), fmt.Sprintf("%03d", c.order), s.Adjusts}, "\x00")
}

// only leaves of a line's tags the one that a bill is grouped by.
func (c *charge) only(by string) {
	if tag, ok := strings.CutPrefix(by, ByTag); ok {
		value, has := c.shown.Tags[tag]
		c.shown.Tags = nil
		if has {
			c.shown.Tags = map[string]string{tag: value}
		}
	}
}

// merge takes another charge into the group: costs add up as they were rounded, quantities while the meter is one.
func (c *charge) merge(o *charge, by string) (err error) {
	if !strings.HasPrefix(by, ByTag) && !maps.Equal(c.shown.Tags, o.shown.Tags) {
		c.shown.Tags = nil
	}
	for _, f := range []struct{ mine, other *string }{
		{&c.shown.Project, &o.shown.Project}, {&c.shown.Service, &o.shown.Service}, {&c.shown.Model, &o.shown.Model},
		{&c.shown.Resource, &o.shown.Resource}, {&c.shown.ResourceID, &o.shown.ResourceID},
		{&c.shown.Meter, &o.shown.Meter}, {&c.shown.Day, &o.shown.Day}, {&c.shown.Adjusts, &o.shown.Adjusts}, {&c.each, &o.each},
	} {
		if *f.mine != *f.other {
			*f.mine = ""
		}
	}
	c.count += o.count
	c.kept, c.shown.Quantity, c.shown.Unit, c.shown.UnitPrice = false, "", "", ""
	c.cost = new(big.Int).Add(c.cost, o.cost)
	if c.shown.Meter != "" && (c.price == nil || o.price == nil || c.price.divisor != o.price.divisor) { // of a book with another month
		c.shown.Meter = ""
	}
	if c.shown.Meter != "" {
		c.quantity, err = sum(c.quantity, o.quantity)
	}
	return err
}

// line is the charge as it is shown.
func (c *charge) line() api.BillLine {
	out := c.shown
	if c.kept {
		return out
	}
	out.Cost = format(c.cost, costDecimals)
	if c.shown.Meter != "" {
		out.Quantity = quotient(c.quantity, c.price.divisor).text(quantityDecimals)
		out.Unit, out.UnitPrice = string(c.price.meter.Unit), c.each
	}
	if c.count > 1 {
		out.Note = fmt.Sprintf("the sum of %d charges, each rounded by itself", c.count)
	}
	return out
}

// seconds writes milliseconds as seconds.
func seconds(ms int64) string { return quotient(ms, 1000).text(3) + " s" }

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
