// Package controlplane implements every interface of package api: it stores what users want, and one converge loop
// makes the world so. Planners are pure; engine, functions, edge and store are handed in.
package controlplane

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
	"nuage/compute"
	"nuage/controlplane/billing"
	"nuage/controlplane/identity"
	"nuage/controlplane/ingress"
	"nuage/controlplane/labs"
	"nuage/functions"
	"nuage/storage"
)

// Options are what a control plane stands on. All fields but labs and those of spot instances are required.
type Options struct {
	Store    *storage.Store
	Sealer   *storage.Sealer
	Engine   compute.Engine
	Runtimes map[string]functions.Runtime
	Edge     *ingress.Edge
	Books    *billing.Library
	Labs     *labs.Library
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
	Now      func() time.Time           // real time
	NewID    func(prefix string) string // prefix-16 hex digits
	BlobDir  string                     // uploaded sources
	CacheDir string                     // unpacked code; may be lost
	Version  string
	API      string // control address, for status
	EdgeAddr string // edge address, for status and URLs
	Note     string // why this engine
	EdgeTLS  bool   // the edge speaks HTTPS, with certificates of an authority of its own
	Shutdown func() // ends the process; called after Shutdown has stopped the workloads

	// BaseImage makes an image of the catalog, by name, that is not made before its first use; nil: none is.
	BaseImage func(ctx context.Context, name string, log io.Writer) error

	SpotRate   float64        // how often the cloud takes a running spot instance back, times an hour in the mean; 0: never
	SpotNotice time.Duration  // that it gives when it does
	Random     func() float64 // at least 0 and under 1: decides which; math/rand/v2 when nil
}

// ControlPlane is one running cloud.
type ControlPlane struct {
	Options
	log          *slog.Logger
	started      time.Time
	clock        *billing.Clock
	invoker      *functions.Invoker
	guests       *guests
	health       *health
	samples      *samples
	balancers    *balancers
	identity     *identity.Service
	doors        *doors
	authority    *ingress.Authority // of the edge; nil: it speaks plain HTTP
	loop         *loop
	events       *eventHub
	eventMetrics *eventMetrics
	changes      *broadcast
	labsDue      *broadcast // a run of a lab was changed by its owner
	metrics      *metrics
	networks     *set      // ids of networks that are there
	used         *usage    // of volumes
	measureDue   time.Time // of the loop alone: when volumes are to be measured again
	helpers      *set      // one-off containers in use
	scanDue      *dueTimes // when what is vulnerable is to be looked into again
	scratches    scratches
	shipDue      *dueTimes // when the logs of databases are to be archived again
	buildLogs    *buildLogs
	inService    *inService
	limiting     sync.Mutex // of the calls of projects: the newest limit is the one in force
	tally        *tally
	books        *bookkeeper
	readings     atomic.Uint64        // of the store in one picture
	houseDue     time.Time            // of the loop alone: when housekeeping is due
	drawn        time.Time            // of the loop alone: when chance last decided about spot instances
	unused       map[string]time.Time // of housekeeping alone: code that nothing refers to, and since when
	undo         []func()

	callable *recalled[string, api.Function]           // by project/name and by id
	letIn    *recalled[[sha256.Size]byte, tokenRecord] // by hash of the secret
}

// New opens the control plane over its parts: the first project and token are made where the store is new, and
// functions are deployed again. Nothing converges before Run.
func New(ctx context.Context, o Options) (*ControlPlane, error) {
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Labs == nil {
		o.Labs = &labs.Library{}
	}
	cp := &ControlPlane{Options: o, log: o.Logger, started: o.Now(), changes: newBroadcast(), labsDue: newBroadcast(), networks: newSet(), used: &usage{bytes: map[string]int64{}}, helpers: newSet(), shipDue: &dueTimes{at: map[string]time.Time{}}, scanDue: &dueTimes{at: map[string]time.Time{}}, scratches: make(scratches, scratchesAtOnce), buildLogs: newBuildLogs(), inService: newInService(), tally: newTally()}
	if err := cp.openClock(); err != nil {
		return nil, err
	}
	cp.books = newBookkeeper(cp)
	if err := cp.books.begin(); err != nil {
		return nil, err
	}
	cp.samples = newSamples(cp)
	cp.metrics = newMetrics(cp)
	if err := o.Metrics.Register(cp.metrics); err != nil {
		return nil, api.Errorf(api.Internal, "cannot register metrics: %w", err)
	}
	cp.invoker = functions.New(functions.Options{
		Runtimes: o.Runtimes, Journal: journal{cp}, Logger: o.Logger, Registerer: o.Metrics, Now: o.Now,
	})
	cp.guests = newGuests(cp)
	cp.health = newHealth(cp)
	cp.balancers = newBalancers(cp)
	var err error
	if cp.identity, err = cp.newIdentity(); err != nil {
		return nil, err
	}
	cp.doors = newDoors(cp)
	cp.loop = newLoop(cp)
	cp.events, cp.eventMetrics = newEventHub(cp), newEventMetrics(cp)
	if err := o.Metrics.Register(cp.eventMetrics); err != nil {
		return nil, api.Errorf(api.Internal, "cannot register metrics: %w", err)
	}
	o.Edge.OnHeld(cp.loop.wake)
	cp.callable = newRecalled[string, api.Function](functionTable.Name())
	cp.letIn = newRecalled[[sha256.Size]byte, tokenRecord](tokenTable.Name(), projectTable.Name())
	cp.undo = append(cp.undo, o.Store.OnCommit(cp.committed))
	if err := cp.secureEdge(); err != nil {
		return nil, err
	}
	if err := cp.bootstrap(ctx); err != nil {
		return nil, err
	}
	if err := cp.limitCalls(); err != nil {
		return nil, err
	}
	return cp, nil
}

// Run converges until ctx ends, then lets go of the workloads, which go on running.
func (cp *ControlPlane) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { cp.samples.run(ctx) })
	beside.Go(func() { cp.events.run(ctx) })
	beside.Go(func() { cp.books.run(ctx) })
	beside.Go(func() { cp.keepLabs(ctx) })
	err := cp.loop.run(ctx)
	cancel()
	beside.Wait()
	cp.balancers.close()
	cp.doors.close()
	cp.guests.close()
	cp.health.close()
	return err
}

// Close ends calls in flight and frees what New took. The store and the engine stay open.
func (cp *ControlPlane) Close() error {
	for _, f := range cp.undo {
		f()
	}
	cp.events.stop()
	err := cp.invoker.Close()
	cp.events.wait()
	return err
}

// Ready returns nil once the first pass of the loop is done, else what is awaited.
func (cp *ControlPlane) Ready() error { return cp.loop.readiness() }

// Cloud returns the api.Cloud that this control plane is.
func (cp *ControlPlane) Cloud() api.Cloud {
	return api.Cloud{
		Projects: projects{cp}, Users: users{cp}, Tokens: tokens{cp}, Keys: cp.keys(), SecurityGroups: cp.securityGroups(), Networks: cp.networkVerbs(),
		Images: imageVerbs{cp.images()}, Volumes: volumes{cp.volumes()}, Snapshots: cp.snapshots(),
		Instances: instances{cp.instances()}, LoadBalancers: loadBalancers{cp.loadBalancers()},
		InstanceGroups: instanceGroups{cp.instanceGroups()}, Apps: apps{cp.apps()}, Databases: databases{cp.databases()}, Backups: cp.backups(),
		AuthPools: authPools{cp.authPools()}, PoolUsers: poolUsers{cp},
		Functions: functionVerbs{cp.functions()}, Versions: functionVersions{cp}, Triggers: cp.triggers(), Queues: queues{cp.queues()}, Messages: messages{cp}, Topics: topics{cp.topics()}, Budgets: budgets{cp.budgets()}, Sources: sources{cp}, Streams: streams{cp},
		Activities: activities{cp}, Ledger: ledger{cp}, Clock: billingClock{cp}, Comparisons: comparisons{cp}, Advisories: advisoryVerbs{cp}, Labs: labVerbs{cp}, System: system{cp},
	}
}

// committed wakes the loop and all that wait, when a table changed; appends to logs change nothing that is planned.
func (cp *ControlPlane) committed(c storage.Change) {
	cp.callable.committed(c.Tables)
	cp.letIn.committed(c.Tables)
	cp.events.committed(c)
	if unplanned(c.Tables) {
		return
	}
	cp.changes.notify()
	cp.loop.wake()
}

// billingNow is the present in billing time.
func (cp *ControlPlane) billingNow() time.Time { return cp.clock.Now(cp.Now()) }

// Changed returns a channel that is closed when something of the cloud has changed next.
func (cp *ControlPlane) Changed() <-chan struct{} { return cp.changes.next() }

// broadcast wakes everybody who waits for the next change.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func newBroadcast() *broadcast { return &broadcast{ch: make(chan struct{})} }

// next returns a channel that is closed at the next notify.
func (b *broadcast) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ch
}

func (b *broadcast) notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.ch)
	b.ch = make(chan struct{})
}

// set is a set of ids that many goroutines use.
type set struct {
	mu  sync.Mutex
	ids map[string]bool
}

func newSet() *set { return &set{ids: map[string]bool{}} }

func (s *set) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id]
}

func (s *set) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[id] = true
}

func (s *set) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ids, id)
}

// members returns all.
func (s *set) members() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.ids)
}

// except returns the members that keep does not hold.
func (s *set) except(keep map[string]bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for id := range s.ids {
		if !keep[id] {
			out = append(out, id)
		}
	}
	return out
}
