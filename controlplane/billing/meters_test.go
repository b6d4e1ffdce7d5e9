package billing

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
)

func TestMetersAreWhatTheCloudSells(t *testing.T) {
	want := strings.TrimSpace(`
instance-hours:nano Hours ms instances iaas spread=true run=true
instance-hours:micro Hours ms instances iaas spread=true run=true
instance-hours:small Hours ms instances iaas spread=true run=true
instance-hours:medium Hours ms instances iaas spread=true run=true
instance-hours:large Hours ms instances iaas spread=true run=true
spot-hours:nano Hours ms instances iaas spread=true run=true
spot-hours:micro Hours ms instances iaas spread=true run=true
spot-hours:small Hours ms instances iaas spread=true run=true
spot-hours:medium Hours ms instances iaas spread=true run=true
spot-hours:large Hours ms instances iaas spread=true run=true
public-address-hours Hours ms networks iaas spread=true run=true
load-balancer-hours Hours ms load-balancers iaas spread=true run=false
load-balancer-bytes-out GB bytes load-balancers iaas spread=false run=false
volume-storage GB-Months MiB-ms volumes iaas spread=true run=false
snapshot-storage GB-Months MiB-ms snapshots iaas spread=true run=false
image-storage GB-Months MiB-ms images iaas spread=true run=false
app-hours:nano Hours ms apps paas spread=true run=true
app-hours:micro Hours ms apps paas spread=true run=true
app-hours:small Hours ms apps paas spread=true run=true
app-hours:medium Hours ms apps paas spread=true run=true
app-hours:large Hours ms apps paas spread=true run=true
build-minutes Minutes ms apps paas spread=true run=false
app-bytes-out GB bytes apps paas spread=false run=false
database-hours:nano Hours ms databases paas spread=true run=true
database-hours:micro Hours ms databases paas spread=true run=true
database-hours:small Hours ms databases paas spread=true run=true
database-hours:medium Hours ms databases paas spread=true run=true
database-hours:large Hours ms databases paas spread=true run=true
database-storage GB-Months MiB-ms databases paas spread=true run=false
backup-storage GB-Months MiB-ms databases paas spread=true run=false
function-requests Requests requests functions faas spread=false run=false
function-gb-seconds GB-Seconds MB-ms functions faas spread=false run=false
function-vcpu-seconds vCPU-Seconds milli-vCPU-ms functions faas spread=false run=false
function-bytes-out GB bytes functions faas spread=false run=false
function-async-requests Requests requests functions faas spread=false run=false
queue-requests Requests requests queues faas spread=false run=false
topic-requests Requests requests topics faas spread=false run=false`)
	var got []string
	for _, m := range Meters() {
		got = append(got, fmt.Sprintf("%s %s %s %s %s spread=%v run=%v", m.Name, m.Unit, m.Unit.Stored(), m.Service, m.Model, m.Spread, m.PerRun))
	}
	if diff := cmp.Diff(want, strings.Join(got, "\n")); diff != "" {
		t.Error(diff)
	}
}

// Every noun that is billed has its meters, for every size it comes in, and a price in every book.
func TestEveryBillableNounHasAPriceInEveryBook(t *testing.T) {
	sized := map[string]func(string) string{"instance": InstanceHours, "spot instance": SpotHours, "app": AppHours, "database": DatabaseHours}
	var names []string
	for _, name := range sized {
		for _, s := range api.Sizes() {
			names = append(names, name(s.Name))
		}
	}
	names = append(names, PublicAddressHours, LoadBalancerHours, VolumeStorage, SnapshotStorage, ImageStorage, DatabaseStorage, BackupStorage, BuildMinutes,
		FunctionRequests, FunctionGBSeconds, FunctionVCPUSeconds, QueueRequests, TopicRequests, AppBytesOut, FunctionBytesOut, BalancerBytesOut, AsyncRequests)
	for _, name := range names {
		if m, ok := MeterOf(name); !ok || m.Name != name {
			t.Errorf("no meter %q", name)
		}
	}
	if len(names) != len(Meters()) {
		t.Errorf("%d meters are declared, this test walks %d", len(Meters()), len(names))
	}
	for _, b := range load(t).Books() {
		if got := len(b.PriceBook().Prices); got != len(names) {
			t.Errorf("book %q prices %d meters of %d", b.Name(), got, len(names))
		}
	}
	if _, ok := MeterOf("instance-hours:huge"); ok {
		t.Error("there is a meter for a size that is not sold")
	}
}

func TestQuantities(t *testing.T) {
	at := func(ns int64) time.Time { return time.Unix(0, ns) }
	if got := Millis(at(900_000), at(3_100_000)); got != 3 {
		t.Errorf("Millis cuts both ends to the millisecond: got %d, want 3", got)
	}
	if got := Millis(at(5e6), at(1e6)); got != 0 {
		t.Errorf("Millis backwards is %d, want 0", got)
	}
	for _, c := range []struct {
		name string
		do   func() (int64, error)
		want int64
		code api.Code
	}{
		{"1 GiB for 1 s", func() (int64, error) { return MiBMillis(1<<30, at(0), at(1e9)) }, 1024_000, ""},
		{"a begun MiB counts whole", func() (int64, error) { return MiBMillis(1<<20+1, at(0), at(1e6)) }, 2, ""},
		{"most bytes", func() (int64, error) { return MiBMillis(math.MaxInt64, at(0), at(1e6)) }, 1 << 43, ""},
		{"too much", func() (int64, error) { return MiBMillis(math.MaxInt64, at(0), at(math.MaxInt64)) }, 0, api.Exhausted},
		{"negative size", func() (int64, error) { return MiBMillis(-1, at(0), at(1)) }, 0, api.Invalid},
		{"a call", func() (int64, error) { return MBMillis(128, 7) }, 896, ""},
		{"negative call", func() (int64, error) { return MBMillis(128, -7) }, 0, api.Invalid},
		{"endless call", func() (int64, error) { return MBMillis(2, math.MaxInt64) }, 0, api.Exhausted},
	} {
		got, err := c.do()
		if got != c.want || api.CodeOf(err) != c.code {
			t.Errorf("%s: got %d, %v", c.name, got, err)
		}
	}
}

func TestCallUsage(t *testing.T) {
	at := time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC)
	r := api.Receipt{RequestID: "req-1", Project: "p", Function: "hello", FunctionID: "fn-1", BilledAt: at, MemoryMB: 256, BilledMs: 10}
	got, err := CallUsage(r)
	if err != nil {
		t.Fatal(err)
	}
	want := []api.Usage{
		{ID: "req-1/requests", Project: "p", Service: "functions", Resource: "hello", ResourceID: "fn-1",
			Meter: "function-requests", Quantity: 1, Start: at, End: at},
		{ID: "req-1/gb-seconds", Project: "p", Service: "functions", Resource: "hello", ResourceID: "fn-1",
			Meter: "function-gb-seconds", Quantity: 2560, Start: at, End: at},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := CallUsage(api.Receipt{MemoryMB: -1}); !errors.Is(err, api.Invalid) {
		t.Errorf("negative memory: %v", err)
	}
}

func load(t testing.TB) *Library {
	t.Helper()
	lib, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return lib
}

// nuage is the book nuage with nothing free.
func nuage(t testing.TB) *Book {
	t.Helper()
	b, err := Parse([]byte(bookText(t)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
