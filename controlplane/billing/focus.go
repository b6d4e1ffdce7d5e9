package billing

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strings"
	"time"

	"nuage/api"
)

// FocusVersion is the version of the FinOps Open Cost and Usage Specification that WriteFocus follows and CheckFocus checks.
const FocusVersion = "1.2"

// FocusAccount is who is billed.
type FocusAccount struct{ ID, Name string }

// WriteFocus writes bills as one CSV of FOCUS 1.2, a row for each line. Each bill lies within one calendar month and is grouped by
// nothing. Null is an empty field. Invalid: another bill. Other errors are w's.
func WriteFocus(w io.Writer, account FocusAccount, bills []api.Bill) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	header := make([]string, 0, len(focusColumns()))
	for _, c := range focusColumns() {
		header = append(header, c.name)
	}
	if err := out.Write(header); err != nil {
		return err
	}
	var err error
	for _, bill := range bills {
		start, end := Month(bill.PeriodStart)
		if bill.PeriodEnd.After(end) {
			return api.Errorf(api.Invalid, "cannot write the bill from %s to %s as FOCUS: it is of more than one month", focusTime(bill.PeriodStart), focusTime(bill.PeriodEnd))
		}
		for _, l := range bill.Lines {
			if l.Meter == "" || l.UnitPrice == "" {
				return api.Errorf(api.Invalid, "cannot write a grouped bill as FOCUS: leave out --by")
			}
			row := focusRow{account: account, bill: bill, line: l, start: start, end: end, from: bill.PeriodStart, to: bill.PeriodEnd}
			if l.Adjusts != "" {
				if row.from, row.to, err = ParsePeriod(l.Adjusts); err != nil {
					return err
				}
			}
			record := make([]string, 0, len(header))
			for _, c := range focusColumns() {
				record = append(record, c.value(row))
			}
			if err = out.Write(record); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

// focusRow is what a row is made from.
type focusRow struct {
	account    FocusAccount
	bill       api.Bill
	line       api.BillLine
	start, end time.Time // of the billing period
	from, to   time.Time // of the charge
}

func focusTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// focusColumn is a column with its rules: its kind (text, id, decimal, time, json, or the values allowed, divided by |), and whether it
// is mandatory and may be null.
type focusColumn struct {
	name      string
	kind      string
	mandatory bool
	null      bool
	value     func(focusRow) string
}

const (
	focusText    = "text"
	focusDecimal = "decimal"
	focusDate    = "time"
	focusJSON    = "json"
)

// focusColumns are the columns that are written, in the order of their names.
func focusColumns() []focusColumn {
	is := func(s string) func(focusRow) string { return func(focusRow) string { return s } }
	cost := func(r focusRow) string { return r.line.Cost }
	each := func(r focusRow) string { return r.line.UnitPrice }
	quantity := func(r focusRow) string { return r.line.Quantity }
	unit := func(r focusRow) string { return r.line.Unit }
	return []focusColumn{
		{"AvailabilityZone", focusText, false, true, is("")},
		{"BilledCost", focusDecimal, true, false, cost},
		{"BillingAccountId", focusText, true, false, func(r focusRow) string { return r.account.ID }},
		{"BillingAccountName", focusText, true, true, func(r focusRow) string { return r.account.Name }},
		{"BillingAccountType", focusText, false, false, is("Cloud")},
		{"BillingCurrency", "USD", true, false, func(r focusRow) string { return r.bill.Currency }},
		{"BillingPeriodEnd", focusDate, true, false, func(r focusRow) string { return focusTime(r.end) }},
		{"BillingPeriodStart", focusDate, true, false, func(r focusRow) string { return focusTime(r.start) }},
		{"ChargeCategory", "Usage|Purchase|Tax|Credit|Adjustment", true, false, is("Usage")},
		{"ChargeClass", "Correction", true, true, func(r focusRow) string {
			if r.line.Adjusts != "" { // of a period that was invoiced before
				return "Correction"
			}
			return ""
		}},
		{"ChargeDescription", focusText, true, true, func(r focusRow) string { return r.line.Note }},
		{"ChargeFrequency", "One-Time|Recurring|Usage-Based", false, false, is("Usage-Based")},
		{"ChargePeriodEnd", focusDate, true, false, func(r focusRow) string { return focusTime(r.to) }},
		{"ChargePeriodStart", focusDate, true, false, func(r focusRow) string { return focusTime(r.from) }},
		{"ConsumedQuantity", focusDecimal, false, true, quantity},
		{"ConsumedUnit", focusText, false, true, unit},
		{"ContractedCost", focusDecimal, true, false, cost},
		{"ContractedUnitPrice", focusDecimal, false, true, each},
		{"EffectiveCost", focusDecimal, true, false, cost},
		{"InvoiceId", focusText, false, true, func(r focusRow) string { return r.bill.Invoice }},
		{"InvoiceIssuerName", focusText, true, false, is("nuage")},
		{"ListCost", focusDecimal, true, false, cost},
		{"ListUnitPrice", focusDecimal, false, true, each},
		{"PricingCategory", "Standard|Dynamic|Committed|Other", false, true, focusPricing},
		{"PricingQuantity", focusDecimal, true, true, quantity},
		{"PricingUnit", focusText, true, true, unit},
		{"ProviderName", focusText, true, false, is("nuage")},
		{"PublisherName", focusText, true, false, is("nuage")},
		{"RegionId", focusText, false, true, is("local")},
		{"RegionName", focusText, false, true, is("This computer")},
		{"ResourceId", focusText, false, true, func(r focusRow) string { return r.line.ResourceID }},
		{"ResourceName", focusText, false, true, func(r focusRow) string { return r.line.Resource }},
		{"ResourceType", focusText, false, true, func(r focusRow) string { return r.line.Service }},
		{"ServiceCategory", focusCategories, true, false, func(r focusRow) string { return focusService(r.line.Service).category }},
		{"ServiceName", focusText, true, false, func(r focusRow) string { return r.line.Service }},
		{"ServiceSubcategory", focusText, false, false, func(r focusRow) string { return focusService(r.line.Service).sub }},
		{"SkuId", focusText, false, true, func(r focusRow) string { return r.bill.Book + "/" + r.line.Meter }},
		{"SkuMeter", focusText, false, true, func(r focusRow) string { return r.line.Meter }},
		{"SkuPriceDetails", focusJSON, false, true, focusDetails},
		{"SkuPriceId", focusText, false, true, func(r focusRow) string { return r.bill.Book + "/" + r.line.Meter + "/" + r.line.UnitPrice }},
		{"SubAccountId", focusText, false, true, func(r focusRow) string { return r.line.Project }},
		{"SubAccountName", focusText, false, true, func(r focusRow) string { return r.line.Project }},
		{"SubAccountType", focusText, false, true, is("Project")},
		{"Tags", focusJSON, false, true, focusTags},
		{"x_Adjusts", focusText, false, true, func(r focusRow) string { return r.line.Adjusts }},
		{"x_Model", focusText, false, true, func(r focusRow) string { return r.line.Model }},
		{"x_PriceBook", focusText, false, true, func(r focusRow) string { return r.bill.Book }},
	}
}

// focusPricing tells spot instances, whose price may change, from the rest.
func focusPricing(r focusRow) string {
	if strings.HasPrefix(r.line.Meter, "spot-") {
		return "Dynamic"
	}
	return "Standard"
}

// focusTags are the tags of the resource as key-values; null where it has none.
func focusTags(r focusRow) string {
	if len(r.line.Tags) == 0 {
		return ""
	}
	raw, err := json.Marshal(r.line.Tags)
	if err != nil { // a map of texts always encodes
		return ""
	}
	return string(raw)
}

// focusDetails are properties of the price; own keys begin with x_.
func focusDetails(r focusRow) string {
	raw, err := json.Marshal(map[string]string{"x_Meter": r.line.Meter, "x_Model": r.line.Model})
	if err != nil { // a map of texts always encodes
		return ""
	}
	return string(raw)
}

// focusCategories are the values that ServiceCategory may have.
const focusCategories = "AI and Machine Learning|Analytics|Business Applications|Compute|Databases|Developer Tools|Multicloud|Identity|Integration|Internet of Things|" +
	"Management and Governance|Media|Migration|Mobile|Networking|Security|Storage|Web|Other"

type focusCategory struct{ category, sub string }

// focusService says what kind of service one of ours is.
func focusService(service string) focusCategory {
	switch service {
	case "instances":
		return focusCategory{"Compute", "Virtual Machines"}
	case "apps":
		return focusCategory{"Compute", "Containers"}
	case "functions":
		return focusCategory{"Compute", "Serverless Compute"}
	case "databases":
		return focusCategory{"Databases", "Relational Databases"}
	case "volumes", "snapshots", "images":
		return focusCategory{"Storage", "Block Storage"}
	case "networks":
		return focusCategory{"Networking", "Network Infrastructure"}
	case "load-balancers":
		return focusCategory{"Networking", "Network Routing"}
	case "queues", "topics":
		return focusCategory{"Integration", "Messaging"}
	}
	return focusCategory{"Other", "Other (Other)"}
}
