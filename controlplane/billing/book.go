package billing

import (
	"bytes"
	"embed"
	"encoding/json"
	"io"
	"sort"
	"strings"
	"time"

	"nuage/api"

	"github.com/govalues/decimal"
)

//go:embed books/*.json
var bookFiles embed.FS

// DefaultBook is the book that "" names.
const DefaultBook = "nuage"

// bookFormat is the version of the file format that this package reads.
const bookFormat = 1

// bookFile is a price book as it is written. Every field is required but MinimumSeconds, and no other is allowed.
type bookFile struct {
	Format        int         `json:"format"`
	Name          string      `json:"name"`
	Version       string      `json:"version"`
	Date          string      `json:"date"`
	Currency      string      `json:"currency"`
	Source        string      `json:"source"`
	HoursPerMonth int64       `json:"hoursPerMonth"` // that make one month of a GB-month
	Prices        []priceFile `json:"prices"`
}

type priceFile struct {
	Meter          string `json:"meter"`
	Unit           Unit   `json:"unit"`
	UnitPrice      string `json:"unitPrice"`
	MinimumSeconds int64  `json:"minimumSeconds"` // billed of each run at least
	Source         string `json:"source"`
}

// Book is a price book: a price for every meter. It does not change and may be used by many at once.
type Book struct {
	head   api.PriceBook
	prices map[string]*price
	reach  time.Duration
}

// price is what a book says of one meter.
type price struct {
	meter     Meter
	each      decimal.Decimal // USD for one priced unit
	divisor   int64           // stored units in one priced unit
	minimumMs int64           // of each run; 0: none
}

// Library is the price books that come with the cloud.
type Library struct{ books []*Book }

// Load reads the embedded books. Internal: one of them is not in order.
func Load() (*Library, error) {
	entries, err := bookFiles.ReadDir("books")
	if err != nil {
		return nil, api.Errorf(api.Internal, "cannot list the embedded price books: %w", err)
	}
	lib := &Library{}
	for _, e := range entries {
		data, err := bookFiles.ReadFile("books/" + e.Name())
		if err != nil {
			return nil, api.Errorf(api.Internal, "cannot read the embedded price book %q: %w", e.Name(), err)
		}
		book, err := Parse(data)
		if err != nil {
			return nil, api.Errorf(api.Internal, "cannot load the price book %q: %w", e.Name(), err)
		}
		lib.books = append(lib.books, book)
	}
	return lib, nil
}

// Books returns all books, by name.
func (l *Library) Books() []*Book { return append([]*Book(nil), l.books...) }

// Book returns the book of that name; "" is DefaultBook. NotFound: there is none.
func (l *Library) Book(name string) (*Book, error) {
	if name == "" {
		name = DefaultBook
	}
	names := make([]string, len(l.books))
	for i, b := range l.books {
		if b.Name() == name {
			return b, nil
		}
		names[i] = b.Name()
	}
	return nil, api.Errorf(api.NotFound, "cannot find the price book %q: there is %s", name, strings.Join(names, ", "))
}

// Parse reads a book. Invalid: no JSON, an unknown or missing field, a price that is no plain decimal, a meter that
// is unknown, priced twice or not at all, or a unit that is not the meter's.
func Parse(data []byte) (*Book, error) {
	var f bookFile
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, api.Errorf(api.Invalid, "cannot read a price book: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, api.Errorf(api.Invalid, "cannot read the price book %q: something follows its end", f.Name)
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	b := &Book{prices: make(map[string]*price), head: api.PriceBook{Name: f.Name, Version: f.Version, Date: f.Date,
		Currency: f.Currency, Source: f.Source}}
	for _, p := range f.Prices {
		if err := b.enter(p, f.HoursPerMonth); err != nil {
			return nil, err
		}
	}
	return b, b.complete()
}

// check is of everything but the prices.
func (f bookFile) check() error {
	if f.Format != bookFormat {
		return api.Errorf(api.Invalid, "cannot read the price book %q: its format is %d, this version reads %d", f.Name, f.Format, bookFormat)
	}
	if err := api.CheckName("price book", f.Name); err != nil {
		return err
	}
	if _, err := time.Parse(time.DateOnly, f.Date); err != nil {
		return api.Errorf(api.Invalid, "cannot read the price book %q: its date %q is not YYYY-MM-DD", f.Name, f.Date)
	}
	switch {
	case f.Version == "":
		return api.Errorf(api.Invalid, "cannot read the price book %q: it has no version", f.Name)
	case f.Currency != "USD":
		return api.Errorf(api.Invalid, "cannot read the price book %q: its currency is %q, all money is USD", f.Name, f.Currency)
	case f.Source == "":
		return api.Errorf(api.Invalid, "cannot read the price book %q: it names no source", f.Name)
	case f.HoursPerMonth < 1 || f.HoursPerMonth > 744:
		return api.Errorf(api.Invalid, "cannot read the price book %q: hoursPerMonth is %d, not 1 to 744", f.Name, f.HoursPerMonth)
	}
	return nil
}

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
	b.prices[p.Meter] = &price{meter: m, each: each, divisor: m.Unit.divisor(hoursPerMonth), minimumMs: p.MinimumSeconds * 1000}
	shown := api.Price{Meter: m.Name, Service: m.Service, Model: m.Model, Unit: string(m.Unit), UnitPrice: p.UnitPrice, Source: p.Source}
	if p.MinimumSeconds > 0 {
		minimum := time.Duration(p.MinimumSeconds) * time.Second
		shown.Minimum = seconds(p.MinimumSeconds*1000) + " a run"
		b.reach = max(b.reach, minimum)
	}
	b.head.Prices = append(b.head.Prices, shown)
	return nil
}

// complete says which meters have no price, and puts the prices in the order of the meters.
func (b *Book) complete() error {
	order, missing := make(map[string]int), []string(nil)
	for i, m := range Meters() {
		order[m.Name] = i
		if b.prices[m.Name] == nil {
			missing = append(missing, m.Name)
		}
	}
	if len(missing) > 0 {
		return api.Errorf(api.Invalid, "cannot use the price book %q: it has no price for %s", b.Name(), strings.Join(missing, ", "))
	}
	sort.Slice(b.head.Prices, func(i, j int) bool { return order[b.head.Prices[i].Meter] < order[b.head.Prices[j].Meter] })
	return nil
}

// Name returns the book's name.
func (b *Book) Name() string { return b.head.Name }

// PriceBook returns the book as it is shown, in the order of Meters.
func (b *Book) PriceBook() api.PriceBook {
	shown := b.head
	shown.Prices = append([]api.Price(nil), b.head.Prices...)
	return shown
}

// Reach is the longest minimum of a run. A bill from From to To is exact when it is given every usage record that
// overlaps or touches [From-Reach, To+Reach]: whether a run needs topping up, and when it started, then shows.
func (b *Book) Reach() time.Duration { return b.reach }
