package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/sim"
	"nuage/storage"
)

// act is one thing that happens to a cloud: a verb of a user, a fault of the engine, or the end of the control plane.
type act struct {
	name string
	n, m int
}

func (a act) String() string { return fmt.Sprintf("%s(%d,%d)", a.name, a.n, a.m) }

// history draws what happens, before it happens: a bubble of synctest can't draw.
func history(names ...string) *rapid.Generator[[]act] {
	one := rapid.Custom(func(t *rapid.T) act {
		return act{rapid.SampledFrom(names).Draw(t, "act"), rapid.IntRange(0, 3).Draw(t, "n"), rapid.IntRange(0, 5).Draw(t, "m")}
	})
	return rapid.SliceOfN(one, 1, 40)
}

var userActs = []string{"instance", "instance", "stop", "start", "reboot", "resize", "delete-instance", "reclaim",
	"app", "app", "configure", "configure", "scale", "scale-zero", "rollback", "promote", "rebind", "delete-app",
	"database", "resize-database", "delete-database", "backup", "restore-database", "delete-backup", "project", "delete-project",
	"volume", "volume", "write", "attach", "attach", "detach", "grow", "delete-volume", "snapshot", "restore", "delete-snapshot",
	"network", "close-network", "delete-network", "image", "delete-image"}

var faultActs = []string{"fail", "fail", "lose", "crash", "crash", "vanish", "vanish", "dead", "gone", "back", "deaf", "hear", "slow", "fast"}

var endActs = []string{"restart", "kill", "sleep", "sleep", "sleep-long"}

// world under test: the plane of the moment and the host that outlives it.
type scene struct {
	setup
	*plane
	deaf  atomic.Bool // no event reaches the control plane
	truth *truth
}

// quiet is an engine whose events can be lost on their way.
type quiet struct {
	*sim.Engine
	deaf *atomic.Bool
}

func (q quiet) Watch(ctx context.Context) (<-chan compute.Event, error) {
	in, err := q.Engine.Watch(ctx)
	if err != nil {
		return nil, err
	}
	out := make(chan compute.Event, 256)
	go func() {
		defer close(out)
		for e := range in {
			if q.deaf.Load() {
				continue
			}
			select {
			case out <- e:
			default:
			}
		}
	}()
	return out, nil
}

func newScene(dir string) (*scene, error) {
	s := &scene{truth: &truth{open: map[string]time.Time{}, ran: map[string]time.Duration{}, data: map[string]int64{}}}
	s.setup = setup{dir: dir, host: sim.NewState(), wrap: func(e *sim.Engine) compute.Engine { return quiet{e, &s.deaf} }}
	var err error
	if s.plane, err = s.setup.start(); err != nil {
		return nil, err
	}
	return s, s.truth.watch(s.host, s.Store.CloudID())
}

// end closes everything, so that the bubble ends.
func (s *scene) end() error {
	s.truth.cancel()
	return s.stop()
}

// restart ends the control plane and starts the next one. In a kill the store goes first: what the engine has done
// since is written down nowhere.
func (s *scene) restart(kill bool) error {
	if kill {
		if err := s.Store.Close(); err != nil {
			return err
		}
	}
	if err := s.stop(); err != nil {
		return err
	}
	var err error
	s.plane, err = s.setup.start()
	return err
}

// truth is what really ran, from the host's own events.
type truth struct {
	open   map[string]time.Time
	ran    map[string]time.Duration
	data   map[string]int64 // bytes on volumes, by id
	cancel context.CancelFunc
}

func (h *truth) watch(host *sim.State, cloud string) error {
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	events, err := sim.New(sim.Options{CloudID: cloud, State: host}).Watch(ctx)
	if err != nil {
		return err
	}
	go func() {
		for e := range events {
			switch e.What {
			case "start":
				h.open[e.ID] = e.Time
			case "die":
				h.ran[e.ID] += e.Time.Sub(h.open[e.ID])
				delete(h.open, e.ID)
			}
		}
	}()
	return nil
}

// total is how long a workload has run until now. The events have been taken in: call it when all is quiet.
func (h *truth) total(id string, now time.Time) time.Duration {
	d := h.ran[id]
	if start, runs := h.open[id]; runs {
		d += now.Sub(start)
	}
	return d
}

// refused are the answers that a user gets for good reasons in a random life.
func refused(err error) error {
	switch api.CodeOf(err) {
	case api.NotFound, api.Conflict, api.Unavailable, api.Exhausted:
		return nil
	}
	return err
}

// do makes one act happen. Only what must not happen is an error.
func (s *scene) do(a act) error {
	switch a.name {
	case "restart", "kill":
		return s.restart(a.name == "kill")
	case "sleep":
		time.Sleep(time.Duration(a.n*a.n*10+a.m) * time.Millisecond)
		return nil
	case "sleep-long":
		time.Sleep(time.Duration(a.n)*13*time.Second + time.Duration(a.m)*time.Second)
		return nil
	}
	if slices.Contains(faultActs, a.name) {
		s.fault(a)
		return nil
	}
	return refused(s.user(a))
}

func (s *scene) fault(a act) {
	f := s.sim.Faults()
	broken := []error{api.Errorf(api.Unavailable, "cannot: a test says so"), api.Errorf(api.Conflict, "cannot: a test says so"),
		api.Errorf(api.Internal, "cannot: a test says so"), errors.New("a test says so")}[a.n]
	verbs := []string{"create", "start", "stop", "remove", "update", "list", "network", "volume", "copy", "image", "commit"} // "image" where a create does not see an error without a code
	switch a.name {
	case "fail":
		f.Fail(verbs[(a.n+4*a.m)%len(verbs)], broken)
	case "lose":
		f.Lose(verbs[(a.n+4*a.m)%len(verbs)], broken)
	case "gone", "back":
		f.Gone(a.name == "gone")
	case "deaf", "hear":
		s.deaf.Store(a.name == "deaf")
	case "slow", "fast":
		f.Latency(map[bool]time.Duration{true: 300 * time.Millisecond}[a.name == "slow"])
	default:
		s.strike(a)
	}
}

// strike hurts one of the workloads there are.
func (s *scene) strike(a act) {
	list, err := sim.New(sim.Options{CloudID: s.Store.CloudID(), State: s.host}).List(context.Background())
	if err != nil || len(list) == 0 {
		return
	}
	id, f := list[(a.n+4*a.m)%len(list)].ID, s.sim.Faults()
	switch a.name {
	case "crash":
		f.Crash(id, a.m)
	case "vanish":
		f.Vanish(id)
	case "dead":
		f.Kill(id)
	}
}

// calm ends all faults and gives the loop time: longer than any deadline and back-off.
func (s *scene) calm() {
	f := s.sim.Faults()
	f.Gone(false)
	f.Latency(0)
	s.deaf.Store(false)
	time.Sleep(10 * time.Minute)
	synctest.Wait()
}

// insist asks the engine until the failures that the life has left over are used up.
func insist[T any](ask func(context.Context) (T, error)) (got T, err error) {
	for range 50 {
		if got, err = ask(context.Background()); err == nil {
			break
		}
	}
	return got, err
}

// bubble runs a life in fake time and returns what is wrong with it at the end.
func bubble(t *testing.T, acts []act, check func(*scene) error) (err error) {
	dir, err := os.MkdirTemp(t.TempDir(), "life")
	if err != nil {
		return err
	}
	synctest.Test(t, func(*testing.T) {
		var s *scene
		if s, err = newScene(dir); err != nil {
			return
		}
		for _, a := range acts {
			if err = s.do(a); err != nil {
				err = fmt.Errorf("%s: %w", a, err)
				break
			}
		}
		if err == nil {
			s.calm()
			err = check(s)
		}
		err = errors.Join(err, s.end())
	})
	return err
}

// TestEverythingConverges: whatever users, the engine and kills do, in the end the world is as the store says, and the
// store knows nothing that is not.
func TestEverythingConverges(t *testing.T) {
	names := slices.Concat(userActs, userActs, faultActs, endActs)
	rapid.Check(t, func(rt *rapid.T) {
		acts := history(names...).Draw(rt, "life")
		if err := bubble(t, acts, converged); err != nil {
			rt.Fatalf("%v", err)
		}
	})
}

// converged checks everything that holds in a cloud at rest.
func converged(s *scene) error {
	w, err := s.read()
	if err != nil {
		return err
	}
	_, err = insist(func(ctx context.Context) (any, error) { return nil, s.look(ctx, w) })
	if err != nil {
		return err
	}
	return errors.Join(s.workloadsFit(w), s.statusesSettled(w), s.thingsFit(w), s.recordsFit(w))
}

// workloadsFit: exactly what is wanted is there, and as it is wanted.
func (s *scene) workloadsFit(w *world) error {
	var errs []error
	if steps := diff(w.planned, w.observed, w.reboots(), w.damaged); len(steps) > 0 {
		errs = append(errs, fmt.Errorf("there is still something to do: %+v", steps))
	}
	for _, l := range w.planned {
		if o, there := w.observed[l.ID]; !there || (o.State == compute.StateRunning) != l.Running {
			errs = append(errs, fmt.Errorf("%s is wanted with running %v and is %q", l.ID, l.Running, o.State))
		}
	}
	if len(w.observed) != len(w.wanted) {
		errs = append(errs, fmt.Errorf("there are %v, wanted are %v", slices.Sorted(maps.Keys(w.observed)), slices.Sorted(maps.Keys(w.wanted))))
	}
	if t := s.loop.troubles(); len(t) > 0 {
		errs = append(errs, fmt.Errorf("troubles are left: %v", t))
	}
	return errors.Join(errs...)
}

// statusesSettled: no noun is under way.
func (s *scene) statusesSettled(w *world) error {
	var errs []error
	w.each(func(noun string, m api.Meta, status api.Status) {
		if !api.Settled(m, status) {
			errs = append(errs, fmt.Errorf("%s %s is %s (%s) at generation %d of %d, deleted %v", noun, m.Name, status.Phase, status.Reason, status.Generation, m.Generation, m.DeletedAt))
		}
	})
	for _, a := range w.apps {
		if a.Status.Target != 0 || len(w.drains[a.ID]) > 0 {
			errs = append(errs, fmt.Errorf("app %s still deploys: %+v", a.Name, a.Status))
		}
		serving := w.releases[releaseKey(a.ID, a.Status.Release)]
		if a.Status.Release != 0 && (serving.State != "serving" || !serving.Served) {
			errs = append(errs, fmt.Errorf("app %s has the release %+v", a.Name, serving))
		}
	}
	return errors.Join(errs...)
}

// reaches: the database that an app's release uses, and no other, is in the app's network.
func (s *scene) reaches(w *world, a api.App) (err error) {
	used := w.releases[releaseKey(a.ID, a.Status.Release)].Spec.Database
	for _, d := range w.databases {
		in := slices.Contains(w.observed[d.ID].Joined, appNetworkID(a.ID))
		if want := d.Project == a.Project && d.Name == used && used != ""; in != want && w.observed[d.ID].ID != "" {
			err = errors.Join(err, fmt.Errorf("database %s of %s is in the network of app %s of %s: %v, want %v", d.Name, d.Project, a.Name, a.Project, in, want))
		}
	}
	return err
}

// thingsFit: networks, volumes and images are those that the store knows, and hold what they held.
func (s *scene) thingsFit(w *world) error {
	networks, err := insist(s.sim.ListNetworks)
	if err != nil {
		return err
	}
	want := map[string]string{}
	for _, n := range w.networks {
		want[n.ID] = n.Spec.CIDR
	}
	for _, p := range w.projects {
		if want[networkID(p)] != p.Status.CIDR {
			err = errors.Join(err, fmt.Errorf("project %s has range %s, its network %s", p.Name, p.Status.CIDR, want[networkID(p)]))
		}
	}
	for _, a := range w.apps {
		want[appNetworkID(a.ID)] = w.appNetworks[a.ID].CIDR
		err = errors.Join(err, s.reaches(w, a))
	}
	if len(w.appNetworks) != len(w.apps) {
		err = errors.Join(err, fmt.Errorf("%d apps have %d networks", len(w.apps), len(w.appNetworks)))
	}
	is := map[string]string{}
	for _, n := range networks {
		is[n.ID] = n.CIDR
	}
	if !maps.Equal(is, want) {
		err = errors.Join(err, fmt.Errorf("the networks are %v, wanted are %v", is, want))
	}
	volumes, lost := insist(s.sim.ListVolumes)
	left := map[string]bool{}
	for _, v := range volumes {
		left[v.ID] = true
	}
	wanted := map[string]bool{}
	for _, d := range w.databases {
		wanted[w.servers[d.ID].Volume] = true
	}
	for id := range w.disks {
		if !strings.HasPrefix(id, "img-") {
			wanted[id] = true
		}
	}
	if !maps.Equal(left, wanted) {
		err = errors.Join(err, fmt.Errorf("the volumes are %v, wanted are %v", left, wanted))
	}
	return errors.Join(err, lost, s.dataFits(w), s.networksApart(w))
}

// dataFits: no volume lost what was on it, none is in two places, and none where its owner did not put it.
func (s *scene) dataFits(w *world) error {
	var errs []error
	for _, v := range w.volumes {
		bytes, err := insist(func(ctx context.Context) (int64, error) { return s.sim.VolumeBytes(ctx, v.ID) })
		if want, written := s.truth.data[v.ID]; written && bytes != want {
			errs = append(errs, fmt.Errorf("on volume %s are %d bytes, %d were written", v.Name, bytes, want))
		}
		var holders []string
		for _, i := range w.instances {
			if slices.ContainsFunc(i.Spec.Volumes, func(m api.VolumeMount) bool { return m.Volume == v.Name && i.Project == v.Project }) {
				holders = append(holders, i.ID)
			}
		}
		if mounted := w.mountedBy(v.ID); len(holders) > 1 || !slices.Equal(mounted, holders) {
			errs = append(errs, fmt.Errorf("volume %s belongs to %v and is mounted by %v", v.Name, holders, mounted))
		}
		errs = append(errs, err)
	}
	for _, m := range w.machines {
		if len(m.Commits) > 1 || len(m.Commits) == 1 && m.Commits[0] != m.Image {
			errs = append(errs, fmt.Errorf("of %s there are the images %v, it is made of %q", m.ID, m.Commits, m.Image))
		}
	}
	return errors.Join(errs...)
}

// networksApart: no two networks have an address in common, and no two instances in one.
func (s *scene) networksApart(w *world) error {
	var errs []error
	for _, a := range w.networks {
		for _, b := range w.networks {
			if a.ID < b.ID && overlaps(netip.MustParsePrefix(a.Spec.CIDR), b.Spec.CIDR) {
				errs = append(errs, fmt.Errorf("networks %s and %s overlap: %s, %s", a.Name, b.Name, a.Spec.CIDR, b.Spec.CIDR))
			}
		}
	}
	taken := map[string]string{}
	for _, i := range w.instances {
		at := w.address(i)
		if !overlaps(netip.PrefixFrom(netip.MustParseAddr(at), 32), w.rangeOf(i)) || taken[at] != "" {
			errs = append(errs, fmt.Errorf("instance %s has address %s in %s, as has %q", i.Name, at, w.rangeOf(i), taken[at]))
		}
		taken[at] = i.Name
	}
	return errors.Join(errs...)
}

// recordsFit: there is no record of what is gone, and a run for what runs.
func (s *scene) recordsFit(w *world) error {
	var errs []error
	for id := range w.tracks {
		if _, there := w.observed[id]; !there {
			errs = append(errs, fmt.Errorf("a track of %s is left", id))
		}
	}
	for id := range w.observed {
		if _, known := w.tracks[id]; !known {
			errs = append(errs, fmt.Errorf("no track of %s", id))
		}
	}
	if is, want := len(w.runs), len(w.metered()); is != want {
		errs = append(errs, fmt.Errorf("%d runs are open, %d things are metered", is, want))
	}
	if len(w.machines) != len(w.instances) || len(w.servers) != len(w.databases) {
		errs = append(errs, fmt.Errorf("%d machines for %d instances, %d servers for %d databases", len(w.machines), len(w.instances), len(w.servers), len(w.databases)))
	}
	if len(w.dumps) != len(w.backups) {
		errs = append(errs, fmt.Errorf("%d dumps for %d backups", len(w.dumps), len(w.backups)))
	}
	for key := range w.releases {
		id, _, _ := strings.Cut(key, "/")
		if _, known := w.by.owners[id]; !known {
			errs = append(errs, fmt.Errorf("release %s is left", key))
		}
	}
	return errors.Join(append(errs, s.noOverlap(w))...)
}

// noOverlap: no time of an instance or a database is metered twice.
func (s *scene) noOverlap(w *world) error {
	spans := map[string][]api.Usage{}
	err := s.Store.View(func(tx *storage.Tx) error {
		return s.eachUsage(tx, func(u api.Usage) error {
			if u.Service != "apps" {
				key := u.ResourceID + " " + strings.SplitN(u.Meter, ":", 2)[0]
				spans[key] = append(spans[key], u)
			}
			return nil
		})
	})
	for key, all := range spans {
		slices.SortFunc(all, func(a, b api.Usage) int { return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End)) })
		for i := 1; i < len(all); i++ {
			if all[i].Start.Before(all[i-1].End) {
				err = errors.Join(err, fmt.Errorf("%s is metered %s to %s and again from %s", key, all[i-1].Start, all[i-1].End, all[i].Start))
			}
		}
	}
	return err
}
