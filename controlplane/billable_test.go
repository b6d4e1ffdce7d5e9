package controlplane

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/controlplane/billing"
)

// billable says of every noun of the cloud by which meters it is billed, or why it is not. A new noun has to be decided on.
var billable = map[string][]string{
	"Instances":      {"instance-hours:small", "spot-hours:nano", "public-address-hours"},
	"Volumes":        {"volume-storage"},
	"Snapshots":      {"snapshot-storage"},
	"Images":         {"image-storage"},
	"LoadBalancers":  {"load-balancer-hours", "load-balancer-bytes-out"},
	"Apps":           {"app-hours:micro", "app-bytes-out"},                           // and build-minutes, by builds
	"Databases":      {"database-hours:large", "database-storage", "backup-storage"}, // the last for an archived log
	"Backups":        {"backup-storage"},
	"Functions":      {"function-requests", "function-gb-seconds", "function-vcpu-seconds", "function-bytes-out", "function-async-requests"}, // by receipts, not by runs
	"AuthPools":      nil,                                                                                                                    // free, as the first 50,000 users are elsewhere
	"PoolUsers":      nil,
	"Versions":       nil, // of functions: their calls are billed
	"Triggers":       nil, // what they call is billed
	"Queues":         {"queue-requests"},
	"Messages":       nil, // by their queue
	"Topics":         {"topic-requests"},
	"InstanceGroups": nil, // their members are billed
	"Networks":       nil, "SecurityGroups": nil, "Keys": nil, "Projects": nil, "Users": nil, "Tokens": nil,
	"Budgets": nil, "Sources": nil, "Streams": nil, "Activities": nil, "Ledger": nil, "Clock": nil, "Comparisons": nil, "Advisories": nil, "Labs": nil, "System": nil,
}

// TestEveryNounIsBilledOrFree: none is forgotten, every meter has a price in every book, and a world that has one of each
// meters exactly those that run.
func TestEveryNounIsBilledOrFree(t *testing.T) {
	cloud := reflect.TypeFor[api.Cloud]()
	var timed []string
	for n := range cloud.NumField() {
		name := cloud.Field(n).Name
		meters, decided := billable[name]
		if !decided {
			t.Errorf("nobody has decided how %s are billed", name)
		}
		for _, m := range meters {
			if of, _ := billing.MeterOf(m); of.Spread {
				timed = append(timed, m)
			}
			priced(t, m)
		}
	}
	if len(billable) != cloud.NumField() {
		t.Errorf("%d nouns are decided on, the cloud has %d", len(billable), cloud.NumField())
	}
	var got []string
	for _, r := range oneOfEach(time.Now()).metered() {
		got = append(got, r.Meter)
		r.Run = "run-1"
		if _, err := r.usage(r.Real.Add(time.Hour)); err != nil {
			t.Errorf("%s: %v", r.Meter, err)
		}
	}
	slices.Sort(got)
	slices.Sort(timed)
	if g, w := strings.Join(got, " "), strings.Join(timed, " "); g != w {
		t.Errorf("metered are %s, want %s", g, w)
	}
}

// priced checks that a meter is in every book, under the name of a service that a bill shows.
func priced(t *testing.T, name string) {
	t.Helper()
	books, err := billing.Load()
	must(t, err)
	m, known := billing.MeterOf(name)
	if !known || m.Service == "" {
		t.Errorf("meter %q is %+v", name, m)
	}
	for _, b := range books.Books() {
		has := func(p api.Price) bool { return p.Meter == name && p.Source != "" }
		if !slices.ContainsFunc(b.PriceBook().Prices, has) {
			t.Errorf("book %s has no price with a source for %s", b.Name(), name)
		}
	}
}

// oneOfEach is a world with one of each noun that is billed: instances private but for the spot one, one image of the
// catalog and one load balancer that is being deleted besides.
func oneOfEach(at time.Time) *world {
	meta := func(id string) api.Meta { return api.Meta{ID: id, Name: id, Project: "p", CreatedAt: at} }
	gone := meta("lb-2")
	gone.DeletedAt = &at
	w := &world{
		instances: []api.Instance{{Meta: meta("i-1"), Spec: api.InstanceSpec{Type: "small", Private: true}}, {Meta: meta("i-2"), Spec: api.InstanceSpec{Type: "nano", Spot: true}},
			{Meta: meta("i-3"), Spec: api.InstanceSpec{Type: "large", Stopped: true}}},
		volumes:   map[string]api.Volume{"p/v": {Meta: meta("vol-1"), Spec: api.VolumeSpec{SizeBytes: 1 << 30}}},
		snapshots: []api.Snapshot{{Meta: meta("snap-1"), Status: api.SnapshotStatus{SizeBytes: 1}}, {Meta: meta("snap-2")}},
		images:    map[string]api.Image{"p/i": {Meta: meta("img-1"), Status: api.ImageStatus{SizeBytes: 1}}, "p/c": {Meta: meta("img-2"), Status: api.ImageStatus{SizeBytes: 1, Catalog: true}}},
		balancers: []api.LoadBalancer{{Meta: meta("lb-1")}, {Meta: gone}},
		apps:      []api.App{{Meta: meta("app-1")}},
		releases:  map[string]release{releaseKey("app-1", 1): {App: "app-1", Release: api.Release{Number: 1, Spec: api.AppSpec{Size: "micro"}}}},
		databases: []api.Database{{Meta: meta("db-1"), Spec: api.DatabaseSpec{Size: "large", StorageBytes: 1}}},
		backups:   []api.Backup{{Meta: meta("bak-1"), Status: api.BackupStatus{SizeBytes: 1}}, {Meta: meta("bak-2")}},
		servers:   map[string]server{"db-1": {ID: "db-1", Volume: "vol-2"}},
		archives:  map[string]archive{"db-1": {ID: "db-1", Bytes: 1, Since: at}},
		observed:  map[string]compute.Observed{},
	}
	w.index()
	for _, id := range []string{"i-1", "i-2", "app-1-r1-0", "db-1"} {
		owner := id
		if strings.HasPrefix(id, "app-") {
			owner = "app-1"
		}
		w.observed[id] = compute.Observed{ID: id, Owner: owner, State: compute.StateRunning, StartedAt: at}
	}
	w.observed["i-3"] = compute.Observed{ID: "i-3", Owner: "i-3", State: compute.StateExited, StartedAt: at}
	w.indexObserved()
	return w
}
