package billing

import (
	"errors"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

func TestLibrary(t *testing.T) {
	lib := load(t)
	for _, name := range []string{"", "nuage"} {
		if b, err := lib.Book(name); err != nil || b.Name() != "nuage" {
			t.Errorf("Book(%q): %v", name, err)
		}
	}
	_, err := lib.Book("moon")
	if !errors.Is(err, api.NotFound) || err.Error() != `cannot find the price book "moon": there is aws, azure, gcp, ibm, nuage` {
		t.Errorf("an unknown book: %v", err)
	}
}

func TestPriceBookIsShown(t *testing.T) {
	b := nuage(t)
	p := b.PriceBook()
	if p.Currency != "USD" || p.Date != "2026-11-01" || p.Version == "" || p.Source == "" {
		t.Errorf("head: %+v", p)
	}
	for i, m := range Meters() {
		got := p.Prices[i]
		if got.Meter != m.Name || got.Service != m.Service || got.Model != m.Model || got.Unit != string(m.Unit) {
			t.Errorf("price %d is %+v, the meter %+v", i, got, m)
		}
		if !strings.HasPrefix(got.Source, "teaching price, round number") {
			t.Errorf("%s: source %q", m.Name, got.Source)
		}
		minimum := ""
		if m.Service == "instances" {
			minimum = "60 s a run"
		}
		if got.Minimum != minimum {
			t.Errorf("%s: minimum %q, want %q", m.Name, got.Minimum, minimum)
		}
	}
	if from, to := b.Needs(noon(), noon()); to.Sub(noon()) != time.Minute || noon().Sub(from) != time.Minute {
		t.Errorf("it needs %s to %s", from, to)
	}
	p.Prices[0].UnitPrice = "0"
	if b.PriceBook().Prices[0].UnitPrice != "0.005" {
		t.Error("what is shown can change the book")
	}
}

func TestBooksThatAreNotInOrder(t *testing.T) {
	good := bookText(t)
	if _, err := Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	const request = `"unitPrice": "0.0000002", "source"`
	for _, c := range []struct{ name, old, new, want string }{
		{"no JSON", good, "prices", `cannot read a price book: invalid character 'p'`},
		{"a tail", "\n}\n", "\n}\n{}", `something follows its end`},
		{"unknown field", `"format": 2,`, `"format": 2, "tiers": [],`, `unknown field "tiers"`},
		{"newer format", `"format": 2`, `"format": 3`, `its format is 3, this version reads 2`},
		{"name", `"name": "nuage"`, `"name": "Nuage!"`, `cannot use "Nuage!" as the name of a price book`},
		{"date", "2026-11-01", "1 Nov", `its date "1 Nov" is not YYYY-MM-DD`},
		{"version", `"version": "2026-11"`, `"version": ""`, "has no version"},
		{"currency", "USD", "EUR", `its currency is "EUR"`},
		{"source", "round numbers for teaching, of the size that list prices of large clouds have", "", "names no source"},
		{"month", `"hoursPerMonth": 730`, `"hoursPerMonth": 0`, "hoursPerMonth is 0, not 1 to 744"},
		{"unknown meter", `"meter": "function-requests"`, `"meter": "function-calls"`, `cannot read the price of "function-calls" in the price book "nuage": there is no such meter`},
		{"twice", `"meter": "app-hours:nano"`, `"meter": "app-hours:micro"`, `"app-hours:micro" in the price book "nuage": it is there twice`},
		{"missing", lineOf(good, "volume-storage"), "", `cannot use the price book "nuage": it has no price for volume-storage`},
		{"unit", `"unit": "Requests"`, `"unit": "Calls"`, `its unit is "Calls", the meter's is "Requests"`},
		{"number", request, `"unitPrice": 0.0000002, "source"`, "cannot unmarshal number"},
		{"exponent", request, `"unitPrice": "2e-7", "source"`, `cannot read "2e-7" as a price: write it as "0.02"`},
		{"no price", request, `"source"`, `cannot read "" as a price`},
		{"no source", `"source": "teaching price, round number: $0.20 a million, as on AWS Lambda"`, `"source": ""`, "it names no source"},
		{"negative minimum", `"minimumSeconds": 60`, `"minimumSeconds": -1`, "minimumSeconds is -1, not 0 to 86400"},
		{"minimum without runs", request, `"unitPrice": "0.0000002", "minimumSeconds": 1, "source"`, "it has a minimum, but the meter has no runs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(good, c.old) {
				t.Fatalf("the book has no %q", c.old)
			}
			_, err := Parse([]byte(strings.Replace(good, c.old, c.new, 1)))
			if !errors.Is(err, api.Invalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want Invalid with %q", err, c.want)
			}
		})
	}
}

// bookText is the book nuage with nothing free.
func bookText(t testing.TB) string {
	t.Helper()
	data, err := bookFiles.ReadFile("books/nuage.json")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(data), `  "allowances": [`)
	_, prices, ends := strings.Cut(rest, `  "prices": [`)
	if !found || !ends {
		t.Fatal("the book has no allowances before its prices")
	}
	return head + `  "prices": [` + prices
}

// lineOf is the line of a book that has the word.
func lineOf(text, word string) string {
	for l := range strings.Lines(text) {
		if strings.Contains(l, `"`+word+`"`) {
			return l
		}
	}
	return ""
}

// lambdaBook is the book with AWS Lambda's list prices (us-east-1, x86, first tier) for functions.
func lambdaBook(t testing.TB) *Book {
	t.Helper()
	b, err := Parse([]byte(strings.Replace(bookText(t), `"0.00002"`, `"0.0000166667"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
