package computetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
)

// ability returns the engine as an A, or skips the test.
func ability[A any](t *testing.T, s *suite) A {
	t.Helper()
	a, is := s.Engine.(A)
	if !is {
		t.Skipf("the engine is no %T", *new(A))
	}
	return a
}

func networks(t *testing.T, s *suite) {
	ctx := t.Context()
	e := ability[compute.Networks](t, s)
	n := s.network(t, e, func(n *compute.Network) { n.Internal = true })
	for range 2 {
		ok(t, e.EnsureNetwork(ctx, n))
	}
	other := n
	other.Internal = false
	code(t, e.EnsureNetwork(ctx, other), api.Conflict, `cannot make network "`+n.ID+`": it exists with other settings (`+n.CIDR+`)`)
	other = n
	other.ID = n.ID + "-again"
	code(t, e.EnsureNetwork(ctx, other), api.Conflict, "")
	other.CIDR = "10.0.0.0/33"
	code(t, e.EnsureNetwork(ctx, other), api.Invalid, `cannot make network "`+other.ID+`": "10.0.0.0/33" is no IPv4 range as 10.20.0.0/24 (/8 to /29)`)
	s.listed(t, e, n)
	w := s.workload("w")
	w.Network = n.ID
	s.made(t, w)
	code(t, e.RemoveNetwork(ctx, n.ID), api.Conflict, `cannot remove network "`+n.ID+`": workload "w" is in it`)
	ok(t, s.Start(ctx, "w"))
	code(t, e.RemoveNetwork(ctx, n.ID), api.Conflict, `cannot remove network "`+n.ID+`": workload "w" is in it`)
	ok(t, s.Stop(ctx, "w", 0))
	code(t, e.RemoveNetwork(ctx, n.ID), api.Conflict, `cannot remove network "`+n.ID+`": workload "w" is in it`)
	ok(t, s.Remove(ctx, "w"))
	for range 2 {
		ok(t, e.RemoveNetwork(ctx, n.ID))
		s.listed(t, e)
	}
}

func (s *suite) listed(t *testing.T, e compute.Networks, want ...compute.Network) {
	t.Helper()
	all, err := e.ListNetworks(t.Context())
	ok(t, err)
	same(t, all, append([]compute.Network{}, want...))
}

// network makes a network in a free range; somebody else's may be in the way.
func (s *suite) network(t *testing.T, e compute.Networks, change func(*compute.Network)) compute.Network {
	t.Helper()
	const tries = 20
	var err error
	for range tries {
		n := s.Network(t)
		change(&n)
		if err = e.EnsureNetwork(t.Context(), n); err == nil {
			return n
		}
		code(t, err, api.Conflict, "")
	}
	t.Fatal(err)
	return compute.Network{}
}

// addresses: one that is asked for is the workload's alone and stays over stop and start; the others are of the pool.
func addresses(t *testing.T, s *suite) {
	ctx := t.Context()
	e := ability[compute.Networks](t, s)
	var fixed, pooled, gateway string
	n := s.network(t, e, func(n *compute.Network) {
		p, err := n.Prefix()
		ok(t, err)
		a := p.Addr().As4()
		at := func(i byte) string { b := a; b[3] += i; return netAddr(b) }
		gateway, fixed, pooled = at(1), at(5), at(8)
		n.Range = pooled + "/29"
	})
	w := s.workload("w")
	w.Network, w.Address, w.Aliases = n.ID, fixed, []string{"db"}
	s.made(t, w)
	same(t, s.one(t, "w").Address, fixed)
	other := s.workload("x")
	other.Network, other.Address = n.ID, fixed
	code(t, s.Create(ctx, other), api.Conflict, `cannot create "x": address `+fixed+` is in use by "w"`)
	other.Address = gateway
	code(t, s.Create(ctx, other), api.Invalid, `cannot use address "`+gateway+`": `+n.CIDR+` keeps its first two and its last`)
	other.Address = "192.0.2.1"
	code(t, s.Create(ctx, other), api.Invalid, `cannot use address "192.0.2.1": it is not in `+n.CIDR)
	other.Address = ""
	s.started(t, other)
	same(t, s.one(t, "x").Address, pooled)
	for range 2 {
		ok(t, s.Start(ctx, "w"))
		same(t, s.one(t, "w").Address, fixed)
		ok(t, s.Stop(ctx, "w", 0))
		same(t, s.one(t, "w").Address, fixed)
	}
	ok(t, s.Remove(ctx, "w"))
	other = s.workload("y")
	other.Network, other.Address = n.ID, fixed
	s.started(t, other)
	same(t, s.one(t, "y").Address, fixed)
}

func volumes(t *testing.T, s *suite) {
	ctx := t.Context()
	e := ability[compute.Volumes](t, s)
	v := compute.Volume{ID: "vol-1", Project: "default", Name: "data"}
	for range 2 {
		ok(t, e.EnsureVolume(ctx, v))
	}
	listed := func(want ...compute.Volume) {
		t.Helper()
		all, err := e.ListVolumes(ctx)
		ok(t, err)
		same(t, all, append([]compute.Volume{}, want...))
	}
	listed(v)
	if _, err := e.VolumeBytes(ctx, v.ID); err != nil {
		t.Error(err)
	}
	_, err := e.VolumeBytes(ctx, "vol-none")
	code(t, err, api.NotFound, "")
	code(t, e.EnsureVolume(ctx, compute.Volume{ID: "../v"}), api.Invalid, "")
	w := s.workload("w")
	w.Mounts = []compute.Mount{{Volume: v.ID, Path: "/data"}}
	s.started(t, w)
	code(t, e.RemoveVolume(ctx, v.ID), api.Conflict, "")
	ok(t, s.Remove(ctx, "w"))
	listed(v)
	for range 2 {
		ok(t, e.RemoveVolume(ctx, v.ID))
		listed()
	}
}

func images(t *testing.T, s *suite) {
	e := ability[compute.Images](t, s)
	img, err := e.Image(t.Context(), s.Image, 0)
	ok(t, err)
	if !compute.IsImageID(img.ID) {
		t.Errorf("image id %q", img.ID)
	}
	byID, err := e.Image(t.Context(), img.ID, 0)
	ok(t, err)
	same(t, byID.ID, img.ID)
	_, err = e.Image(t.Context(), s.Missing, 0)
	code(t, err, api.NotFound, "")
	_, err = e.Image(t.Context(), "UPPER case", 0)
	code(t, err, api.Invalid, `cannot use image "UPPER case": not a reference as debian:bookworm-slim or host:5000/name:tag`)
	ok(t, e.RemoveImage(t.Context(), s.Missing))
}

func removeAll(t *testing.T, s *suite) {
	ctx := t.Context()
	e := ability[compute.Remover](t, s)
	other := *s
	other.cloud = randomID("cloud")
	other.Engine = s.connect(t, other.cloud)
	other.started(t, other.workload("w"))
	w := s.workload("w")
	if n, is := s.Engine.(compute.Networks); is {
		w.Network = s.network(t, n, func(*compute.Network) {}).ID
	}
	if v, is := s.Engine.(compute.Volumes); is {
		ok(t, v.EnsureVolume(ctx, compute.Volume{ID: "vol-1"}))
		ok(t, other.Engine.(compute.Volumes).EnsureVolume(ctx, compute.Volume{ID: "vol-1"}))
		w.Mounts = []compute.Mount{{Volume: "vol-1", Path: "/data"}}
	}
	s.started(t, w)
	s.made(t, s.workload("x"))
	for range 2 {
		ok(t, e.RemoveAll(ctx))
		same(t, s.states(t), []string{})
	}
	if n, is := s.Engine.(compute.Networks); is {
		s.listed(t, n)
	}
	if v, is := s.Engine.(compute.Volumes); is {
		all, err := v.ListVolumes(ctx)
		ok(t, err)
		same(t, all, []compute.Volume{})
		all, err = other.Engine.(compute.Volumes).ListVolumes(ctx)
		ok(t, err)
		same(t, len(all), 1)
	}
	same(t, other.states(t), []string{"w=running"})
	s.started(t, s.workload("w"))
}

func stats(t *testing.T, s *suite) {
	e := ability[compute.Stater](t, s)
	s.busyMade(t, "w")
	eventually(t, "a busy workload has used 20 ms of CPU", func() bool {
		st, err := e.Stats(t.Context(), "w")
		ok(t, err)
		return st.CPUNanos > uint64(20*time.Millisecond) && st.MemoryBytes > 0 && st.Pids > 0
	})
	_, err := e.Stats(t.Context(), "none")
	code(t, err, api.NotFound, "")
	ok(t, s.Stop(t.Context(), "w", 0))
	st, err := e.Stats(t.Context(), "w")
	ok(t, err)
	same(t, st, compute.Stats{})
}

// busyMade starts a workload that uses CPU.
func (s *suite) busyMade(t *testing.T, id string) {
	t.Helper()
	w := s.workload(id)
	if s.Load == nil {
		w.Command = s.Shell("while :; do :; done")
	}
	s.started(t, w)
	if s.Load != nil {
		s.Load(t, s.cloud, id)
	}
}

// statsAtOnce: whoever measures all workloads every few seconds does not wait for each in turn.
func statsAtOnce(t *testing.T, s *suite) {
	e := ability[compute.Stater](t, s)
	const workloads, rounds = 5, 4
	for i := range workloads {
		s.started(t, s.workload(fmt.Sprint("w", i)))
	}
	begin := time.Now()
	ok(t, errors.Join(atOnce(workloads*rounds, func(i int) error {
		_, err := e.Stats(t.Context(), fmt.Sprint("w", i%workloads))
		return err
	})...))
	if took := time.Since(begin); took > patience/2 {
		t.Errorf("%d measurements took %v", workloads*rounds, took)
	}
}

// networkAgain: a workload whose network was removed and made again starts there, with its address.
func networkAgain(t *testing.T, s *suite) {
	ctx := t.Context()
	e := ability[compute.Networks](t, s)
	n := s.network(t, e, func(*compute.Network) {})
	p, err := n.Prefix()
	ok(t, err)
	w := s.workload("w")
	w.Network, w.Address, w.Aliases = n.ID, compute.Gateway(p).Next().Next().String(), []string{"db"}
	s.started(t, w)
	ok(t, s.Stop(ctx, "w", 0))
	s.DropNetwork(t, s.cloud, n.ID)
	code(t, s.Start(ctx, "w"), api.NotFound, "")
	ok(t, e.EnsureNetwork(ctx, n))
	for range 2 {
		ok(t, s.Start(ctx, "w"))
		same(t, s.one(t, "w").Address, w.Address)
		ok(t, s.Stop(ctx, "w", 0))
	}
	if !s.Real {
		return
	}
	ok(t, s.Start(ctx, "w"))
	other := s.workload("x")
	other.Network = n.ID
	same(t, s.says(t, other, "ping -c1 -W5 db >/dev/null 2>&1; nslookup db 2>/dev/null | grep -c "+w.Address), "1\n")
	ok(t, s.Create(ctx, w))
}

// joins puts a running workload into a further network and takes it out again, and sees what is left of that when the network goes.
func joins(t *testing.T, s *suite) {
	ctx := t.Context()
	e, j := ability[compute.Networks](t, s), ability[compute.Joiner](t, s)
	own := s.network(t, e, func(n *compute.Network) { n.ID = "net-" + n.ID })
	app := s.network(t, e, func(n *compute.Network) { n.ID = "netapp-" + n.ID })
	w := s.workload("w")
	w.Network, w.Aliases = own.ID, []string{"data.db.internal"}
	s.started(t, w)
	address := s.one(t, "w").Address
	for range 2 {
		ok(t, j.Join(ctx, "w", app.ID, w.Aliases))
		same(t, s.one(t, "w").Joined, []string{app.ID})
		same(t, s.one(t, "w").Address, address)
	}
	ok(t, s.Create(ctx, w))
	code(t, e.RemoveNetwork(ctx, app.ID), api.Conflict, `cannot remove network "`+app.ID+`": workload "w" is in it`)
	code(t, j.Leave(ctx, "w", own.ID), api.Conflict, `cannot take "w" out of network "`+own.ID+`": it was made in it`)
	ok(t, j.Join(ctx, "w", own.ID, nil))
	code(t, j.Join(ctx, "w", app.ID+"x", nil), api.NotFound, "")
	code(t, j.Join(ctx, "nobody", app.ID, nil), api.NotFound, "")
	s.joinedName(t, app)
	ok(t, s.Stop(ctx, "w", 0))
	same(t, s.one(t, "w").Joined, []string{app.ID})
	code(t, e.RemoveNetwork(ctx, app.ID), api.Conflict, "")
	ok(t, s.Start(ctx, "w"))
	same(t, s.one(t, "w").Joined, []string{app.ID})
	for range 2 {
		ok(t, j.Leave(ctx, "w", app.ID))
		same(t, len(s.one(t, "w").Joined), 0)
	}
	ok(t, j.Leave(ctx, "nobody", app.ID))
	if s.Real {
		ok(t, s.Remove(ctx, "near"))
	}
	ok(t, s.Stop(ctx, "w", 0))
	ok(t, j.Join(ctx, "w", app.ID, w.Aliases))
	s.DropNetwork(t, s.cloud, app.ID)
	ok(t, s.Start(ctx, "w"))
	same(t, len(s.one(t, "w").Joined), 0)
	same(t, s.one(t, "w").Address, address)
}

// joinedName finds workload w by its name from a workload that is in one network alone, and not from elsewhere.
func (s *suite) joinedName(t *testing.T, app compute.Network) {
	if !s.Real {
		return
	}
	near := s.workload("near")
	near.Network = app.ID
	same(t, s.says(t, near, "nslookup data.db.internal >/dev/null 2>&1; echo $?"), "0\n")
	far := s.workload("far")
	far.Network = s.network(t, ability[compute.Networks](t, s), func(*compute.Network) {}).ID
	same(t, s.says(t, far, "nslookup data.db.internal >/dev/null 2>&1; echo $?"), "1\n")
}

// bounded is the test's context with an end, for what would wait for ever if it were wrong.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
