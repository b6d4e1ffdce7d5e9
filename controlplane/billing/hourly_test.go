package billing

import (
	"testing"
	"time"

	"nuage/api"
)

func TestHourly(t *testing.T) {
	library, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	book, err := library.Book("")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what  string
		rates []Rate
		want  string
	}{
		{"nothing", nil, "0.000000000000"},
		{"a machine and its address", []Rate{{Meter: InstanceHours("micro")}, {Meter: PublicAddressHours}}, "0.015000000000"},
		{"1 GiB of volume", []Rate{{Meter: VolumeStorage, Bytes: 1 << 30}}, "0.000109589041"},
	} {
		got, err := book.Hourly(c.rates)
		if err != nil || got != c.want {
			t.Errorf("%s costs %s, %v; want %s", c.what, got, err, c.want)
		}
	}
	if _, err := book.Hourly([]Rate{{Meter: "cheese"}}); api.CodeOf(err) != api.NotFound {
		t.Errorf("an unknown meter: %v", err)
	}
}

func TestMeanCallAndCrossing(t *testing.T) {
	library, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	book, err := library.Book("")
	if err != nil {
		t.Fatal(err)
	}
	call := func(ms int64) api.Receipt {
		return api.Receipt{StartedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), BilledMs: ms, MemoryMB: 1024, Status: "ok"}
	}
	each, err := book.MeanCall([]api.Receipt{call(100), call(300)})
	if err != nil || each != "0.000004200000" {
		t.Errorf("the mean call costs %s, %v", each, err)
	}
	if none, err := book.MeanCall(nil); none != "" || err != nil {
		t.Errorf("the mean of no calls is %q, %v", none, err)
	}
	if got := Times(each, 1000); got != "0.004200000000" {
		t.Errorf("1000 calls cost %s", got)
	}
	machine := api.SubjectCost{Subject: "vm", PerHour: "0.015", PerRequest: "0"}
	function := api.SubjectCost{Subject: "f", PerHour: "0", PerRequest: each}
	if n, ok := Crossing(function, machine); n != 3571 || !ok {
		t.Errorf("the function is dearer from %d, %v", n, ok)
	}
	for what, pair := range map[string][2]api.SubjectCost{
		"a machine is never dearer later": {machine, function},
		"the same":                        {machine, machine},
		"unknown":                         {{Subject: "g", PerHour: "0"}, machine},
	} {
		if n, ok := Crossing(pair[0], pair[1]); ok {
			t.Errorf("%s: from %d", what, n)
		}
	}
}
