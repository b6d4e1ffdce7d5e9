package billing

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
)

func bookOf(t testing.TB, name string) *Book {
	t.Helper()
	b, err := load(t).Book(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// calls is n calls of a function as a book counts them.
func calls(t testing.TB, b *Book, n, memory, used, ms int64) (all []api.Usage) {
	t.Helper()
	q, err := b.CallRule().Of(api.Receipt{MemoryMB: memory, MaxMemoryUsedMB: used, BilledMs: ms})
	if err != nil {
		t.Fatal(err)
	}
	q = CallQuantity{Requests: n, MBMillis: n * q.MBMillis, CPU: n * q.CPU}
	return q.Usage(api.Receipt{Project: "p", Function: "f", FunctionID: "id-f", BilledAt: noon()})
}

// The worked example of the AWS Lambda pricing page: 512 MB, 3 M calls of 1 s, with the free tier. The page rounds the price to
// $0.00001667 and comes to $18.74; at the list price it is $18.73.
func TestLambdaWorkedExample(t *testing.T) {
	const want = `p|functions|faas|f|id-f|function-gb-seconds||400000|GB-Seconds|0|0.000000|400000 GB-Seconds x $0; free: 400000 GB-Seconds a month (Lambda free tier)
p|functions|faas|f|id-f|function-gb-seconds||1100000|GB-Seconds|0.0000166667|18.333370|1100000 GB-Seconds x $0.0000166667
p|functions|faas|f|id-f|function-requests||1000000|Requests|0|0.000000|1000000 Requests x $0; free: 1000000 Requests a month (Lambda free tier)
p|functions|faas|f|id-f|function-requests||2000000|Requests|0.0000002|0.400000|2000000 Requests x $0.0000002
total 18.733370
`
	aws := bookOf(t, "aws")
	bill, err := aws.Bill(november(""), calls(t, aws, 3e6, 512, 100, 1000))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, render(bill)); diff != "" {
		t.Error(diff)
	}
	data, err := bookFiles.ReadFile("books/aws.json")
	if err != nil {
		t.Fatal(err)
	}
	page, err := Parse([]byte(strings.Replace(string(data), `"0.0000166667"`, `"0.00001667"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	bill, err = page.Bill(november(""), calls(t, page, 3e6, 512, 100, 1000))
	if err != nil || bill.Total != "18.737000" {
		t.Errorf("at the price of the page the total is %s, %v; want 18.737000, which is $18.74", bill.Total, err)
	}
}

// Tiers of Lambda: 6 billion GB-s at the list price, 9 billion at the second, the rest at the third.
func TestLambdaTiers(t *testing.T) {
	aws := bookOf(t, "aws")
	bill, err := aws.Bill(november(""), calls(t, aws, 16_000_400, 1024, 0, 1_000_000))
	if err != nil {
		t.Fatal(err)
	}
	// 100,000.2 + 135,000 + 13,333.4 for GB-s, and 15,000,400 x $0.0000002 for requests
	if bill.Total != "248336.600080" {
		t.Errorf("total %s\n%s", bill.Total, render(bill))
	}
}

// One call of 128 MB that takes 7 ms and used 60 MB, as each provider counts it, before anything is free.
func TestTheSameCallUnderEveryBook(t *testing.T) {
	for name, want := range map[string]string{
		"nuage": "0.000875 0.000000217500",
		"aws":   "0.000875 0.000000214583",
		"azure": "0.0125 0.000000400000", // 100 ms and 128 MB at least
		"gcp":   "0.0125 0.000000630450", // 100 ms: 0.0125 GB-s x 0.0000025 + 0.0083 vCPU-s x 0.000024 + 0.0000004
		"ibm":   "0.1 0.000001751750",    // 100 ms of 1 GB and 0.25 vCPU
	} {
		r, err := bookOf(t, name).Receipt(api.Receipt{MemoryMB: 128, MaxMemoryUsedMB: 60, BilledMs: 7})
		if got := r.GBSeconds + " " + r.Cost; err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
}

func TestRulesOfCalls(t *testing.T) {
	for _, c := range []struct {
		book             string
		memory, used, ms int64
		want             CallQuantity
	}{
		{"aws", 129, 1, 1, CallQuantity{1, 129, 0}},
		{"azure", 1024, 160, 101, CallQuantity{1, 256 * 101, 0}}, // 160 MB are billed as 256
		{"azure", 1024, 0, 0, CallQuantity{1, 128 * 100, 0}},
		{"gcp", 256, 1, 101, CallQuantity{1, 256 * 200, 167 * 200}},
		{"gcp", 65536, 1, 100, CallQuantity{1, 65536 * 100, 8000 * 100}}, // more than the table has
		{"ibm", 1025, 1, 1, CallQuantity{1, 2048 * 100, 500 * 100}},
	} {
		got, err := bookOf(t, c.book).CallRule().Of(api.Receipt{MemoryMB: c.memory, MaxMemoryUsedMB: c.used, BilledMs: c.ms})
		if err != nil || got != c.want {
			t.Errorf("%+v: got %+v, %v", c, got, err)
		}
	}
}

// monthly is what a meter costs that runs the whole of a month of 730 h.
func monthly(t *testing.T, b *Book, meter string) *big.Rat {
	t.Helper()
	from, _ := Month(noon())
	bill, err := b.Bill(Query{From: from, To: from.Add(730 * time.Hour)}, []api.Usage{ran("x", meter, "r", "11-01 00:00:00", 730*time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	cost, _ := new(big.Rat).SetString(bill.Total)
	return cost
}

// Where a machine for a month and calls cost the same, free amounts aside.
func TestCrossovers(t *testing.T) {
	aws := bookOf(t, "aws")
	micro := monthly(t, aws, InstanceHours("small"))
	for _, c := range []struct {
		memory, ms int64
		want       string
	}{
		{128, 100, "18.6 M calls, 7.1 a second"}, {1024, 500, "0.9 M calls, 0.3 a second"},
	} {
		r, err := aws.Receipt(api.Receipt{MemoryMB: c.memory, BilledMs: c.ms})
		if err != nil {
			t.Fatal(err)
		}
		cost, _ := new(big.Rat).SetString(r.Cost)
		n := new(big.Rat).Quo(micro, cost)
		second := new(big.Rat).Quo(n, big.NewRat(730*3600, 1))
		got := fmt.Sprintf("%s M calls, %s a second", new(big.Rat).Quo(n, big.NewRat(1e6, 1)).FloatString(1), second.FloatString(1))
		if got != c.want {
			t.Errorf("%d MB x %d ms: %s, want %s", c.memory, c.ms, got, c.want)
		}
	}
	for meter, want := range map[string]string{
		InstanceHours("small"): "7.59", InstanceHours("medium"): "15.18", InstanceHours("large"): "30.37", AppHours("small"): "36.04", LoadBalancerHours: "16.43",
		DatabaseHours("micro"): "12.41",
	} {
		if got := monthly(t, aws, meter).FloatString(2); got != want {
			t.Errorf("a month of %s is $%s, want $%s", meter, got, want)
		}
	}
	for book, want := range map[string]string{"azure": "7.59", "gcp": "6.12"} {
		if got := monthly(t, bookOf(t, book), InstanceHours("small")).FloatString(2); got != want {
			t.Errorf("%s: a month of a small machine is $%s, want $%s", book, got, want)
		}
	}
}

// Minimums seen on a bill: ten starts of 5 s are 600 s of a machine, and 30 s of a database are 600 s on RDS.
func TestMinimumsOfProviders(t *testing.T) {
	aws := bookOf(t, "aws")
	var starts []api.Usage
	for i := range 10 {
		starts = append(starts, ran("web", InstanceHours("small"), fmt.Sprint("run", i), "11-02 10:00:00", 5*time.Second))
	}
	bill, err := aws.Bill(november(""), append(starts, ran("db", DatabaseHours("small"), "r", "11-02 10:00:00", 30*time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	const want = `p|databases|paas|db|id-db|database-hours:small||0.166666666667|Hours|0.017|0.002833|0.166666666667 Hours x $0.017, rounded half to even; 570 s of it tops up 1 run to the minimum of 600 s
p|instances|iaas|web|id-web|instance-hours:small||0.166666666667|Hours|0.0104|0.001733|0.166666666667 Hours x $0.0104, rounded half to even; 550 s of it tops up 10 runs to the minimum of 60 s
total 0.004566
`
	if diff := cmp.Diff(want, render(bill)); diff != "" {
		t.Error(diff)
	}
}

// Every line of every book says where it is from.
func TestBooksNameTheirSources(t *testing.T) {
	var names []string
	for _, b := range load(t).Books() {
		p := b.PriceBook()
		names = append(names, p.Name)
		if p.Date == "" || p.Source == "" || b.CallRule().Source == "" {
			t.Errorf("%s: %+v", p.Name, p)
		}
		for _, line := range p.Prices {
			if len(line.Source) < 10 {
				t.Errorf("%s: %s: source %q", p.Name, line.Meter, line.Source)
			}
		}
	}
	if got := strings.Join(names, " "); got != "aws azure gcp ibm nuage" {
		t.Errorf("the books are %s", got)
	}
}
