package billing

import (
	"math/big"

	"nuage/api"
)

// Rate is something that costs while it runs or is kept: Bytes of storage, or time alone where they are 0.
type Rate struct {
	Meter string
	Bytes int64
}

// Hourly is what all of it costs in an hour at list prices, in USD with 12 decimals: what is free of a month, tiers and
// minimums are the bill's. NotFound: a meter without a price.
func (b *Book) Hourly(rates []Rate) (string, error) {
	sum := quotient(0, 1)
	for _, r := range rates {
		p, ok := b.prices[r.Meter]
		if !ok {
			return "", api.Errorf(api.NotFound, "cannot price an hour of meter %q: book %q has no such price", r.Meter, b.Name())
		}
		stored := int64(msPerHour)
		if p.meter.Unit == GBMonths {
			stored *= (r.Bytes + bytesInMiB - 1) / bytesInMiB
		}
		sum = sum.plus(quotient(stored, p.divisor).times(p.first()))
	}
	cost, _ := sum.round(callDecimals)
	return format(cost, callDecimals), nil
}

// MeanCall is what one of these calls costs on average at list prices, in USD with 12 decimals; "" where there is none.
func (b *Book) MeanCall(calls []api.Receipt) (string, error) {
	if len(calls) == 0 {
		return "", nil
	}
	sum := new(big.Rat)
	for _, r := range calls {
		rated, err := b.Receipt(r)
		if err != nil {
			return "", err
		}
		sum.Add(sum, rat(rated.Cost))
	}
	return to12(sum.Quo(sum, new(big.Rat).SetInt64(int64(len(calls))))), nil
}

// Times is n times an amount, with 12 decimals.
func Times(amount string, n int64) string {
	return to12(new(big.Rat).Mul(rat(amount), new(big.Rat).SetInt64(n)))
}

// Crossing is the number of requests an hour above which a costs more than b. There is none where one of them is never dearer, nor where a cost is
// unknown.
func Crossing(a, b api.SubjectCost) (requests int64, ok bool) {
	if a.PerRequest == "" || b.PerRequest == "" {
		return 0, false
	}
	fixed := new(big.Rat).Sub(rat(b.PerHour), rat(a.PerHour))
	each := new(big.Rat).Sub(rat(a.PerRequest), rat(b.PerRequest))
	if fixed.Sign() <= 0 || each.Sign() <= 0 {
		return 0, false
	}
	at := fixed.Quo(fixed, each)
	n := new(big.Int).Quo(at.Num(), at.Denom())
	return n.Int64(), n.IsInt64()
}

// to12 writes an amount with 12 decimals.
func to12(r *big.Rat) string {
	v, _ := fraction{r.Num(), r.Denom()}.round(callDecimals)
	return format(v, callDecimals)
}

// rat reads an amount of ours; what is none counts as 0.
func rat(amount string) *big.Rat {
	r, ok := new(big.Rat).SetString(amount)
	if !ok {
		return new(big.Rat)
	}
	return r
}
