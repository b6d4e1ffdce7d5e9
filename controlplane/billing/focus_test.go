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

func focusOf(t testing.TB, bills ...api.Bill) string {
	t.Helper()
	var out strings.Builder
	if err := WriteFocus(&out, FocusAccount{"cloud-1", "nuage"}, bills); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestFocus(t *testing.T) {
	bill, err := nuage(t).Bill(november(""), []api.Usage{ran("web", SpotHours("small"), "r", "11-02 10:00:00", 30*time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	const want = "AvailabilityZone,BilledCost,BillingAccountId,BillingAccountName,BillingAccountType,BillingCurrency,BillingPeriodEnd,BillingPeriodStart,ChargeCategory,ChargeClass,ChargeDescription,ChargeFrequency,ChargePeriodEnd,ChargePeriodStart,ConsumedQuantity,ConsumedUnit,ContractedCost,ContractedUnitPrice,EffectiveCost,InvoiceId,InvoiceIssuerName,ListCost,ListUnitPrice,PricingCategory,PricingQuantity,PricingUnit,ProviderName,PublisherName,RegionId,RegionName,ResourceId,ResourceName,ResourceType,ServiceCategory,ServiceName,ServiceSubcategory,SkuId,SkuMeter,SkuPriceDetails,SkuPriceId,SubAccountId,SubAccountName,SubAccountType,Tags,x_Adjusts,x_Model,x_PriceBook\r\n" +
		`,0.003000,cloud-1,nuage,Cloud,USD,2026-12-01T00:00:00Z,2026-11-01T00:00:00Z,Usage,,0.5 Hours x $0.006,Usage-Based,2026-12-01T00:00:00Z,2026-11-01T00:00:00Z,0.5,Hours,0.003000,0.006,0.003000,,nuage,0.003000,0.006,Dynamic,0.5,Hours,nuage,nuage,local,This computer,id-web,web,instances,Compute,instances,Virtual Machines,nuage/spot-hours:small,spot-hours:small,"{""x_Meter"":""spot-hours:small"",""x_Model"":""iaas""}",nuage/spot-hours:small/0.006,p,p,Project,,,iaas,nuage` + "\r\n"
	if diff := cmp.Diff(want, focusOf(t, bill)); diff != "" {
		t.Error(diff)
	}
	bill.PeriodEnd = bill.PeriodEnd.Add(time.Second)
	if err := WriteFocus(&strings.Builder{}, FocusAccount{}, []api.Bill{bill}); !errors.Is(err, api.Invalid) {
		t.Errorf("two months: %v", err)
	}
	grouped, err := nuage(t).Bill(november(ByModel), []api.Usage{ran("a", SpotHours("small"), "r", "11-02 10:00:00", time.Hour), ran("b", SpotHours("nano"), "r", "11-02 10:00:00", time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteFocus(&strings.Builder{}, FocusAccount{}, []api.Bill{grouped}); !errors.Is(err, api.Invalid) {
		t.Errorf("a grouped bill: %v", err)
	}
	if err := WriteFocus(full{}, FocusAccount{}, []api.Bill{}); err == nil {
		t.Error("a write error is swallowed")
	}
}

// Whatever was used, under whatever book, the export breaks no rule, and its costs add up to the bill.
func TestFocusFollowsItsRules(t *testing.T) {
	books := load(t).Books()
	rapid.Check(t, func(rt *rapid.T) {
		b := rapid.SampledFrom(books).Draw(rt, "book")
		bill := rated(rt, b, november(""), pieces(rt, drawTruths(rt)))
		found, err := CheckFocus(strings.NewReader(focusOf(t, bill)))
		if err != nil || len(found) > 0 {
			rt.Fatalf("%v %v", found, err)
		}
	})
}

func TestCheckFocusFindsFaults(t *testing.T) {
	bill, err := nuage(t).Bill(november(""), []api.Usage{ran("web", InstanceHours("small"), "r", "11-02 10:00:00", 30*time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	good := focusOf(t, bill)
	for _, c := range []struct{ old, new, want string }{
		{"ChargeCategory,", "Category,", "header: Category is no column of FOCUS 1.2; names of own columns begin with x_\nheader: ChargeCategory is missing"},
		{"x_Model", "x_PriceBook", "header: x_PriceBook is there twice"},
		{"Usage,,", "usage,,", `line 2: ChargeCategory is "usage", not of Usage|Purchase|Tax|Credit|Adjustment`},
		{"Usage,,", ",,", "line 2: ChargeCategory is null"},
		{",0.010000,cloud-1", ",1e-2,cloud-1", `line 2: BilledCost is "1e-2", not of decimal`},
		{"0.010000,0.02,Standard", "0.010001,0.02,Standard", "line 2: ListCost is 0.010001, not 0.02 x 0.5"},
		{"2026-11-01T00:00:00Z,Usage", "2026-12-01T00:00:00Z,Usage", "line 2: BillingPeriodStart 2026-12-01T00:00:00Z is not before BillingPeriodEnd 2026-12-01T00:00:00Z"},
		{"2026-11-01T00:00:00Z,Usage", "2026-11-01,Usage", `line 2: BillingPeriodStart is "2026-11-01", not of time`},
		{"Standard,0.5,Hours", "Standard,0.5,", `line 2: PricingQuantity is "0.5" and PricingUnit is "": both or none are null`},
		{"Usage,,", "Purchase,,", "line 2: ChargeFrequency of a purchase is Usage-Based"},
		{`"{""x_Meter""`, `"[""x_Meter""`, "line 2: SkuPriceDetails is"},
		{"Compute,", "Computers,", `line 2: ServiceCategory is "Computers"`},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("no %q in %s", c.old, good)
		}
		found, err := CheckFocus(strings.NewReader(strings.Replace(good, c.old, c.new, 1)))
		if got := strings.Join(found, "\n"); err != nil || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: found %s, %v\nwant %s", c.new, got, err, c.want)
		}
	}
	if _, err := CheckFocus(strings.NewReader("")); !errors.Is(err, api.Invalid) {
		t.Errorf("nothing: %v", err)
	}
}
