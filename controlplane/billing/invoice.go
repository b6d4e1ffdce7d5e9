package billing

import (
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"nuage/api"
)

// Invoice is a closed month as it is stored: what each line came to, under a book that is kept with it. No bill that is made from it ever
// changes, whatever is heard of later and whatever prices become.
type Invoice struct {
	ID       string          `json:"id"`
	Period   string          `json:"period"` // 2026-11
	From     time.Time       `json:"from"`
	To       time.Time       `json:"to"`
	ClosedAt time.Time       `json:"closedAt"` // billing time
	Real     time.Time       `json:"real"`     // real time
	Book     json.RawMessage `json:"book"`     // the whole price book
	Note     string          `json:"note,omitempty"`
	Lines    []Charge        `json:"lines"` // adjustments of earlier invoices among them
	Days     []Charge        `json:"days"`  // the same by project and day
	Settled  bool            `json:"settled,omitempty"`
}

// Charge is a line, or a sum of lines, with all that is needed to add it up.
type Charge struct {
	Line   api.BillLine `json:"line"`
	Order  int          `json:"order"`
	Stored int64        `json:"stored"` // quantity in the meter's stored unit; of a sum of several meters: 0
	Cost   int64        `json:"cost"`   // millionths of a USD
	Count  int          `json:"count"`
}

// PeriodName names the month that a time is in, as 2026-11.
func PeriodName(t time.Time) string { return t.UTC().Format("2006-01") }

// ParsePeriod reads what PeriodName wrote. Invalid.
func ParsePeriod(name string) (from, to time.Time, err error) {
	t, err := time.Parse("2006-01", name)
	if err != nil {
		return from, to, api.Errorf(api.Invalid, "cannot read the period %q: write a month as 2026-11", name)
	}
	from, to = Month(t)
	return from, to, nil
}

// RateMonth begins the bill of a calendar month that can be closed.
func (b *Book) RateMonth(from time.Time) (*Rating, error) {
	start, end := Month(from)
	return b.Rate(Query{From: start, To: end, By: ByDay})
}

// Close makes an invoice of what was added, with the adjustments that were. The rating is one of RateMonth.
func (r *Rating) Close(id, note string, billing, real time.Time) (Invoice, error) {
	v := Invoice{ID: id, Period: PeriodName(r.query.From), From: r.query.From.UTC(), To: r.query.To.UTC(), ClosedAt: billing.UTC(), Real: real.UTC(), Book: r.book.text, Note: note}
	plain, err := r.plain()
	if err != nil {
		return v, err
	}
	days, err := r.charges()
	if err != nil {
		return v, err
	}
	if v.Lines, err = frozen(append(plain, r.adjustments(false)...)); err != nil {
		return v, err
	}
	byDay := make(map[string]*charge)
	var order []*charge
	for _, c := range append(days, r.adjustments(true)...) {
		key := c.shown.Project + "\x00" + c.shown.Day
		if g := byDay[key]; g != nil {
			if err := g.merge(c, ByDay); err != nil {
				return v, err
			}
			continue
		}
		own := *c
		byDay[key], order = &own, append(order, &own)
	}
	v.Days, err = frozen(order)
	return v, err
}

// plain are the charges as those of a bill by nothing.
func (r *Rating) plain() ([]*charge, error) {
	whole := *r
	whole.daily = false
	return whole.charges()
}

// adjustments are those that were added, in a bill by day as of its first day.
func (r *Rating) adjustments(daily bool) []*charge {
	out := make([]*charge, len(r.late))
	for i, c := range r.late {
		own := *c
		if daily {
			own.shown.Day = r.query.From.UTC().Format(time.DateOnly)
		}
		out[i] = &own
	}
	return out
}

// frozen are charges as they are stored. Exhausted: an amount of more than 2^63-1 millionths.
func frozen(all []*charge) ([]Charge, error) {
	out := make([]Charge, 0, len(all))
	for _, c := range all {
		if !c.cost.IsInt64() {
			return nil, api.Errorf(api.Exhausted, "cannot close the period: %q costs $%s, which is over what an invoice can hold", c.shown.Resource, format(c.cost, costDecimals))
		}
		out = append(out, Charge{Line: c.line(), Order: c.order, Stored: c.quantity, Cost: c.cost.Int64(), Count: c.count})
	}
	return out, nil
}

// thawed are stored charges as they can be added up again.
func (b *Book) thawed(all []Charge, project string) []*charge {
	var out []*charge
	for _, c := range all {
		if project == "" || c.Line.Project == project {
			out = append(out, &charge{shown: c.Line, kept: true, price: b.prices[c.Line.Meter], each: c.Line.UnitPrice, order: c.Order, quantity: c.Stored, cost: big.NewInt(c.Cost), count: c.Count})
		}
	}
	return out
}

// Bill is the bill of the whole period, always the same. By and Project of q count. Invalid: an unknown By.
func (v Invoice) Bill(q Query) (api.Bill, error) {
	q.From, q.To = v.From, v.To
	if err := q.Check(); err != nil {
		return api.Bill{}, err
	}
	b, err := ParseOld(v.Book)
	if err != nil {
		return api.Bill{}, err
	}
	stored := v.Lines
	if q.By == ByDay {
		stored = v.Days
	}
	bill, err := b.billOf(q, b.thawed(stored, q.Project))
	bill.Invoice, bill.Note = v.ID, v.Note
	return bill, err
}

// Summary is the invoice in a list, with the total of a project, or of all.
func (v Invoice) Summary(project string) (api.Invoice, error) {
	bill, err := v.Bill(Query{Project: project})
	out := api.Invoice{ID: v.ID, Period: v.Period, PeriodStart: v.From, PeriodEnd: v.To, ClosedAt: v.ClosedAt, Currency: bill.Currency, Book: bill.Book, Total: bill.Total}
	for _, l := range bill.Lines {
		if l.Adjusts != "" {
			out.Adjustments++
		}
	}
	if err != nil {
		return out, err
	}
	b, err := ParseOld(v.Book)
	if err == nil {
		out.Version = b.head.Version
	}
	return out, err
}

// Adjust adds to a bill what closed invoices had too little or too much: the difference between their usage as it is known now, rated by
// their own books, and what was invoiced of it. now is a rating of v's month by v's book; later are the invoices after v, which have adjusted
// it before.
func (r *Rating) Adjust(v Invoice, now *Rating, later []Invoice) error {
	charges, err := now.plain()
	if err != nil {
		return err
	}
	invoiced := make(map[string]*charge)
	for _, c := range now.book.thawed(v.Lines, r.query.Project) {
		if c.shown.Adjusts == "" {
			invoiced[adjustKey(c)] = c
		}
	}
	for _, o := range later {
		for _, c := range now.book.thawed(o.Lines, r.query.Project) {
			if c.shown.Adjusts != v.Period {
				continue
			}
			if was := invoiced[adjustKey(c)]; was == nil {
				invoiced[adjustKey(c)] = c
			} else if err := was.merge(c, ByNothing); err != nil {
				return err
			}
		}
	}
	for _, c := range charges {
		if r.query.Project == "" || c.shown.Project == r.query.Project {
			key := adjustKey(c)
			r.adjust(v.Period, c, invoiced[key])
			delete(invoiced, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(invoiced)) { // nothing is left of it
		gone := *invoiced[key]
		gone.quantity, gone.cost = 0, new(big.Int)
		r.adjust(v.Period, &gone, invoiced[key])
	}
	return nil
}

// adjustKey is what a line and its adjustments have in common.
func adjustKey(c *charge) string {
	s := c.shown
	s.Adjusts = ""
	return (&charge{shown: s, order: c.order}).key(ByNothing)
}

// adjust adds the difference of two charges, if there is one.
func (r *Rating) adjust(period string, now, was *charge) {
	d := *now
	if was != nil {
		d.quantity, d.cost = now.quantity-was.quantity, new(big.Int).Sub(now.cost, was.cost)
	}
	if d.quantity == 0 && d.cost.Sign() == 0 {
		return
	}
	d.count, d.kept = 1, false
	d.shown.Adjusts, d.shown.Day, d.shown.Note = period, "", adjustmentNote(period, d.quantity, d.price, d.each)
	r.late = append(r.late, &d)
}

// adjustmentNote explains an adjustment.
func adjustmentNote(period string, quantity int64, of *price, each string) string {
	text := quotient(quantity, of.divisor).text(quantityDecimals)
	amount, ok := strings.CutPrefix(text, "-")
	note := amount + " " + string(of.meter.Unit) + " x $" + each + " of " + period
	if ok {
		return note + " taken back: its closed invoice had too much"
	}
	return note + ", heard of after its invoice was closed"
}
