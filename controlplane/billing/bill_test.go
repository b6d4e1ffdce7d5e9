package billing

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
)

// november is the period of most tests.
func november(by string) Query {
	from, to := Month(noon())
	return Query{From: from, To: to, By: by}
}

// used is a record of a resource of project "p", id'd by its name, from a time in November for so long.
func used(name, meter, run string, quantity int64, start string, length time.Duration) api.Usage {
	from, err := time.Parse("2006-01-02 15:04:05", "2026-"+start)
	if err != nil {
		panic(err)
	}
	m, _ := MeterOf(meter)
	return api.Usage{Project: "p", Service: m.Service, Resource: name, ResourceID: "id-" + name, Meter: meter, Run: run,
		Quantity: quantity, Start: from, End: from.Add(length)}
}

// ran is the record of a run, whose quantity is its length.
func ran(name, meter, run, start string, length time.Duration) api.Usage {
	return used(name, meter, run, length.Milliseconds(), start, length)
}

// render writes a bill as text, a line of it a line.
func render(b api.Bill) string {
	var out strings.Builder
	for _, l := range b.Lines {
		fmt.Fprintln(&out, strings.Join([]string{l.Project, l.Service, l.Model, l.Resource, l.ResourceID, l.Meter, l.Day, l.Quantity, l.Unit, l.UnitPrice, l.Cost, l.Note}, "|"))
	}
	fmt.Fprintln(&out, "total", b.Total)
	return out.String()
}

func TestBillLines(t *testing.T) {
	const small, second, minute, hour = "instance-hours:small", time.Second, time.Minute, time.Hour
	tenStarts := func() (all []api.Usage) {
		for i := range 10 {
			all = append(all, ran("web", small, fmt.Sprint("run", i), "11-02 10:00:00", 5*second))
		}
		return all
	}
	for _, c := range []struct {
		name  string
		book  *Book
		usage []api.Usage
		want  string
	}{
		{"nothing", nuage(t), nil, `
total 0.000000`},
		{"a month of a small instance, and of 20 GB of database", nuage(t), []api.Usage{
			ran("web", small, "r", "11-01 00:00:00", 720*hour),
			used("db", "database-storage", "", 20*1024*720*msPerHour, "11-01 00:00:00", 720*hour)}, `
p|databases|paas|db|id-db|database-storage||19.72602739726|GB-Months|0.1|1.972603|19.72602739726 GB-Months x $0.1, rounded half to even
p|instances|iaas|web|id-web|instance-hours:small||720|Hours|0.02|14.400000|720 Hours x $0.02
total 16.372603`},
		{"ten starts of 5 s are billed as 600 s", nuage(t), tenStarts(), `
p|instances|iaas|web|id-web|instance-hours:small||0.166666666667|Hours|0.02|0.003333|0.166666666667 Hours x $0.02, rounded half to even; 550 s of it tops up 10 runs to the minimum of 60 s
total 0.003333`},
		{"a run over the minimum has none, one just under has", nuage(t), []api.Usage{
			ran("a", small, "r", "11-02 10:00:00", minute), ran("b", small, "r", "11-02 10:00:00", minute-time.Millisecond),
			ran("c", "app-hours:small", "r", "11-02 10:00:00", second)}, `
p|apps|paas|c|id-c|app-hours:small||0.000277777778|Hours|0.03|0.000008|0.000277777778 Hours x $0.03, rounded half to even
p|instances|iaas|a|id-a|instance-hours:small||0.016666666667|Hours|0.02|0.000333|0.016666666667 Hours x $0.02, rounded half to even
p|instances|iaas|b|id-b|instance-hours:small||0.016666666667|Hours|0.02|0.000333|0.016666666667 Hours x $0.02, rounded half to even; 0.001 s of it tops up 1 run to the minimum of 60 s
total 0.000674`},
		{"the minimum is the run's, however it was recorded", nuage(t), []api.Usage{
			ran("web", small, "r", "11-02 10:00:20", 20*second), ran("web", small, "r", "11-02 10:00:00", 20*second)}, `
p|instances|iaas|web|id-web|instance-hours:small||0.016666666667|Hours|0.02|0.000333|0.016666666667 Hours x $0.02, rounded half to even; 20 s of it tops up 1 run to the minimum of 60 s
total 0.000333`},
		{"a run that began last month is cut at its end and not topped up", nuage(t), []api.Usage{
			ran("web", small, "r", "10-31 23:59:50", 20*second)}, `
p|instances|iaas|web|id-web|instance-hours:small||0.002777777778|Hours|0.02|0.000056|0.002777777778 Hours x $0.02, rounded half to even
total 0.000056`},
		{"a run into the next month is cut, its top-up belongs to its start", nuage(t), []api.Usage{
			ran("web", small, "r", "11-30 23:59:50", 20*second)}, `
p|instances|iaas|web|id-web|instance-hours:small||0.013888888889|Hours|0.02|0.000278|0.013888888889 Hours x $0.02, rounded half to even; 40 s of it tops up 1 run to the minimum of 60 s
total 0.000278`},
		{"calls belong to their start; other periods have no line", nuage(t), []api.Usage{
			used("f", "function-requests", "", 1, "10-31 23:59:59", 2*second),
			used("f", "function-requests", "", 2, "11-30 23:59:59", 2*second),
			used("g", "function-requests", "", 9, "12-01 00:00:00", second)}, `
p|functions|faas|f|id-f|function-requests||2|Requests|0.0000002|0.000000|2 Requests x $0.0000002, rounded half to even
total 0.000000`},
		// 512 MB x 3,000,000 x 1 s at the list price is $25.00 and $0.60, before a free tier.
		{"3 M calls of 1 s at 512 MB on Lambda", lambdaBook(t), []api.Usage{
			used("f", "function-requests", "", 3e6, "11-02 00:00:00", 0),
			used("f", "function-gb-seconds", "", 512*1000*3e6, "11-02 00:00:00", 0)}, `
p|functions|faas|f|id-f|function-gb-seconds||1500000|GB-Seconds|0.0000166667|25.000050|1500000 GB-Seconds x $0.0000166667
p|functions|faas|f|id-f|function-requests||3000000|Requests|0.0000002|0.600000|3000000 Requests x $0.0000002
total 25.600050`},
		// 0.025 and 0.075 GB-s cost 0.5 and 1.5 millionths.
		{"half goes to even", nuage(t), []api.Usage{
			used("a", "function-gb-seconds", "", 25_600, "11-02 00:00:00", 0),
			used("b", "function-gb-seconds", "", 76_800, "11-02 00:00:00", 0)}, `
p|functions|faas|a|id-a|function-gb-seconds||0.025|GB-Seconds|0.00002|0.000000|0.025 GB-Seconds x $0.00002, rounded half to even
p|functions|faas|b|id-b|function-gb-seconds||0.075|GB-Seconds|0.00002|0.000002|0.075 GB-Seconds x $0.00002, rounded half to even
total 0.000002`},
	} {
		t.Run(c.name, func(t *testing.T) {
			bill, err := c.book.Bill(november(""), c.usage)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n")+"\n", render(bill)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBillGroups(t *testing.T) {
	other := ran("web", "instance-hours:nano", "r", "11-03 23:00:00", 2*time.Hour)
	other.Project, other.ResourceID = "q", "id-other"
	usage := []api.Usage{
		ran("web", "instance-hours:small", "r1", "11-02 10:00:00", time.Hour),
		ran("old", "instance-hours:small", "r1", "11-03 10:00:00", 30*time.Minute),
		ran("shop", "app-hours:micro", "r2", "11-03 22:00:00", 3*time.Hour),
		used("f", "function-requests", "", 5_000_000, "11-02 11:00:00", 0),
		used("f", "function-gb-seconds", "", 102_400_000, "11-02 11:00:00", 0),
		other,
	}
	for by, want := range map[string]string{
		ByService: `
p|apps|paas|shop|id-shop|app-hours:micro||3|Hours|0.015|0.045000|3 Hours x $0.015
p|functions|faas|f|id-f||||||1.002000|the sum of 2 charges, each rounded by itself
|instances|iaas||||||||0.040000|the sum of 3 charges, each rounded by itself
total 1.087000`,
		ByModel: `
|instances|iaas||||||||0.040000|the sum of 3 charges, each rounded by itself
p|apps|paas|shop|id-shop|app-hours:micro||3|Hours|0.015|0.045000|3 Hours x $0.015
p|functions|faas|f|id-f||||||1.002000|the sum of 2 charges, each rounded by itself
total 1.087000`,
		ByProject: `
p||||||||||1.077000|the sum of 5 charges, each rounded by itself
q|instances|iaas|web|id-other|instance-hours:nano||2|Hours|0.005|0.010000|2 Hours x $0.005
total 1.087000`,
		ByResource: `
p|apps|paas|shop|id-shop|app-hours:micro||3|Hours|0.015|0.045000|3 Hours x $0.015
p|functions|faas|f|id-f||||||1.002000|the sum of 2 charges, each rounded by itself
p|instances|iaas|old|id-old|instance-hours:small||0.5|Hours|0.02|0.010000|0.5 Hours x $0.02
p|instances|iaas|web|id-web|instance-hours:small||1|Hours|0.02|0.020000|1 Hours x $0.02
q|instances|iaas|web|id-other|instance-hours:nano||2|Hours|0.005|0.010000|2 Hours x $0.005
total 1.087000`,
		ByDay: `
p||||||2026-11-02||||1.022000|the sum of 3 charges, each rounded by itself
||||||2026-11-03||||0.045000|the sum of 3 charges, each rounded by itself
||||||2026-11-04||||0.020000|the sum of 2 charges, each rounded by itself
total 1.087000`,
	} {
		bill, err := nuage(t).Bill(november(by), usage)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimPrefix(want, "\n")+"\n", render(bill)); diff != "" {
			t.Errorf("by %s: %s", by, diff)
		}
	}
	q := november("")
	q.Project = "q"
	bill, err := nuage(t).Bill(q, usage)
	if err != nil || bill.Total != "0.010000" || len(bill.Lines) != 1 {
		t.Errorf("project q: %+v, %v", bill, err)
	}
}

// A day's cost is its share of the rounded charge of the whole period: 0.000333 for 60 s, half of them each day.
func TestBillByDayAddsUpToTheLine(t *testing.T) {
	bill, err := nuage(t).Bill(november(ByDay), []api.Usage{ran("web", "instance-hours:small", "r", "11-02 23:59:30", 60*time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	want := `p|instances|iaas|web|id-web|instance-hours:small|2026-11-02|0.008333333333|Hours|0.02|0.000167|0.008333333333 Hours x $0.02, its share of the charge for the period
p|instances|iaas|web|id-web|instance-hours:small|2026-11-03|0.008333333333|Hours|0.02|0.000166|0.008333333333 Hours x $0.02, its share of the charge for the period
total 0.000333
`
	if diff := cmp.Diff(want, render(bill)); diff != "" {
		t.Error(diff)
	}
}

func TestBillHead(t *testing.T) {
	bill, err := nuage(t).Bill(november(""), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := api.Bill{Currency: "USD", Book: "nuage", PeriodStart: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		PeriodEnd: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Total: "0.000000", Lines: []api.BillLine{}}
	if diff := cmp.Diff(want, bill); diff != "" {
		t.Error(diff)
	}
}

// A live bill shows the minimum from the start, and it shrinks as the run goes on: the bill never falls.
func TestRatingGoesOnAfterABill(t *testing.T) {
	for _, by := range []string{ByNothing, ByDay} {
		r, err := nuage(t).Rate(november(by))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"0.000333", "0.000333", "0.000500"} {
			if err := r.Add(ran("web", "instance-hours:small", "r", fmt.Sprintf("11-02 10:0%d:00", i), 30*time.Second)); err != nil {
				t.Fatal(err)
			}
			if bill, err := r.Bill(); err != nil || bill.Total != want || bill.Lines[0].Cost != want {
				t.Errorf("by %q: after %d records the bill is %s, want %s (%v)", by, i+1, bill.Total, want, err)
			}
		}
	}
}

func TestBillRefuses(t *testing.T) {
	good := ran("web", "instance-hours:small", "r", "11-02 10:00:00", time.Hour)
	good.ID = "u-1"
	for _, c := range []struct {
		name   string
		change func(q *Query, u *api.Usage)
		want   string
	}{
		{"unknown meter", func(_ *Query, u *api.Usage) { u.Meter = "moon-hours" },
			`cannot rate usage "u-1" of "web": there is no meter "moon-hours"`},
		{"other service", func(_ *Query, u *api.Usage) { u.Service = "apps" },
			`cannot rate usage "u-1" of "web": its service is "apps", that of "instance-hours:small" is "instances"`},
		{"negative", func(_ *Query, u *api.Usage) { u.Quantity = -1 },
			`cannot rate usage "u-1" of "web": its quantity -1 is negative`},
		{"backwards", func(_ *Query, u *api.Usage) { u.End = u.Start.Add(-time.Second) },
			`cannot rate usage "u-1" of "web": it ends at 2026-11-02T09:59:59Z, before its start at 2026-11-02T10:00:00Z`},
		{"no run", func(_ *Query, u *api.Usage) { u.Run = "" },
			`cannot rate usage "u-1" of "web": "instance-hours:small" is metered per run and it names none`},
		{"by what", func(q *Query, _ *api.Usage) { q.By = "moon" },
			`cannot group a bill by "moon": use one of service, resource, model, project, day or tag:NAME`},
		{"period backwards", func(q *Query, _ *api.Usage) { q.From, q.To = q.To, q.From },
			`cannot make a bill from 2026-12-01T00:00:00Z to 2026-11-01T00:00:00Z: its end is before its start`},
	} {
		q, u := november(""), good
		c.change(&q, &u)
		if _, err := nuage(t).Bill(q, []api.Usage{u}); !errors.Is(err, api.Invalid) || err.Error() != c.want {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestQuantitiesDoNotOverflowSilently(t *testing.T) {
	half := used("f", "function-requests", "", math.MaxInt64/2+1, "11-02 10:00:00", 0)
	run := used("i", "instance-hours:small", "r", math.MaxInt64/2+1, "11-02 10:00:00", time.Hour)
	g := half
	g.ResourceID = "id-g"
	for name, c := range map[string]struct {
		by    string
		usage []api.Usage
	}{
		"a line": {"", []api.Usage{half, half}}, "a day": {ByDay, []api.Usage{half, half}},
		"a run": {"", []api.Usage{run, run}}, "a group": {ByService, []api.Usage{half, g}},
	} {
		if _, err := nuage(t).Bill(november(c.by), c.usage); !errors.Is(err, api.Exhausted) {
			t.Errorf("%s: %v, want Exhausted", name, err)
		}
	}
	bill, err := nuage(t).Bill(november(""), []api.Usage{half, g})
	if err != nil || bill.Total != "1844674407370.955162" {
		t.Errorf("what fits is exact: %s, %v", bill.Total, err)
	}
}

func TestWriteCSV(t *testing.T) {
	u := ran("web", "instance-hours:small", "r", "11-02 10:00:00", 30*time.Second)
	bill, err := nuage(t).Bill(november(""), []api.Usage{u, used("f", "function-requests", "", 5, "11-02 00:00:00", 0)})
	if err != nil {
		t.Fatal(err)
	}
	bill.Lines[0].Note = `5 "Requests", free`
	var out strings.Builder
	if err := WriteCSV(&out, bill); err != nil {
		t.Fatal(err)
	}
	want := "project,service,model,resource,resourceId,meter,quantity,unit,unitPrice,cost,note,day,adjusts,tags\r\n" +
		`p,functions,faas,f,id-f,function-requests,5,Requests,0.0000002,0.000001,"5 ""Requests"", free",,,` + "\r\n" +
		`p,instances,iaas,web,id-web,instance-hours:small,0.016666666667,Hours,0.02,0.000333,"0.016666666667 Hours x $0.02, rounded half to even; 30 s of it tops up 1 run to the minimum of 60 s",,,` + "\r\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if err := WriteCSV(full{}, bill); err == nil {
		t.Error("a write error is swallowed")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// Money never meets a binary fraction, and the package does no I/O.
func TestPurity(t *testing.T) {
	allowed := regexp.MustCompile(`^"(bytes|embed|encoding/(csv|json)|fmt|io|maps|math|math/(big|bits)|regexp|slices|sort|strconv|strings|sync|time|nuage/api|github.com/govalues/decimal)"$`)
	inexact := regexp.MustCompile(`(?i)float|big\.NewFloat|\.Hours\(\)|\.Minutes\(\)|\.Seconds\(\)|time\.(Now|Since|Until)`)
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 8 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if !allowed.MatchString(i.Path.Value) {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
		for n, l := range strings.Split(string(text), "\n") {
			code, _, _ := strings.Cut(l, "//")
			if inexact.MatchString(code) {
				t.Errorf("%s:%d: %s", name, n+1, l)
			}
		}
	}
}
