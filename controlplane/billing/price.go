package billing

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"nuage/api"

	"github.com/govalues/decimal"
)

// priceFile is what a book says of one meter. Tiers, MinimumSeconds may be absent.
type priceFile struct {
	Meter          string     `json:"meter"`
	Unit           Unit       `json:"unit"`
	UnitPrice      string     `json:"unitPrice"`
	Tiers          []tierFile `json:"tiers"`          // prices of what is above so many units a month
	MinimumSeconds int64      `json:"minimumSeconds"` // billed of each run at least
	Source         string     `json:"source"`
}

type tierFile struct {
	Above     int64  `json:"above"` // units of a calendar month and a project, what is free not counted
	UnitPrice string `json:"unitPrice"`
}

// allowanceFile is what a book gives each project for nothing, of one meter or of several together.
type allowanceFile struct {
	Name     string   `json:"name"`
	Meters   []string `json:"meters"`
	Quantity int64    `json:"quantity"`
	Unit     Unit     `json:"unit"`
	Per      string   `json:"per"` // month or day, UTC
	Source   string   `json:"source"`
}

// price is what a book says of one meter.
type price struct {
	meter     Meter
	divisor   int64 // stored units in one priced unit
	minimumMs int64 // of each run; 0: none
	free      *allowance
	bands     []band // the first is what the first unit costs
}

// band is a price for what lies above a quantity.
type band struct {
	each  decimal.Decimal // USD for one priced unit
	above int64           // stored units
	note  string
}

// allowance is a quantity that is free.
type allowance struct {
	stored int64
	daily  bool
	note   string
}

// banded tells that what a unit costs depends on how much was used before in its month.
func (p *price) banded() bool { return p.free != nil || len(p.bands) > 1 }

// first is the price of the first unit that is not free.
func (p *price) first() decimal.Decimal { return p.bands[0].each }

// enter takes one price into the book.
func (b *Book) enter(p priceFile, hoursPerMonth int64) error {
	m, ok := MeterOf(p.Meter)
	wrong := func(why string, args ...any) error {
		return api.Errorf(api.Invalid, "cannot read the price of %q in the price book %q: "+why, append([]any{p.Meter, b.Name()}, args...)...)
	}
	each, err := parsePrice(p.UnitPrice)
	switch {
	case !ok:
		return wrong("there is no such meter")
	case b.prices[p.Meter] != nil:
		return wrong("it is there twice")
	case p.Unit != m.Unit:
		return wrong("its unit is %q, the meter's is %q", p.Unit, m.Unit)
	case err != nil:
		return wrong("%w", err)
	case p.Source == "":
		return wrong("it names no source")
	case p.MinimumSeconds < 0 || p.MinimumSeconds > 86400:
		return wrong("minimumSeconds is %d, not 0 to 86400", p.MinimumSeconds)
	case p.MinimumSeconds > 0 && !m.PerRun:
		return wrong("it has a minimum, but the meter has no runs")
	}
	of := &price{meter: m, bands: []band{{each: each}}, divisor: m.Unit.divisor(hoursPerMonth), minimumMs: p.MinimumSeconds * 1000}
	for _, t := range p.Tiers {
		if err := of.enterTier(t); err != nil {
			return wrong("%w", err)
		}
	}
	b.prices[p.Meter] = of
	b.head.Prices = append(b.head.Prices, p.shown(m))
	b.reach = max(b.reach, time.Duration(p.MinimumSeconds)*time.Second)
	return nil
}

// shown is the price as api.PriceBook has it.
func (p priceFile) shown(m Meter) api.Price {
	out := api.Price{Meter: m.Name, Service: m.Service, Model: m.Model, Unit: string(m.Unit), UnitPrice: p.UnitPrice, Source: p.Source}
	if p.MinimumSeconds > 0 {
		out.Minimum = seconds(p.MinimumSeconds*1000) + " a run"
	}
	for _, t := range p.Tiers {
		out.Tiers = append(out.Tiers, api.PriceTier{Above: strconv.FormatInt(t.Above, 10), UnitPrice: t.UnitPrice})
	}
	return out
}

// enterTier adds a price for what lies above a quantity.
func (p *price) enterTier(t tierFile) error {
	each, err := parsePrice(t.UnitPrice)
	if err != nil {
		return err
	}
	stored, err := multiply(max(0, t.Above), p.divisor)
	if err != nil {
		return err
	}
	if stored <= p.bands[len(p.bands)-1].above {
		return api.Errorf(api.Invalid, "the tier above %d is not above the one before", t.Above)
	}
	p.bands = append(p.bands, band{each: each, above: stored, note: fmt.Sprintf("; the price above %d %s a month", t.Above, p.meter.Unit)})
	return nil
}

// allow takes an allowance into the book, after all prices.
func (b *Book) allow(a allowanceFile) error {
	wrong := func(why string, args ...any) error {
		return api.Errorf(api.Invalid, "cannot read the allowance %q in the price book %q: "+why, append([]any{a.Name, b.Name()}, args...)...)
	}
	switch {
	case a.Name == "" || a.Source == "" || len(a.Meters) == 0:
		return wrong("it needs a name, meters and a source")
	case a.Per != "month" && a.Per != "day":
		return wrong("per is %q, not month or day", a.Per)
	case a.Quantity < 1:
		return wrong("its quantity is %d, not 1 at least", a.Quantity)
	}
	text := fmt.Sprintf("%d %s a %s", a.Quantity, a.Unit, a.Per)
	if len(a.Meters) > 1 {
		text += " shared by " + strings.Join(a.Meters, ", ")
	}
	given := &allowance{daily: a.Per == "day", note: fmt.Sprintf("; free: %s (%s)", text, a.Name)}
	for _, name := range a.Meters {
		p := b.prices[name]
		switch {
		case p == nil:
			return wrong("there is no such meter as %q", name)
		case p.meter.Unit != a.Unit:
			return wrong("its unit is %q, that of %q is %q", a.Unit, name, p.meter.Unit)
		case p.free != nil:
			return wrong("%q has another allowance", name)
		}
		stored, err := multiply(a.Quantity, p.divisor)
		if err != nil {
			return wrong("%w", err)
		}
		given.stored, p.free = stored, given
		b.showFree(name, text)
	}
	return nil
}

// showFree says in the shown book what is free of a meter.
func (b *Book) showFree(meter, text string) {
	for i := range b.head.Prices {
		if b.head.Prices[i].Meter == meter {
			b.head.Prices[i].Free = text
		}
	}
}
