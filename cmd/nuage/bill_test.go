package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
)

func billed() api.Bill {
	return api.Bill{Currency: "USD", Book: "nuage", Total: "0.010002", PeriodStart: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), PeriodEnd: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC),
		Lines: []api.BillLine{
			{Project: "default", Service: "instances", Model: "iaas", Resource: "vm", ResourceID: "i-1", Meter: "instance-seconds:small", Quantity: "3600", Unit: "s", UnitPrice: "0.00000277777778", Cost: "0.010000"},
			{Project: "default", Service: "functions", Model: "faas", Resource: "hello", ResourceID: "fn-1", Meter: "function-requests", Quantity: "10", Unit: "request", UnitPrice: "0.0000002", Cost: "0.000002", Note: "a, b"},
		}}
}

func TestBill(t *testing.T) {
	w := newWorld(t, "")
	w.ledger.bill = billed()
	w.check(t, `PROJECT   SERVICE     MODEL   RESOURCE   METER                    QUANTITY   UNIT      UNIT PRICE          COST        NOTE
default   instances   iaas    vm         instance-seconds:small   3600       s         $0.00000277777778   $0.010000
default   functions   faas    hello      function-requests        10         request   $0.0000002          $0.000002   a, b
TOTAL                                                                                                      $0.010002
2026-01-01 00:00:00 to 2026-02-01 00:00:00, prices of book nuage
`, "bill")
	w.check(t, `day,project,service,model,resource,resourceId,meter,quantity,unit,unitPrice,cost,adjusts,note,tags
,default,instances,iaas,vm,i-1,instance-seconds:small,3600,s,0.00000277777778,0.010000,,,
,default,functions,faas,hello,fn-1,function-requests,10,request,0.0000002,0.000002,,"a, b",
`, "bill", "-o", "csv")
}

func TestBillLeavesEmptyColumnsOut(t *testing.T) {
	w := newWorld(t, "")
	w.ledger.bill = billed()
	w.ledger.bill.Lines = []api.BillLine{{Model: "iaas", Cost: "0.01"}, {Model: "faas", Cost: "0.000002"}}
	w.check(t, `MODEL   COST
iaas    $0.010000
faas    $0.000002
TOTAL   $0.010002
2026-01-01 00:00:00 to 2026-02-01 00:00:00, prices of book nuage
`, "bill", "--by", "model", "-p", "shop", "--from", "2026-01", "--to", "2026-01-15")
	want := api.BillQuery{Project: "shop", By: "model", Book: "nuage", From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)}
	if d := cmp.Diff(want, w.ledger.query); d != "" {
		t.Error(d)
	}
	w.ledger.bill.Lines, w.ledger.bill.Total = nil, "0"
	w.check(t, "COST\n$0.000000\n2026-01-01 00:00:00 to 2026-02-01 00:00:00, prices of book nuage\n", "bill")
}

func TestPricesAreExact(t *testing.T) {
	w := newWorld(t, "")
	w.check(t, `SERVICE     MODEL   METER                      UNIT PRICE      PER         MINIMUM   FREE
functions   faas    function-mb-ms             $0.0000166667   GB-second             400000 GB-seconds a month
                    above 6000000000 a month   $0.000015       GB-second
book nuage, version 1 of 2026-01-01, in USD; source: made up
`, "prices")
}

func TestComparison(t *testing.T) {
	w := newWorld(t, "")
	w.compared.comparison = api.Comparison{
		Subjects: []api.Subject{{Name: "vm", Noun: "instance", Model: "iaas"}, {Name: "shop", Noun: "app", Model: "paas"}},
		Layers: []api.ComparisonLayer{
			{Layer: api.LayerRuntime, Cells: []api.ComparisonCell{{Subject: "vm", Recorded: "customer", Published: "customer", Customer: 3}, {Subject: "shop", Recorded: "shared", Published: "platform", Customer: 1, Platform: 2, Differs: true, Why: "the customer did some of it: app run"}}},
			{Layer: api.LayerPhysical, Cells: []api.ComparisonCell{{Subject: "vm", Recorded: "none", Published: "platform"}, {Subject: "shop", Recorded: "none", Published: "platform"}}},
		},
		Measures:  []api.Measure{{Name: "recovery after kill", Unit: "s", Values: map[string]string{"shop": "1.204"}}, {Name: "cost", Unit: "USD", Values: map[string]string{"vm": "0.1", "shop": "0"}}},
		BreakEven: []api.BreakEven{{Dearer: "vm", Cheaper: "shop", RequestsPerHour: 3571}},
	}
	w.check(t, `LAYER      vm (iaas)      shop (paas)
runtime    customer 3/0   shared 1/2 *platform
physical   - (platform)   - (platform)

customer, shared or platform did the work as recorded, with their activities as customer/platform;
* the published matrix says otherwise; - nothing is recorded, only published

LAYER     OF     WHY PRACTICE DIFFERS
runtime   shop   the customer did some of it: app run

MEASURE               UNIT   vm          shop
recovery after kill   s      -           1.204
cost                  USD    $0.100000   $0.000000

DEARER   THAN   ABOVE REQUESTS AN HOUR
vm       shop   3571
`, "compare")
	w.compared.comparison = api.Comparison{}
	w.check(t, "nothing to compare: the project has no instance, app or function\n", "compare")
}
