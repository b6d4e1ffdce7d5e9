package billing

import "nuage/api"

// Receipt returns r with GBSeconds, Price and Cost filled in from MemoryMB and BilledMs: GBSeconds exact, Cost that of
// the GB-s and the request together, rounded half to even only behind the 12th decimal.
// Invalid: a negative memory or time. Exhausted: their product is over 2^63-1.
func (b *Book) Receipt(r api.Receipt) (api.Receipt, error) {
	mbms, err := MBMillis(r.MemoryMB, r.BilledMs)
	if err != nil {
		return r, err
	}
	time, request := b.prices[FunctionGBSeconds], b.prices[FunctionRequests]
	gbs := quotient(mbms, time.divisor)
	cost, _ := gbs.times(time.each).plus(quotient(1, request.divisor).times(request.each)).round(callDecimals)
	r.GBSeconds, r.Price, r.Cost = gbs.text(gbsDecimals), time.each.String(), format(cost, callDecimals)
	return r, nil
}
