package labs

import (
	"context"
	"math/big"
	"strings"

	"nuage/api"
)

// Right computes what a question asks for. Conflict: nothing of it is there yet.
func (e Examiner) Right(ctx context.Context, a Answer) (*big.Rat, error) {
	look := a.Look
	look.Count = ">= 0"
	items, _, err := e.once(ctx, look, 0)
	if err != nil {
		return nil, err
	}
	value := amount(items, a.Sum)
	if a.Value != "" {
		found := values(first(items), a.Value)
		n, ok := number(text(append(found, nil)[0]))
		if !ok {
			return nil, api.Errorf(api.Conflict, "cannot tell the answer: what it is computed from is not there yet")
		}
		value = n
	}
	if factor, ok := number(string(a.Times)); ok {
		value = new(big.Rat).Mul(value, factor)
	}
	return value, nil
}

// Judge tells whether a number is right. Invalid: it is none.
func (a Answer) Judge(given string, right *big.Rat) (bool, error) {
	got, ok := number(strings.ReplaceAll(given, ",", "."))
	if !ok {
		return false, api.Errorf(api.Invalid, "cannot read the answer %q: give a number as 12 or 0.0034", given)
	}
	off := new(big.Rat).Sub(got, right)
	return off.Abs(off).Cmp(a.slack(right)) <= 0, nil
}

// slack is how far off an answer may be.
func (a Answer) slack(right *big.Rat) *big.Rat {
	percent, relative := strings.CutSuffix(string(a.Tolerance), "%")
	n, ok := number(percent)
	if !ok {
		return new(big.Rat)
	}
	if relative {
		n = new(big.Rat).Mul(n, new(big.Rat).Abs(right))
		n.Quo(n, big.NewRat(100, 1))
	}
	return n
}

// Decimal writes a number with as many digits as it needs, 12 behind the point at most.
func Decimal(r *big.Rat) string {
	s := r.FloatString(12)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}
