package controlplane

import (
	"errors"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
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
	at := cp.billingNow()
	hour := at.UnixMilli() / hourMs
	c, err := requestTable.Get(tx, requestKey(m.ID, what.meter, hour))
	if errors.Is(err, api.NotFound) {
		c, err = requestCount{ID: m.ID, Project: m.Project, Name: m.Name, Service: what.service, Meter: what.meter, Hour: hour, First: at}, nil
	}
	if err != nil {
		return err
	}
	c.Count += max(1, (bytes+requestChunk-1)/requestChunk)
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
