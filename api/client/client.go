// Package client speaks to a cloud over its HTTP API: New returns an api.Cloud whose errors carry the same codes and
// messages as those of the cloud itself. Nothing is retried. See ../DESIGN.md.
package client

import (
	"net"
	"net/http"
	"strings"
	"time"

	"nuage/api"
)

// Option changes how a client works.
type Option func(*conn)

// WithHTTPClient makes requests with h, which must have no Timeout: waits and streams take long. The default one
// gives up on a connection after 5 s.
func WithHTTPClient(h *http.Client) Option { return func(c *conn) { c.http = h } }

// WithUserAgent says who asks, in the cloud's log.
func WithUserAgent(name string) Option { return func(c *conn) { c.agent = name } }

// New returns the cloud at url, as http://127.0.0.1:7070, for the holder of token. It connects with the first call;
// a cloud that does not answer is Unavailable, a url that is none Invalid. Who acts is the token's owner, whatever
// actor a context carries; the idempotency key of a context is sent along.
func New(url, token string, opts ...Option) api.Cloud {
	c := &conn{base: strings.TrimRight(url, "/"), token: token, agent: "nuage-client", http: defaultHTTP()}
	for _, o := range opts {
		o(c)
	}
	return api.Cloud{
		Projects:       projects{c},
		Users:          users{c},
		Tokens:         tokens{c},
		Keys:           resource[api.Key, api.KeySpec]{c, "keys"},
		Networks:       resource[api.Network, api.NetworkSpec]{c, "networks"},
		Images:         resource[api.Image, api.ImageSpec]{c, "images"},
		Volumes:        volumes{resource[api.Volume, api.VolumeSpec]{c, "volumes"}},
		Snapshots:      resource[api.Snapshot, api.SnapshotSpec]{c, "snapshots"},
		LoadBalancers:  resource[api.LoadBalancer, api.LoadBalancerSpec]{c, "load-balancers"},
		InstanceGroups: resource[api.InstanceGroup, api.InstanceGroupSpec]{c, "instance-groups"},
		SecurityGroups: resource[api.SecurityGroup, api.SecurityGroupSpec]{c, "security-groups"},
		Instances:      instances{resource[api.Instance, api.InstanceSpec]{c, "instances"}},
		Apps:           apps{resource[api.App, api.AppSpec]{c, "apps"}},
		Databases:      databases{resource[api.Database, api.DatabaseSpec]{c, "databases"}},
		Backups:        resource[api.Backup, api.BackupSpec]{c, "backups"},
		AuthPools:      resource[api.AuthPool, api.AuthPoolSpec]{c, "auth-pools"},
		PoolUsers:      poolUsers{c},
		Functions:      functions{resource[api.Function, api.FunctionSpec]{c, "functions"}},
		Versions:       functionVersions{functions{resource[api.Function, api.FunctionSpec]{c, "functions"}}},
		Triggers:       resource[api.Trigger, api.TriggerSpec]{c, "triggers"},
		Queues:         resource[api.Queue, api.QueueSpec]{c, "queues"},
		Messages:       messages{c},
		Topics:         topics{resource[api.Topic, api.TopicSpec]{c, "topics"}},
		Budgets:        resource[api.Budget, api.BudgetSpec]{c, "budgets"},
		Sources:        sources{c},
		Streams:        streams{c},
		Activities:     activities{c},
		Ledger:         ledger{c},
		Clock:          clock{c},
		Comparisons:    comparisons{c},
		Advisories:     advisories{c},
		Labs:           labs{c},
		System:         system{c},
	}
}

func defaultHTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       60 * time.Second,
		ExpectContinueTimeout: time.Second,
	}}
}
