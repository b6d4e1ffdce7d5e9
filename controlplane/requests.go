package controlplane

import (
	"errors"
	"math"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/controlplane/ingress"
	"nuage/storage"
)

// requestChunk is how many bytes one request covers, as on Amazon SQS and SNS.
const requestChunk = 64 << 10

// requestMeter is a meter of requests and the service that is billed.
type requestMeter struct{ service, meter string }

// What is billed by the request, besides calls of functions.
const (
	queueService = "queues"
	topicService = "topics"
)

var (
	queueRequests = requestMeter{queueService, billing.QueueRequests}
	topicRequests = requestMeter{topicService, billing.TopicRequests}
	asyncRequests = requestMeter{"functions", billing.AsyncRequests}
)

// requestCount is how many requests of a noun there were in an hour of billing time. It changes in the commit of the request.
type requestCount struct {
	ID      string    `json:"id"` // of the noun
	Project string    `json:"project"`
	Name    string    `json:"name"`
	Service string    `json:"service"`
	Meter   string    `json:"meter"`
	Hour    int64     `json:"hour"` // since 1970
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Count   int64     `json:"count"`
}

func requestKey(id, meter string, hour int64) string {
	return id + "/" + meter + "/" + storage.TimeKey(time.UnixMilli(hour*hourMs))
}

func (r requestCount) key() string { return requestKey(r.ID, r.Meter, r.Hour) }

func (r requestCount) usage() api.Usage {
	return api.Usage{ID: r.key(), Project: r.Project, Service: r.Service, Resource: r.Name, ResourceID: r.ID, Meter: r.Meter,
		Quantity: r.Count, Start: r.First, End: r.Last}
}

// meterRequest counts a request that carried some bytes: one for each 64 KiB, at least one.
func (cp *ControlPlane) meterRequest(tx *storage.Tx, what requestMeter, m *api.Meta, bytes int64) error {
	return cp.meterCount(tx, what, m, max(1, (bytes+requestChunk-1)/requestChunk))
}

// meterCount adds to what is counted of a noun in this hour. Exhausted: over 2^63-1.
func (cp *ControlPlane) meterCount(tx *storage.Tx, what requestMeter, m *api.Meta, n int64) error {
	at := cp.billingNow()
	hour := at.UnixMilli() / hourMs
	c, err := requestTable.Get(tx, requestKey(m.ID, what.meter, hour))
	if errors.Is(err, api.NotFound) {
		c, err = requestCount{ID: m.ID, Project: m.Project, Name: m.Name, Service: what.service, Meter: what.meter, Hour: hour, First: at}, nil
	}
	if err != nil {
		return err
	}
	if c.Count > math.MaxInt64-n {
		return api.Errorf(api.Exhausted, "cannot count %d more of %q for %q in this hour", n, what.meter, m.Name)
	}
	c.Count += n
	c.Last = at
	return requestTable.Put(tx, c)
}

// eachRequest calls fn with the requests of all nouns, by hour, behind a key.
func eachRequest(tx *storage.Tx, after string, fn func(place, api.Usage) error) error {
	return requestTable.Each(tx, "", func(r requestCount) error {
		if r.key() <= after {
			return nil
		}
		return fn(place{section: inRequests, key: r.key()}, r.usage())
	})
}

// sentBy says by which meter what the edge or a load balancer sends is billed, and whose it is. false: it is free, or nobody's any more.
func (cp *ControlPlane) sentBy(tx *storage.Tx, who ingress.Sender) (what requestMeter, m api.Meta, ok bool, err error) {
	switch who.Kind {
	case ingress.KindApp:
		a, err := appTable.GetBy(tx, "name", who.Project+"/"+who.Name)
		return requestMeter{"apps", billing.AppBytesOut}, a.Meta, err == nil, ignoreGone(err)
	case ingress.KindFunction:
		f, err := functionTable.GetBy(tx, "name", who.Project+"/"+who.Name)
		return requestMeter{"functions", billing.FunctionBytesOut}, f.Meta, err == nil, ignoreGone(err)
	case ingress.KindBalancer:
		b, err := balancerTable.GetBy(tx, "name", who.Project+"/"+who.Name)
		return requestMeter{"load-balancers", billing.BalancerBytesOut}, b.Meta, err == nil, ignoreGone(err)
	}
	return what, m, false, nil
}

// meterSent writes down what went out since the last time. A kill loses what went out in the seconds before it; what can't be written is
// counted again.
func (cp *ControlPlane) meterSent() error {
	sent := cp.Edge.Sent().Take()
	if len(sent) == 0 {
		return nil
	}
	err := cp.Store.Update(func(tx *storage.Tx) error {
		for who, bytes := range sent {
			what, m, ok, err := cp.sentBy(tx, who)
			if err == nil && ok {
				err = cp.meterCount(tx, what, &m, bytes)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		cp.Edge.Sent().Give(sent)
	}
	return err
}
