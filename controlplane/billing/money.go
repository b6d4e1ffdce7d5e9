package billing

import (
	"math/big"
	"strings"

	"nuage/api"

	"github.com/govalues/decimal"
)

// Decimals that amounts are rounded to.
const (
	costDecimals     = 6  // a bill line's cost
	callDecimals     = 12 // a single call's cost
	quantityDecimals = 12 // a quantity as it is shown; money is computed from the exact one
	gbsDecimals      = 13 // enough for every GB-s: 1/1,024,000 ends after 13
)

// fraction is an exact amount. It is not negative but where it is a quantity to be shown.
type fraction struct{ num, den *big.Int }

// quotient is a/b.
func quotient(a, b int64) fraction { return fraction{big.NewInt(a), big.NewInt(b)} }

// times multiplies by a decimal.
func (f fraction) times(d decimal.Decimal) fraction {
	num := new(big.Int).SetUint64(d.Coef())
	return fraction{num.Mul(num, f.num), new(big.Int).Mul(f.den, pow10(d.Scale()))}
}

// plus is the sum.
func (f fraction) plus(g fraction) fraction {
	a, b := new(big.Int).Mul(f.num, g.den), new(big.Int).Mul(g.num, f.den)
	return fraction{a.Add(a, b), new(big.Int).Mul(f.den, g.den)}
}

// round returns f in units of 10^-scale, half to even, and whether that is all of f.
func (f fraction) round(scale int) (*big.Int, bool) {
	rest := new(big.Int).Mul(f.num, pow10(scale))
	whole, rest := new(big.Int).QuoRem(rest, f.den, rest)
	exact := rest.Sign() == 0
	half := rest.Lsh(rest, 1).Cmp(f.den)
	if half > 0 || half == 0 && whole.Bit(0) == 1 {
		whole.Add(whole, big.NewInt(1))
	}
	return whole, exact
}

// text is f with at most scale decimals and no zeros at the end, rounded half to even.
func (f fraction) text(scale int) string {
	if f.num.Sign() < 0 { // an adjustment
		opposite := fraction{new(big.Int).Neg(f.num), f.den}.text(scale)
		if opposite == "0" {
			return opposite
		}
		return "-" + opposite
	}
	v, _ := f.round(scale)
	return trim(format(v, scale))
}

// pow10 is 10^n for n up to 18, which all scales are: those of prices end at 12.
func pow10(n int) *big.Int {
	power := int64(1)
	for range n {
		power *= 10
	}
	return big.NewInt(power)
}

// format writes v x 10^-scale with exactly scale decimals.
func format(v *big.Int, scale int) string {
	digits := new(big.Int).Abs(v).String()
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	if scale > 0 {
		point := len(digits) - scale
		digits = digits[:point] + "." + digits[point:]
	}
	if v.Sign() < 0 {
		return "-" + digits
	}
	return digits
}

// trim takes the zeros off the end of a decimal's fraction.
func trim(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// parsePrice reads a price as books write it: digits, at most six of them before the point and twelve after it.
func parsePrice(s string) (decimal.Decimal, error) {
	whole, frac, point := strings.Cut(s, ".")
	if !digits(whole, 6) || len(whole) > 1 && whole[0] == '0' || point && !digits(frac, 12) {
		return decimal.Decimal{}, api.Errorf(api.Invalid, `cannot read %q as a price: write it as "0.02", at most 6 digits before the point and 12 after`, s)
	}
	d, err := decimal.Parse(s)
	if err != nil {
		return decimal.Decimal{}, api.Errorf(api.Invalid, "cannot read %q as a price: %w", s, err)
	}
	return d, nil
}

func digits(s string, most int) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= most
}
