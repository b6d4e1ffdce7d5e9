package billing

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"

	"nuage/api"
)

// CheckFocus reads a CSV and says what in it breaks a rule of FOCUS 1.2: columns that are missing, unknown or twice; fields of a wrong type, outside the
// values allowed, or null where they may not be; periods that end before they begin; costs that are not price times quantity. At most
// 100 findings. Invalid: no CSV.
func CheckFocus(r io.Reader) ([]string, error) {
	in := csv.NewReader(r)
	header, err := in.Read()
	if err != nil {
		return nil, api.Errorf(api.Invalid, "cannot read the CSV: %w", err)
	}
	c := focusCheck{rules: map[string]focusColumn{}, decimal: regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]+)?$`)}
	for _, column := range focusColumns() {
		c.rules[column.name] = column
	}
	for name := range strings.FieldsSeq(focusOptional) {
		c.rules[name] = focusColumn{name: name, kind: focusText, null: true}
	}
	c.header(header)
	for line := 2; len(c.found) < 100; line++ {
		fields, err := in.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return c.found, api.Errorf(api.Invalid, "cannot read the CSV: %w", err)
		}
		row := make(map[string]string, len(header))
		for i, name := range header {
			row[name] = fields[i]
		}
		c.line = line
		c.row(row)
	}
	return c.found, nil
}

// focusOptional are the columns of FOCUS 1.2 that we don't write and others may.
const focusOptional = `CapacityReservationId CapacityReservationStatus CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName
CommitmentDiscountQuantity CommitmentDiscountStatus CommitmentDiscountType CommitmentDiscountUnit PricingCurrency
PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice`

type focusCheck struct {
	rules   map[string]focusColumn
	decimal *regexp.Regexp
	line    int
	found   []string
}

func (c *focusCheck) say(format string, args ...any) {
	where := "header"
	if c.line > 0 {
		where = fmt.Sprint("line ", c.line)
	}
	c.found = append(c.found, where+": "+fmt.Sprintf(format, args...))
}

func (c *focusCheck) header(header []string) {
	for i, name := range header {
		_, known := c.rules[name]
		switch {
		case slices.Contains(header[:i], name):
			c.say("%s is there twice", name)
		case !known && !strings.HasPrefix(name, "x_"):
			c.say("%s is no column of FOCUS %s; names of own columns begin with x_", name, FocusVersion)
		}
	}
	for _, column := range focusColumns() {
		if column.mandatory && !slices.Contains(header, column.name) {
			c.say("%s is missing", column.name)
		}
	}
}

func (c *focusCheck) row(row map[string]string) {
	for _, column := range focusColumns() {
		value, there := row[column.name]
		switch {
		case !there:
		case value != "":
			c.field(column, value)
		case !column.null:
			c.say("%s is null", column.name)
		}
	}
	c.period(row, "BillingPeriodStart", "BillingPeriodEnd")
	c.period(row, "ChargePeriodStart", "ChargePeriodEnd")
	c.product(row, "ListUnitPrice", "ListCost")
	c.product(row, "ContractedUnitPrice", "ContractedCost")
	c.together(row, "PricingQuantity", "PricingUnit")
	c.together(row, "ConsumedQuantity", "ConsumedUnit")
	c.together(row, "SubAccountId", "SubAccountType")
	c.together(row, "ResourceId", "ResourceType")
	c.together(row, "RegionId", "RegionName")
	if row["ChargeCategory"] == "Purchase" && row["ChargeFrequency"] == "Usage-Based" {
		c.say("ChargeFrequency of a purchase is Usage-Based")
	}
	if row["ChargeCategory"] == "Usage" && row["ChargeClass"] == "" && row["PricingQuantity"] == "" {
		c.say("PricingQuantity of usage is null")
	}
	if row["ChargeCategory"] == "Tax" && row["PricingCategory"]+row["PricingQuantity"] != "" {
		c.say("a tax has a PricingCategory or PricingQuantity")
	}
}

// field checks a value that is not null.
func (c *focusCheck) field(column focusColumn, value string) {
	ok := true
	switch column.kind {
	case focusText:
		ok = strings.TrimSpace(value) == value
	case focusDecimal:
		ok = c.decimal.MatchString(value)
	case focusDate:
		_, err := time.Parse("2006-01-02T15:04:05Z", value)
		ok = err == nil
	case focusJSON:
		var pairs map[string]any
		ok = json.Unmarshal([]byte(value), &pairs) == nil
	default:
		ok = slices.Contains(strings.Split(column.kind, "|"), value)
	}
	if !ok {
		c.say("%s is %q, not of %s", column.name, value, column.kind)
	}
}

func (c *focusCheck) period(row map[string]string, start, end string) {
	if row[start] != "" && row[end] != "" && row[start] >= row[end] {
		c.say("%s %s is not before %s %s", start, row[start], end, row[end])
	}
}

// product checks that a cost is price times quantity to the last of its decimals.
func (c *focusCheck) product(row map[string]string, each, cost string) {
	if row["ChargeClass"] == "Correction" || row[each] == "" || row["PricingQuantity"] == "" {
		return
	}
	p, ok1 := new(big.Rat).SetString(row[each])
	q, ok2 := new(big.Rat).SetString(row["PricingQuantity"])
	amount, ok3 := new(big.Rat).SetString(row[cost])
	if !ok1 || !ok2 || !ok3 {
		return // said already
	}
	_, decimals, _ := strings.Cut(row[cost], ".")
	off := p.Mul(p, q).Sub(p, amount)
	last := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(len(decimals))), nil))
	if off.Abs(off).Cmp(last) >= 0 {
		c.say("%s is %s, not %s x %s", cost, row[cost], row[each], row["PricingQuantity"])
	}
}

// together checks that the second column is null exactly where the first is.
func (c *focusCheck) together(row map[string]string, a, b string) {
	va, thereA := row[a]
	vb, thereB := row[b]
	if thereA && thereB && (va == "") != (vb == "") {
		c.say("%s is %q and %s is %q: both or none are null", a, va, b, vb)
	}
}
