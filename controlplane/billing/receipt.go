package billing

import "nuage/api"

// Receipt returns r with GBSeconds, Price and Cost filled in, as the book counts calls: GBSeconds exact, Cost that of time, CPU and
// the request together, rounded half to even only behind the 12th decimal. What is free of a month, and tiers, are the bill's.
// Invalid: a negative memory or time. Exhausted: their product is over 2^63-1.
func (b *Book) Receipt(r api.Receipt) (api.Receipt, error) {
	q, err := b.calls.Of(r)
	if err != nil {
		return r, err
	}
	time, request, cpu := b.prices[FunctionGBSeconds], b.prices[FunctionRequests], b.prices[FunctionVCPUSeconds]
	gbs := quotient(q.MBMillis, time.divisor)
	sum := gbs.times(time.first()).plus(quotient(q.Requests, request.divisor).times(request.first()))
	cost, _ := sum.plus(quotient(q.CPU, cpu.divisor).times(cpu.first())).round(callDecimals)
	r.GBSeconds, r.Price, r.Cost = gbs.text(gbsDecimals), time.first().String(), format(cost, callDecimals)
	return r, nil
}
