package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/guest/link"
	"nuage/storage"
)

// guests keeps a link to the guest of every running instance: it hands over the configuration, and writes down what
// the guest reports.
type guests struct {
	cp   *ControlPlane
	mu   sync.Mutex
	open map[string]*guest // by instance id
	wg   sync.WaitGroup
}

// guest is one instance's link, for one start of its container.
type guest struct {
	id, boot string
	cancel   context.CancelFunc
	changed  chan struct{} // a new config is there

	order  sync.Mutex // one hand-over at a time, so that the newest is the last
	mu     sync.Mutex
	meta   api.Meta
	read   uint64 // number of the world that config is from
	config link.Config
	client *link.Client // nil while not connected
	state  guestState
}

// guestState is what the loop needs to know.
type guestState struct {
	configured bool // keys and rules are in force, SSH answers, boot scripts have run
	firewall   string
	problem    string
	oomKills   int // processes the kernel has killed in this boot for want of memory
}

func newGuests(cp *ControlPlane) *guests { return &guests{cp: cp, open: map[string]*guest{}} }

func (g *guests) states() map[string]guestState {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[string]guestState, len(g.open))
	for id, one := range g.open {
		one.mu.Lock()
		out[id] = one.state
		one.mu.Unlock()
	}
	return out
}

// sync opens links to instances that run now, closes others, and hands over configurations that have changed.
func (g *guests) sync(ctx context.Context, w *world) {
	attacher, ok := g.cp.Engine.(compute.Attacher)
	if !ok {
		return
	}
	deny := denied(w)
	running := map[string]bool{}
	for _, i := range w.instances {
		o, there := w.observed[i.ID]
		if !there || o.State != compute.StateRunning || i.DeletedAt != nil {
			continue
		}
		config, err := g.cp.guestConfig(w, i, deny)
		if err != nil {
			g.cp.log.Error("guest not configured", "instance", i.Name, "error", err)
			continue
		}
		running[i.ID] = true
		g.ensure(ctx, attacher, i, w.number, o.Engine+o.StartedAt.String(), config)
	}
	for id := range g.states() {
		if !running[id] {
			g.drop(id)
		}
	}
}

// denied are the addresses at which the laptop hears, in networks too that will be there in a moment: what listens there
// is out of reach for guests. Broadcasts, multicasts and link-local addresses of IPv6 reach it without its address being named.
func denied(w *world) []string {
	all := append(hostAddresses(), "224.0.0.0/4", "255.255.255.255", "fe80::/10", "ff00::/8")
	all = append(all, w.gateways()...)
	for _, n := range w.planNetworks() {
		all = append(all, everybody(n.CIDR)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// hostAddresses are the laptop's own addresses as they are now, IPv6 too as engines can be set to use it, and those of everybody
// around it.
func hostAddresses() []string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.IsLoopback() {
			continue
		}
		out = append(out, n.IP.String())
		if n.IP.To4() != nil {
			out = append(out, everybody(n.String())...)
		}
	}
	return out
}

// everybody are the first and the last address of a range, at which all in it hear.
func everybody(cidr string) []string {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return nil
	}
	first := p.Masked().String()
	return []string{hostAddress(first, 0), hostAddress(first, 1<<(32-p.Bits())-1)}
}

func (cp *ControlPlane) guestConfig(w *world, i api.Instance, deny []string) (link.Config, error) {
	m := w.machines[i.ID]
	private, err := cp.Sealer.Open(m.HostKey, i.ID+"/hostkey")
	if err != nil {
		return link.Config{}, err
	}
	c := link.Config{InstanceID: i.ID, Hostname: orElse(m.Hostname, i.Name), HostKey: string(private), Rules: w.firewall(i), DenyOut: deny,
		MachineID: machineID(i.ID), UserData: i.Spec.UserData, RunUserData: m.UserData == "pending", Env: maps.Clone(i.Spec.Env), Metadata: w.metadata(i)}
	cidr := w.rangeOf(i)
	if w.by.networks[w.networkOf(i)].Spec.NoNAT {
		c.AllowOut = []string{cidr}
	}
	if i.Spec.Private {
		c.DenyIn = []string{hostAddress(cidr, 1)}
	}
	if k, ok := w.keys[i.Project+"/"+i.Spec.Key]; ok {
		c.AuthorizedKeys = []link.Key{{Name: k.Name, Line: k.Spec.PublicKey}}
	}
	return c, nil
}

// Where every machine is, as its metadata says.
const (
	region = "local"
	zone   = "local-a"
)

// metadata is what the service at 169.254.169.254 tells a machine of itself.
func (w *world) metadata(i api.Instance) link.Metadata {
	m := link.Metadata{Image: i.Spec.Image, Type: i.Spec.Type, Address: w.address(i), Project: i.Project, Region: region, Zone: zone,
		SecurityGroups: groupsOf(i), Tags: i.Spec.Tags, Spot: i.Spec.Spot, Reclaim: w.machines[i.ID].Reclaim}
	ssh := i.Status.SSH
	if o, looked := w.observed[i.ID]; looked {
		ssh, _ = w.reach(i, o)
	}
	if ssh != nil && !i.Spec.Private {
		m.PublicAddress = ssh.Host
	}
	return m
}

// machineID is what an instance has in /etc/machine-id: its own, though the disk may be another's copy.
func machineID(instance string) string {
	sum := sha256.Sum256([]byte("machine-id " + instance))
	return hex.EncodeToString(sum[:16])
}

// ensure opens the link of an instance, or tells it a new configuration. boot is another one after each start.
func (g *guests) ensure(ctx context.Context, attacher compute.Attacher, i api.Instance, read uint64, boot string, config link.Config) {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.open[i.ID]
	if one != nil && one.boot == boot {
		if one.take(read, config) {
			one.tell()
		}
		return
	}
	if one != nil {
		one.cancel()
	}
	ctx, cancel := context.WithCancel(ctx)
	one = &guest{id: i.ID, boot: boot, cancel: cancel, changed: make(chan struct{}, 1), meta: i.Meta, read: read, config: config}
	g.open[i.ID] = one
	g.wg.Go(func() { g.keep(ctx, attacher, one) })
}

// take keeps a configuration and reports whether it is another one. What was decided at boot stays, and what was read
// before the one that is there is not taken.
func (one *guest) take(read uint64, config link.Config) bool {
	one.mu.Lock()
	defer one.mu.Unlock()
	if read < one.read {
		return false
	}
	one.read = read
	config.RunUserData = one.config.RunUserData
	if reflect.DeepEqual(one.config, config) {
		return false
	}
	one.config = config
	return true
}

// tell has the link hand over the configuration.
func (one *guest) tell() {
	select {
	case one.changed <- struct{}{}:
	default:
	}
}

// drop closes the link of an instance.
func (g *guests) drop(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if one := g.open[id]; one != nil {
		one.cancel()
		delete(g.open, id)
	}
}

// close closes all links and waits for them. The machines go on.
func (g *guests) close() {
	for id := range g.states() {
		g.drop(id)
	}
	g.wg.Wait()
}

// keep holds a link open until ctx ends, dialling again where it breaks.
func (g *guests) keep(ctx context.Context, attacher compute.Attacher, one *guest) {
	for wait := 50 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		err := g.converse(ctx, attacher, one)
		if ctx.Err() != nil {
			return
		}
		one.set(func(s *guestState) { s.problem = fmt.Sprintf("its guest does not answer: %v", err) })
		g.cp.log.Debug("guest link lost", "instance", one.id, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func (one *guest) set(fn func(*guestState)) {
	one.mu.Lock()
	defer one.mu.Unlock()
	fn(&one.state)
}

// converse dials, configures, and then follows events and changes of the configuration.
func (g *guests) converse(ctx context.Context, attacher compute.Attacher, one *guest) error {
	rwc, err := attacher.Attach(ctx, one.id)
	if err != nil {
		return err
	}
	dialling, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client, err := link.Dial(dialling, rwc)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := g.configure(ctx, one, client); err != nil {
		return err
	}
	one.connect(client)
	defer one.connect(nil)
	cursor, err := g.cursor(one.id)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	events := client.Events(ctx, cursor)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return errors.New("the link broke")
			}
			err = g.heard(ctx, one, client, e)
		case <-one.changed:
			err = g.configure(ctx, one, client)
		case <-client.Done():
			err = errors.New("the link broke")
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

func (one *guest) connect(c *link.Client) {
	one.mu.Lock()
	defer one.mu.Unlock()
	one.client = c
}

func (g *guests) configure(ctx context.Context, one *guest, client *link.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := one.handOver(ctx, client); err != nil {
		return err
	}
	return g.observe(ctx, one, client)
}

func (one *guest) handOver(ctx context.Context, client *link.Client) error {
	one.order.Lock()
	defer one.order.Unlock()
	one.mu.Lock()
	config := one.config
	one.mu.Unlock()
	return client.Configure(ctx, config)
}

// promptly is how long a change of rules waits for machines to take it; those that are slower get it all the same.
const promptly = 2 * time.Second

// refresh hands over what changed without waiting for a pass, and returns when it is in force.
func (g *guests) refresh(ctx context.Context, w *world) {
	ctx, cancel := context.WithTimeout(ctx, promptly)
	defer cancel()
	deny := denied(w)
	var all sync.WaitGroup
	defer all.Wait()
	for _, i := range w.instances {
		g.mu.Lock()
		one := g.open[i.ID]
		g.mu.Unlock()
		if one == nil {
			continue
		}
		config, err := g.cp.guestConfig(w, i, deny)
		if err != nil || !one.take(w.number, config) { // an error is logged by the next pass
			continue
		}
		all.Go(func() { g.hurry(ctx, one) })
	}
}

// hurry hands over now; where that fails, the link does it when it can.
func (g *guests) hurry(ctx context.Context, one *guest) {
	one.mu.Lock()
	client := one.client
	one.mu.Unlock()
	if client == nil || one.handOver(ctx, client) != nil {
		one.tell()
	}
}

// observe reads the machine's state, stores how user data ended, and wakes the loop where something changed.
func (g *guests) observe(ctx context.Context, one *guest, client *link.Client) error {
	s, err := client.State(ctx)
	if err != nil {
		return err
	}
	if s.UserData == link.UserDataDone || s.UserData == link.UserDataFailed {
		if err := g.userDataEnded(one, s); err != nil {
			return err
		}
	}
	next := guestState{configured: s.Configured && s.Booted && s.SSH, firewall: s.Firewall, oomKills: s.OOMKills}
	one.mu.Lock()
	changed := one.state != next
	one.state = next
	one.mu.Unlock()
	if changed {
		g.cp.loop.wake()
	}
	return nil
}

// userDataEnded writes down that user data has run, once: it is the customer's work on the operating system.
func (g *guests) userDataEnded(one *guest, s link.State) error {
	return g.cp.Store.Update(func(tx *storage.Tx) error {
		m, err := machineTable.Get(tx, one.id)
		if err != nil || m.UserData != "pending" {
			return ignoreGone(err)
		}
		m.UserData, m.Exit, m.Note = s.UserData, s.UserDataExit, s.UserDataNote
		if err := machineTable.Put(tx, m); err != nil {
			return err
		}
		actor := api.Actor{Kind: api.Customer, Name: "user-data"}
		return g.cp.record(tx, actor, "instance", &one.meta, "user-data", userDataText(m))
	})
}

// heard acts on an event and remembers its place in the same commit, so that none is recorded twice.
func (g *guests) heard(ctx context.Context, one *guest, client *link.Client, e link.Event) error {
	err := g.cp.Store.Update(func(tx *storage.Tx) error {
		if err := cursorTable.Put(tx, cursor{ID: one.id, Cursor: e.Cursor}); err != nil {
			return err
		}
		switch e.Type {
		case link.EventSSHExec, link.EventSSHLine:
			return g.cp.recordSSH(tx, one, e)
		case link.EventBooted:
			return g.cp.record(tx, platform("guest"), "instance", &one.meta, "boot", "host key, firewall and boot scripts in place")
		case link.EventOOM:
			if err := killedForMemory(tx, one.id, e.Time); err != nil {
				return err
			}
			return g.cp.record(tx, platform("guest"), "instance", &one.meta, "oom", "the kernel killed "+processesText(e.Status)+" for want of memory")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return g.observe(ctx, one, client)
}

// killedForMemory notes when the kernel killed processes last.
func killedForMemory(tx *storage.Tx, id string, at time.Time) error {
	m, err := machineTable.Get(tx, id)
	if err != nil {
		return ignoreGone(err)
	}
	m.OOM = &at
	return machineTable.Put(tx, m)
}

// clip shortens a command for the record.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// cursor is where the events of an instance were read to.
type cursor struct {
	ID string `json:"id"`
	link.Cursor
}

func (g *guests) cursor(id string) (link.Cursor, error) {
	var c cursor
	err := g.cp.Store.View(func(tx *storage.Tx) (err error) {
		c, err = cursorTable.Get(tx, id)
		return ignoreGone(err)
	})
	return c.Cursor, err
}

// exec runs a command in an instance through its guest.
func (g *guests) exec(ctx context.Context, id string, cmd link.Command, s link.Stdio) (int, error) {
	g.mu.Lock()
	one := g.open[id]
	g.mu.Unlock()
	if one == nil {
		return 0, api.Errorf(api.Conflict, "cannot run a command: the instance is not running")
	}
	one.mu.Lock()
	client := one.client
	one.mu.Unlock()
	if client == nil {
		return 0, api.Errorf(api.Unavailable, "cannot run a command: the instance's guest does not answer yet")
	}
	return client.Exec(ctx, cmd, s)
}
