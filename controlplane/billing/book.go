package billing

import (
	"bytes"
	"embed"
	"encoding/json"
	"io"
	"slices"
	"sort"
	"strings"
	"time"

	"nuage/api"
)

//go:embed books/*.json
var bookFiles embed.FS

// DefaultBook is the book that "" names.
const DefaultBook = "nuage"

// bookFormat is the version of the file format that this package reads.
const bookFormat = 2

// bookFile is a price book as it is written. No other field is allowed, and all but Allowances are required.
type bookFile struct {
	Format        int             `json:"format"`
	Name          string          `json:"name"`
	Version       string          `json:"version"`
	Date          string          `json:"date"`
	Currency      string          `json:"currency"`
	Source        string          `json:"source"`
	HoursPerMonth int64           `json:"hoursPerMonth"` // that make one month of a GB-month
	Calls         CallRule        `json:"calls"`
	Allowances    []allowanceFile `json:"allowances"`
	Prices        []priceFile     `json:"prices"`
}

// Book is a price book: a price for every meter. It does not change and may be used by many at once.
type Book struct {
	text   []byte // as it was read
	head   api.PriceBook
	prices map[string]*price
	calls  CallRule
	reach  time.Duration
	rated  ratedCalls
	banded bool // some price depends on what was used before in its month
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

// CallRules returns the different ways in which the books count calls, in the order of the books.
func (l *Library) CallRules() []CallRule {
	var all []CallRule
	for _, b := range l.books {
		has := func(r CallRule) bool { return r.Key() == b.calls.Key() }
		if !slices.ContainsFunc(all, has) {
			all = append(all, b.calls)
		}
	}
	return all
}

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
	b, err := parse(data, false)
	if err != nil {
		return nil, err
	}
	return b, b.complete()
}

// ParseOld reads a book as Parse does, of a time when there were other meters: prices may be missing, and what has none is not in
// its bills. Invalid: as Parse.
func ParseOld(data []byte) (*Book, error) { return parse(data, true) }

func parse(data []byte, old bool) (*Book, error) {
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
	b := &Book{text: bytes.Clone(data), prices: make(map[string]*price), calls: f.Calls, head: api.PriceBook{Name: f.Name, Version: f.Version, Date: f.Date,
		Currency: f.Currency, Source: f.Source}}
	for _, p := range f.Prices {
		if _, known := MeterOf(p.Meter); old && !known {
			continue
		}
		if err := b.enter(p, f.HoursPerMonth); err != nil {
			return nil, err
		}
	}
	for _, a := range f.Allowances {
		if err := b.allow(a); err != nil {
			return nil, err
		}
	}
	for _, p := range b.prices {
		b.banded = b.banded || p.banded()
	}
	return b, nil
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
	return f.Calls.check(f.Name)
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

// Needs is the interval whose usage a bill from from to to needs to be exact: every record that overlaps or touches it. Before
// the period lies what of its month was used of allowances and tiers, and around it the longest minimum of a run: whether a run
// needs topping up, and when it started, then shows.
func (b *Book) Needs(from, to time.Time) (time.Time, time.Time) {
	if b.banded {
		from, _ = Month(from)
	}
	return from.Add(-b.reach), to.Add(b.reach)
}
