package controlplane

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/guest/cloudconfig"
	"nuage/compute/images"
	"nuage/storage"
)

const defaultImage = "debian-12"

// instances adds Power to the verbs of every noun.
type instances struct {
	resource[api.Instance, api.InstanceSpec]
}

func (cp *ControlPlane) instances() resource[api.Instance, api.InstanceSpec] {
	return resource[api.Instance, api.InstanceSpec]{
		cp: cp, noun: "instance", prefix: "i", table: instanceTable,
		status: func(i *api.Instance) *api.Status { return &i.Status.Status },
		spec:   func(i *api.Instance) *api.InstanceSpec { return &i.Spec },
		check:  cp.checkInstance,
		admit:  cp.admitInstance,
		retire: func(*storage.Tx, *api.Instance) (bool, error) { return false, nil },
		verb:   instanceVerb,
	}
}

// Power changes what should run.
func (r instances) Power(ctx context.Context, project, name string, action api.PowerAction) (api.Instance, error) {
	old, err := r.Get(ctx, project, name)
	if err != nil {
		return old, err
	}
	next := old
	switch action {
	case api.PowerStart:
		next.Spec.Stopped = false
	case api.PowerStop:
		next.Spec.Stopped = true
	case api.PowerReboot:
		next.Spec.Stopped = false
		next.Spec.Boot++
	default:
		return old, api.Errorf(api.Invalid, "cannot %q an instance: there are start, stop and reboot", action)
	}
	return r.change(ctx, old, next, 0)
}

func (cp *ControlPlane) checkInstance(ctx context.Context, old, next *api.Instance) error {
	s := &next.Spec
	s.Image = orElse(s.Image, defaultImage)
	s.Type = orElse(s.Type, "small")
	s.Network = orElse(s.Network, defaultNetwork)
	if _, err := api.SizeOf(s.Type); err != nil {
		return err
	}
	if err := checkUserData(s.UserData); err != nil {
		return err
	}
	if err := checkEnv(s.Env); err != nil {
		return err
	}
	if err := checkMounts(s); err != nil {
		return err
	}
	if old == nil {
		return cp.checkImage(ctx, next.Project, s.Image)
	}
	return fixedInstance(old.Spec, next.Spec)
}

// checkUserData refuses what no machine could run: user data is a script or a cloud-config.
func checkUserData(text string) error {
	switch {
	case len(text) > cloudconfig.MaxSize:
		return api.Errorf(api.Invalid, "cannot use user data of %d bytes: 64 KiB are the most", len(text))
	case cloudconfig.Is(text):
		_, err := cloudconfig.Parse([]byte(text))
		return err
	case text != "" && !strings.HasPrefix(text, "#!"):
		return api.Errorf(api.Invalid, "cannot use user data that is no shell script or cloud-config: its first line must name the interpreter, as #!/bin/sh, or be #cloud-config")
	}
	return nil
}

// fixedInstance refuses changes of what only a new machine can have.
func fixedInstance(old, next api.InstanceSpec) error {
	for field, changed := range map[string]bool{
		"image": old.Image != next.Image, "key": old.Key != next.Key, "userData": old.UserData != next.UserData, "env": !same(old.Env, next.Env),
		"network": orElse(old.Network, defaultNetwork) != next.Network, "spot": old.Spot != next.Spot,
	} {
		if changed {
			return api.Errorf(api.Conflict, "cannot change %s of an instance that exists: create another one", field)
		}
	}
	return nil
}

// checkEnv refuses names that no shell could use.
func checkEnv(env map[string]string) error {
	for name, value := range env {
		if !envName(name) || strings.ContainsRune(value, 0) {
			return api.Errorf(api.Invalid, "cannot set %q in the environment: names have A-Z, a-z, 0-9 and _, values no zero byte", name)
		}
	}
	return nil
}

func envName(name string) bool {
	for i, r := range name {
		letter := r == '_' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// imageRef turns a name of the catalog into what the engine knows it by.
func imageRef(name string) string {
	if known, ok := images.Lookup(name); ok {
		return known.Ref
	}
	return name
}

// findImage asks the engine for an image of the catalog or a registry. Invalid: the name is one that the cloud gives itself.
func (cp *ControlPlane) findImage(ctx context.Context, name string) (compute.Image, error) {
	engine, ok := cp.Engine.(compute.Images)
	if !ok {
		return compute.Image{ID: imageRef(name)}, nil
	}
	ref := imageRef(name)
	if err := checkOutside(ref); err != nil {
		return compute.Image{}, err
	}
	known, listed := images.Lookup(name)
	ours := strings.HasPrefix(ref, images.LocalPrefix)
	wait := 20 * time.Second
	if ours {
		wait = 0 // made on this machine: a registry may have something else by that name
	}
	image, err := engine.Image(ctx, ref, wait)
	switch {
	case errors.Is(err, api.NotFound) && ours:
		return image, api.Errorf(api.Unavailable, "cannot use image %q: it has not been made on this machine; run `nuage doctor --fix` or `make engine`", name)
	case errors.Is(err, api.NotFound) && listed && !known.Made():
		return image, api.Errorf(api.Unavailable, "cannot use image %q: it comes from a registry, and none could be reached (%v)", name, err)
	}
	return image, err
}

// instanceRefs refuses keys and security groups that are not there.
func instanceRefs(tx *storage.Tx, project string, s api.InstanceSpec) error {
	if s.Key != "" {
		if _, err := keyTable.GetBy(tx, "name", project+"/"+s.Key); err != nil {
			return api.Errorf(api.NotFound, "cannot use key %q: project %q has no such key", s.Key, project)
		}
	}
	for _, g := range s.SecurityGroups {
		if _, err := groupTable.GetBy(tx, "name", project+"/"+g); err != nil {
			return api.Errorf(api.NotFound, "cannot use security group %q: project %q has no such group", g, project)
		}
	}
	return nil
}

func (cp *ControlPlane) admitInstance(tx *storage.Tx, _ api.Actor, old, next *api.Instance) error {
	if err := instanceRefs(tx, next.Project, next.Spec); err != nil {
		return err
	}
	if err := admitInstanceAmount(tx, old, next); err != nil {
		return err
	}
	if old != nil {
		return admitRemount(tx, old, next)
	}
	own, err := admitOwnImage(tx, next)
	if err := errors.Join(err, admitMounts(tx, next)); err != nil {
		return err
	}
	return cp.addMachine(tx, next, own)
}

// addMachine gives a new instance its address and its host key. own is the image of the project it is made from, or "".
func (cp *ControlPlane) addMachine(tx *storage.Tx, i *api.Instance, own string) error {
	network, host, err := cp.place(tx, i)
	if err != nil {
		return err
	}
	private, line, err := newHostKey(i.Name)
	if err != nil {
		return err
	}
	sealed := cp.Sealer.Seal(private, i.ID+"/hostkey")
	m := machine{ID: i.ID, Project: i.Project, Network: network, Host: host, HostKey: sealed, HostKeyLine: line, From: own, UserData: "none", Hostname: hostnameIn(i.Spec.UserData)}
	if i.Spec.UserData != "" {
		m.UserData = "pending"
	}
	i.Status.UserData = "none"
	return machineTable.Insert(tx, m)
}

// hostnameIn is what a cloud-config calls its machine, "" where it does not: only the engine can name a machine, when it
// makes it.
func hostnameIn(userData string) string {
	if !cloudconfig.Is(userData) {
		return ""
	}
	c, err := cloudconfig.Parse([]byte(userData))
	if err != nil {
		return "" // refused before
	}
	return c.Hostname
}

// place gives a new instance a number in its network. network is as machines have it: "" for the default one.
func (cp *ControlPlane) place(tx *storage.Tx, i *api.Instance) (network string, host int, err error) {
	if i.Spec.Network == defaultNetwork {
		host, err = cp.freeHost(tx, i.Project)
		return "", host, err
	}
	n, err := networkTable.GetBy(tx, "name", i.Project+"/"+i.Spec.Network)
	switch {
	case errors.Is(err, api.NotFound):
		return "", 0, api.Errorf(api.NotFound, "cannot use network %q: project %q has no such network", i.Spec.Network, i.Project)
	case err != nil:
		return "", 0, err
	case n.DeletedAt != nil:
		return "", 0, api.Errorf(api.Conflict, "cannot use network %q: it is being deleted", n.Name)
	}
	host, err = freeHostIn(tx, n)
	return n.ID, host, err
}

func instanceVerb(old, next *api.Instance) (verb, detail string) {
	switch {
	case old == nil:
		return "create", fmt.Sprintf("image %s, type %s", next.Spec.Image, next.Spec.Type)
	case old.Spec.Boot != next.Spec.Boot:
		return "reboot", ""
	case old.Spec.Stopped != next.Spec.Stopped && next.Spec.Stopped:
		return "stop", ""
	case old.Spec.Stopped != next.Spec.Stopped:
		return "start", ""
	case old.Spec.Type != next.Spec.Type:
		return "resize", old.Spec.Type + " to " + next.Spec.Type
	}
	return "update", ""
}

// planInstance returns the one workload an instance is.
func (w *world) planInstance(i api.Instance) []compute.Workload {
	if i.DeletedAt != nil || w.damaged[i.ID] {
		return nil
	}
	size, err := api.SizeOf(i.Spec.Type)
	if err != nil {
		return nil
	}
	return []compute.Workload{{
		ID: i.ID, Owner: i.ID, Kind: compute.KindInstance, Project: i.Project, Name: i.Name, Generation: i.Generation,
		Image: w.imageOf(i), Mounts: w.planMounts(i), Env: i.Spec.Env, Hostname: orElse(w.machines[i.ID].Hostname, i.Name), Aliases: []string{i.Name},
		Network: w.networkOf(i), Address: w.address(i), Ports: []int{22}, Guest: compute.GuestMachine, Privileges: true,
		Limits:  compute.Limits{MilliCPU: size.MilliCPU, MemoryBytes: size.MemoryBytes, Pids: 2048},
		Running: !i.Spec.Stopped,
	}}
}

// address is the private address of an instance.
func (w *world) address(i api.Instance) string {
	return hostAddress(w.rangeOf(i), w.machines[i.ID].Host)
}

// instanceStatus says where an instance is, from what the engine and the guest say.
func (w *world) instanceStatus(i api.Instance) api.InstanceStatus {
	s := i.Status
	s.Status.Generation = i.Generation
	s.Address = w.address(i)
	s.HostKey = w.machines[i.ID].HostKeyLine
	s.Restarts = w.tracks[i.ID].Restarts
	s.Reclaim, s.OOMKills = w.machines[i.ID].Reclaim, w.guests[i.ID].oomKills
	o, there := w.observed[i.ID]
	s.SSH, s.Ports, s.Public = nil, nil, !i.Spec.Private
	if there && o.State == compute.StateRunning && s.Public {
		s.SSH, s.Ports = w.reach(i, o)
	}
	s.Phase, s.Reason = w.instancePhase(i, o, there, &s)
	if s.Reclaim != nil && i.DeletedAt == nil {
		s.Reason = noticed(*s.Reclaim, s.Reason)
	}
	return s
}

func (w *world) instancePhase(i api.Instance, o compute.Observed, there bool, s *api.InstanceStatus) (api.Phase, string) {
	trouble, troubled := w.trouble[i.ID]
	running := there && o.State == compute.StateRunning
	switch {
	case i.DeletedAt != nil:
		return api.Deleting, w.leavingText(i)
	case troubled && running:
		return changing(trouble)
	case troubled && trouble.final():
		return api.Failed, trouble.reason()
	case troubled:
		return api.Pending, trouble.reason()
	case !there:
		return w.unmade(i)
	case w.remounting(i, o):
		return api.Updating, w.rebaseReason(w.planInstance(i)[0], o)
	case i.Spec.Stopped && (running || w.inFlight[i.ID]): // what is under way may be its start
		return api.Stopping, "shutting down"
	case i.Spec.Stopped:
		return api.Stopped, "stopped by its owner"
	case !running:
		return w.tracks[i.ID].down(o)
	case i.Spec.Boot != w.machines[i.ID].Boot:
		return api.Updating, "rebooting"
	case resizing(w.planInstance(i), o):
		return api.Updating, "changing its limits"
	case !w.guestsPossible:
		return api.Running, "simulated: no guest, so no SSH"
	}
	return w.guestPhase(i, s)
}

// unmade is the phase of an instance without a container.
func (w *world) unmade(i api.Instance) (api.Phase, string) {
	n := w.by.networks[w.networkOf(i)]
	if n.Status.Phase == api.Failed {
		return api.Failed, n.Status.Reason
	}
	for _, l := range w.planInstance(i) {
		if why := w.lacks(l, create); why != "" {
			return api.Pending, why
		}
	}
	if m := w.machines[i.ID]; m.Rebase != "" {
		return api.Updating, m.Rebase
	}
	return api.Pending, w.making(n.ID, "making the container")
}

// changing is the phase of something that runs and can't be changed as asked.
func changing(t trouble) (api.Phase, string) {
	if t.final() {
		return api.Degraded, t.reason()
	}
	return api.Updating, t.reason()
}

// resizing tells that a workload has other limits than planned.
func resizing(plan []compute.Workload, o compute.Observed) bool {
	return len(plan) == 1 && plan[0].Limits != o.Limits
}

// guestPhase is the phase of a running instance as its guest reports it.
func (w *world) guestPhase(i api.Instance, s *api.InstanceStatus) (api.Phase, string) {
	m, g := w.machines[i.ID], w.guests[i.ID]
	s.UserData = m.UserData
	switch {
	case !g.configured:
		return api.Pending, orElse(g.problem, "booting")
	case m.UserData == "pending":
		s.UserData = "running"
		return api.Pending, "running user data"
	case g.firewall != "" && g.firewall != "ok":
		return api.Degraded, "its firewall could not be loaded: " + g.firewall
	}
	return api.Running, w.runningText(i)
}

// reach says how a program on the laptop reaches the machine.
func (w *world) reach(i api.Instance, o compute.Observed) (*api.Endpoint, []api.HostPort) {
	ssh, ok := o.Endpoints[22]
	if !ok {
		return nil, nil
	}
	var ports []api.HostPort
	for _, p := range w.openPorts(i) {
		if e, ok := o.Endpoints[p]; ok {
			ports = append(ports, api.HostPort{Port: p, Host: e.Host, HostPort: e.Port})
		} else if w.routes {
			ports = append(ports, api.HostPort{Port: p, Host: ssh.Host, HostPort: p})
		}
	}
	return &api.Endpoint{Host: ssh.Host, Port: ssh.Port}, ports
}
