package billing

import (
	"sync"

	"nuage/api"
)

// Receipt returns r with GBSeconds, Price and Cost filled in, as the book counts calls: GBSeconds exact, Cost that of time, CPU and
// the request together, rounded half to even only behind the 12th decimal. What is free of a month, and tiers, are the bill's.
// Invalid: a negative memory or time. Exhausted: their product is over 2^63-1.
func (b *Book) Receipt(r api.Receipt) (api.Receipt, error) {
	q, err := b.calls.Of(r)
	if err != nil {
		return r, err
	}
	rated, ok := b.rated.get(q)
	if !ok {
		rated = b.rate(q)
		b.rated.keep(q, rated)
	}
	r.GBSeconds, r.Price, r.Cost = rated.gbSeconds, rated.price, rated.cost
	return r, nil
}

func (b *Book) rate(q CallQuantity) ratedCall {
	time, request, cpu := b.prices[FunctionGBSeconds], b.prices[FunctionRequests], b.prices[FunctionVCPUSeconds]
	gbs := quotient(q.MBMillis, time.divisor)
	sum := gbs.times(time.first()).plus(quotient(q.Requests, request.divisor).times(request.first()))
	cost, _ := sum.plus(quotient(q.CPU, cpu.divisor).times(cpu.first())).round(callDecimals)
	return ratedCall{gbs.text(gbsDecimals), time.first().String(), format(cost, callDecimals)}
}

// ratedCall is what a receipt says of its cost.
type ratedCall struct{ gbSeconds, price, cost string }

// mostRated is how many different calls are remembered.
const mostRated = 4096

// ratedCalls remembers what calls came to: those of a function take few different times, and working it out takes longer than some calls.
type ratedCalls struct {
	mu   sync.RWMutex
	kept map[CallQuantity]ratedCall
}

func (c *ratedCalls) get(q CallQuantity) (ratedCall, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	rated, ok := c.kept[q]
	return rated, ok
}

func (c *ratedCalls) keep(q CallQuantity, rated ratedCall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil || len(c.kept) == mostRated {
		c.kept = map[CallQuantity]ratedCall{}
	}
	c.kept[q] = rated
}
