package billing

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nuage/api"
)

// tieredBook is the book nuage with free minutes of builds, a free amount that two meters share, one a day, and tiers.
func tieredBook(t testing.TB) *Book {
	t.Helper()
	text := strings.Replace(bookText(t), `  "prices": [`, `  "allowances": [
    {"name": "builds", "meters": ["build-minutes"], "quantity": 10, "unit": "Minutes", "per": "month", "source": "test"},
    {"name": "small ones", "meters": ["app-hours:nano", "app-hours:micro"], "quantity": 24, "unit": "Hours", "per": "month", "source": "test"},
    {"name": "calls", "meters": ["function-requests"], "quantity": 1000, "unit": "Requests", "per": "day", "source": "test"}],
  "prices": [`, 1)
	for old, tiers := range map[string]string{
		`"unitPrice": "0.005", "source": "teaching price, round number; AWS CodeBuild`: `{"above": 30, "unitPrice": "0.004"}, {"above": 50, "unitPrice": "0.003"}`,
		`"unitPrice": "0.0000002", "source"`:                                           `{"above": 5000, "unitPrice": "0.0000001"}`,
		`"unitPrice": "0.08", "source"`:                                                `{"above": 1, "unitPrice": "0.07"}`,
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("the book has no %s", old)
		}
		text = strings.Replace(text, old, strings.Replace(old, `"source"`, `"tiers": [`+tiers+`], "source"`, 1), 1)
	}
	b, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBookNuageHasFreeBuildsAndBackups(t *testing.T) {
	b, err := load(t).Book("")
	if err != nil {
		t.Fatal(err)
	}
	bill, err := b.Bill(november(""), []api.Usage{
		used("a", BuildMinutes, "", (90 * time.Minute).Milliseconds(), "11-02 10:00:00", 90*time.Minute),
		used("b", BuildMinutes, "", (30 * time.Minute).Milliseconds(), "11-03 10:00:00", 30*time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `p|apps|paas|a|id-a|build-minutes||90|Minutes|0|0.000000|90 Minutes x $0; free: 100 Minutes a month (builds)
p|apps|paas|b|id-b|build-minutes||10|Minutes|0|0.000000|10 Minutes x $0; free: 100 Minutes a month (builds)
p|apps|paas|b|id-b|build-minutes||20|Minutes|0.005|0.100000|20 Minutes x $0.005
total 0.100000
`
	if diff := cmp.Diff(want, render(bill)); diff != "" {
		t.Error(diff)
	}
	for _, p := range b.PriceBook().Prices {
		if want := map[string]string{BuildMinutes: "100 Minutes a month", BackupStorage: "1 GB-Months a month"}[p.Meter]; p.Free != want {
			t.Errorf("%s is shown with %q free, want %q", p.Meter, p.Free, want)
		}
	}
}

func TestFreeAmountsAndTiers(t *testing.T) {
	build := func(name, start string, length time.Duration) api.Usage {
		return used(name, BuildMinutes, "", length.Milliseconds(), start, length)
	}
	usage := []api.Usage{
		build("a", "10-31 12:00:00", 40*time.Minute), // last month's free amount
		build("a", "11-02 10:00:00", 6*time.Minute), build("b", "11-02 20:00:00", 2*time.Minute),
		build("a", "11-03 10:00:00", 3*time.Minute), build("b", "11-03 09:00:00", time.Minute), // 2 of these 4 are free
		build("a", "11-10 10:00:00", 90*time.Minute),
		used("f", FunctionRequests, "", 1500, "11-02 10:00:00", 0), used("f", FunctionRequests, "", 900, "11-03 10:00:00", 0),
		ran("shop", AppHours("nano"), "r1", "11-02 00:00:00", 18*time.Hour), ran("blog", AppHours("micro"), "r2", "11-03 00:00:00", 18*time.Hour),
	}
	const rest = `p|apps|paas|blog|id-blog|app-hours:micro||6|Hours|0|0.000000|6 Hours x $0; free: 24 Hours a month shared by app-hours:nano, app-hours:micro (small ones)
p|apps|paas|blog|id-blog|app-hours:micro||12|Hours|0.015|0.180000|12 Hours x $0.015
p|apps|paas|shop|id-shop|app-hours:nano||18|Hours|0|0.000000|18 Hours x $0; free: 24 Hours a month shared by app-hours:nano, app-hours:micro (small ones)
`
	for _, c := range []struct{ name, from, to, want string }{
		{"a month", "2026-11-01", "2026-12-01", `p|apps|paas|a|id-a|build-minutes||7.5|Minutes|0|0.000000|7.5 Minutes x $0; free: 10 Minutes a month (builds)
p|apps|paas|a|id-a|build-minutes||29.5|Minutes|0.005|0.147500|29.5 Minutes x $0.005
p|apps|paas|a|id-a|build-minutes||20|Minutes|0.004|0.080000|20 Minutes x $0.004; the price above 30 Minutes a month
p|apps|paas|a|id-a|build-minutes||42|Minutes|0.003|0.126000|42 Minutes x $0.003; the price above 50 Minutes a month
p|apps|paas|b|id-b|build-minutes||2.5|Minutes|0|0.000000|2.5 Minutes x $0; free: 10 Minutes a month (builds)
p|apps|paas|b|id-b|build-minutes||0.5|Minutes|0.005|0.002500|0.5 Minutes x $0.005
` + rest + `p|functions|faas|f|id-f|function-requests||1900|Requests|0|0.000000|1900 Requests x $0; free: 1000 Requests a day (calls)
p|functions|faas|f|id-f|function-requests||500|Requests|0.0000002|0.000100|500 Requests x $0.0000002
total 0.536100
`},
		{"two days, after what the month had used", "2026-11-03", "2026-11-05", `p|apps|paas|a|id-a|build-minutes||1.5|Minutes|0|0.000000|1.5 Minutes x $0; free: 10 Minutes a month (builds)
p|apps|paas|a|id-a|build-minutes||1.5|Minutes|0.005|0.007500|1.5 Minutes x $0.005
p|apps|paas|b|id-b|build-minutes||0.5|Minutes|0|0.000000|0.5 Minutes x $0; free: 10 Minutes a month (builds)
p|apps|paas|b|id-b|build-minutes||0.5|Minutes|0.005|0.002500|0.5 Minutes x $0.005
` + strings.Replace(rest, "p|apps|paas|shop|id-shop|app-hours:nano||18|Hours|0|0.000000|18 Hours x $0; free: 24 Hours a month shared by app-hours:nano, app-hours:micro (small ones)\n", "", 1) +
			`p|functions|faas|f|id-f|function-requests||900|Requests|0|0.000000|900 Requests x $0; free: 1000 Requests a day (calls)
total 0.190000
`},
	} {
		from, _ := time.Parse(time.DateOnly, c.from)
		to, _ := time.Parse(time.DateOnly, c.to)
		bill, err := tieredBook(t).Bill(Query{From: from, To: to}, usage)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, render(bill)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// bandsOf sums what a period bills by project, meter and price.
func bandsOf(t *rapid.T, b *Book, q Query, usage []api.Usage, into map[string]int64, key func(*part) string) {
	r, err := b.Rate(q)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range usage {
		if err := r.Add(u); err != nil {
			t.Fatal(err)
		}
	}
	charges, err := r.charges()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range charges {
		into[key(&part{line: &line{key: lineKey{c.shown.Project, c.shown.Resource, "", c.shown.Meter, ""}}, order: c.order})] += c.quantity
	}
}

// What a month bills at each price follows from the month's total alone: what is free first, then tier by tier.
func TestBandsEqualANaiveComputation(t *testing.T) {
	b, plain := tieredBook(t), nuage(t)
	rapid.Check(t, func(t *rapid.T) {
		usage, got, total := pieces(t, drawTruths(t)), map[string]int64{}, map[string]int64{}
		name := func(p *part) string { return p.line.key.project + "/" + p.line.key.meter }
		bandsOf(t, b, november(""), usage, got, func(p *part) string { return name(p) + "/" + string(rune('0'+p.order)) })
		bandsOf(t, plain, november(""), usage, total, name)
		const minute, gb = 60_000, 1024 * 730 * 3_600_000
		for _, project := range []string{"p", "q"} {
			builds, disks := total[project+"/build-minutes"], total[project+"/volume-storage"]
			for key, want := range map[string]int64{
				"/build-minutes/0": min(builds, 10*minute), "/build-minutes/1": min(max(builds-10*minute, 0), 30*minute),
				"/build-minutes/2": min(max(builds-40*minute, 0), 20*minute), "/build-minutes/3": max(builds-60*minute, 0),
				"/volume-storage/1": min(disks, gb), "/volume-storage/2": max(disks-gb, 0),
			} {
				if got[project+key] != want {
					t.Fatalf("%s%s is %d, want %d", project, key, got[project+key], want)
				}
			}
			free := got[project+"/app-hours:nano/0"] + got[project+"/app-hours:micro/0"]
			if hours := total[project+"/app-hours:nano"] + total[project+"/app-hours:micro"]; free != min(hours, 24*3_600_000) {
				t.Fatalf("%d ms of %d are free", free, hours)
			}
		}
	})
}

// A month that is billed in parts, cut at days, bills the same units at the same prices.
func TestPeriodsShareAMonthsAllowance(t *testing.T) {
	b := tieredBook(t)
	rapid.Check(t, func(t *rapid.T) {
		usage, whole, parts := pieces(t, drawTruths(t)), map[string]int64{}, map[string]int64{}
		key := func(p *part) string { return p.line.key.text() + string(rune('0'+p.order)) }
		q := november(rapid.SampledFrom([]string{ByNothing, ByDay}).Draw(t, "by"))
		bandsOf(t, b, q, usage, whole, key)
		middle := q.From.AddDate(0, 0, rapid.IntRange(0, 30).Draw(t, "middle"))
		for _, half := range []Query{{From: q.From, To: middle}, {From: middle, To: q.To}} {
			bandsOf(t, b, half, usage, parts, key)
		}
		if diff := cmp.Diff(whole, parts); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestAllowancesThatAreNotInOrder(t *testing.T) {
	const good = `{"name": "free", "meters": ["build-minutes"], "quantity": 10, "unit": "Minutes", "per": "month", "source": "test"}`
	for _, c := range []struct{ old, new, want string }{
		{`"free"`, `""`, "it needs a name, meters and a source"},
		{`"build-minutes"`, `"moon"`, `there is no such meter as "moon"`},
		{`"build-minutes"`, `"build-minutes", "build-minutes"`, `"build-minutes" has another allowance`},
		{"10", "0", "its quantity is 0, not 1 at least"}, {"10", "9223372036854775807", "over 2^63-1"},
		{`"Minutes"`, `"Hours"`, `its unit is "Hours", that of "build-minutes" is "Minutes"`},
		{"month", "year", `per is "year", not month or day`},
	} {
		text := strings.Replace(bookText(t), `  "prices": [`, `"allowances": [`+strings.Replace(good, c.old, c.new, 1)+`], "prices": [`, 1)
		if _, err := Parse([]byte(text)); !errors.Is(err, api.Invalid) && !errors.Is(err, api.Exhausted) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.new, err, c.want)
		}
	}
	text := strings.Replace(bookText(t), `"unitPrice": "0.0000002", "source"`, `"unitPrice": "0.0000002", "tiers": [{"above": 0, "unitPrice": "0"}], "source"`, 1)
	if _, err := Parse([]byte(text)); !errors.Is(err, api.Invalid) || !strings.Contains(err.Error(), "the tier above 0 is not above the one before") {
		t.Errorf("a tier above nothing: %v", err)
	}
}
