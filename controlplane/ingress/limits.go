package ingress

import (
	"net/http"
	"time"
)

// Limits bound the requests of one route, of all its callers together. What is 0 is not bounded, but Answer.
type Limits struct {
	Body   int64         // bytes of a request's body; more is a 413
	Rate   int           // requests per second, with bursts of as many; more are a 429
	Idle   time.Duration // without a byte either way, in a body, an answer or an upgraded connection; then that ends, with a 408 where no answer has begun
	Answer time.Duration // until an answer's headers; then it is a 504. 60 s where 0
}

// patience is how long a route's backends may take until an answer begins.
func patience(r Route) time.Duration {
	if r.Limits.Answer == 0 {
		return answerTimeout
	}
	return r.Limits.Answer
}

// refused says what to refuse a request with by the route's limits, nil for nothing. It bounds the body that is still to come.
func (e *Edge) refused(w http.ResponseWriter, r *http.Request, s *site) *page {
	limits := s.Limits
	if limits.Rate > 0 && !s.demand.admit(e.now(), float64(limits.Rate)) {
		p := tooMany(s.Route)
		return &p
	}
	if limits.Body > 0 && r.ContentLength > limits.Body {
		p := tooLarge(s.Route)
		return &p
	}
	if limits.Body > 0 && r.Body != nil && r.Body != http.NoBody {
		r.Body = http.MaxBytesReader(w, r.Body, limits.Body)
	}
	return nil
}

// admit takes one of the requests that a rate allows: a bucket that holds a second's.
func (d *demand) admit(now time.Time, rate float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.filled.IsZero() {
		d.tokens = rate
	} else {
		d.tokens = min(rate, d.tokens+rate*now.Sub(d.filled).Seconds())
	}
	d.filled = now
	if d.tokens < 1 {
		return false
	}
	d.tokens--
	return true
}
