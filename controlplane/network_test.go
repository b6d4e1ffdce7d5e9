package controlplane

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

func TestNetworkRanges(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		for i, c := range []struct{ cidr, want string }{
			{"10.20.0.7/24", ""},
			{"172.16.0.0/16", ""},
			{"192.168.1.16/28", ""},
			{"100.64.0.0/20", ""},
			{"", `cannot use "" as the range of network "n4": give an IPv4 range of /16 to /28, as 10.20.0.0/24`},
			{"10.0.0.0/15", `cannot use "10.0.0.0/15" as the range of network "n5": give an IPv4 range of /16 to /28, as 10.20.0.0/24`},
			{"10.9.0.0/29", `cannot use "10.9.0.0/29" as the range of network "n6": give an IPv4 range of /16 to /28, as 10.20.0.0/24`},
			{"fd00::/28", `cannot use "fd00::/28" as the range of network "n7": give an IPv4 range of /16 to /28, as 10.20.0.0/24`},
			{"8.8.8.0/24", `cannot use 8.8.8.0/24 as the range of network "n8": it is not private; take one from 10.0.0.0/9, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10`},
			{"10.200.0.0/24", `cannot use 10.200.0.0/24 as the range of network "n9": the cloud gives 10.128.0.0/9 to default networks; take another one, as 10.20.0.0/24`},
			{"10.20.0.128/25", `cannot use 10.20.0.128/25 as the range of network "n10": network "n0" of project "default" has 10.20.0.0/24`},
		} {
			n, err := p.cloud.Networks.Create(asCustomer(), "default", fmt.Sprint("n", i), api.NetworkSpec{CIDR: c.cidr})
			if textOf(err) != c.want {
				t.Errorf("range %q answers %v, want %q", c.cidr, err, c.want)
			}
			if i == 0 && n.Spec.CIDR != "10.20.0.0/24" {
				t.Errorf("its range is %s", n.Spec.CIDR)
			}
		}
		_, err := p.cloud.Networks.Update(asCustomer(), "default", "n0", api.NetworkSpec{CIDR: "10.21.0.0/24"}, 0)
		if want := `cannot change the range of network "n0": addresses in it are given out; create another one`; textOf(err) != want {
			t.Errorf("another range answers %v, want %q", err, want)
		}
	})
}

func TestNetworksInUseStay(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		c, ctx := p.cloud, asCustomer()
		_, err := c.Networks.Create(ctx, "default", "back", api.NetworkSpec{CIDR: "10.20.0.0/24"})
		must(t, err)
		_, err = c.Instances.Create(ctx, "default", "i", api.InstanceSpec{Network: "back"})
		must(t, err)
		for name, want := range map[string]string{
			"default": `cannot delete network "default": it goes with project "default"`,
			"back":    `cannot delete network "back": instance "i" is in it; delete that first`,
			"nobody":  `cannot find network "nobody" in project "default"`,
		} {
			if err := c.Networks.Delete(ctx, "default", name, 0); textOf(err) != want {
				t.Errorf("deleting %s answers %v, want %q", name, err, want)
			}
		}
		_, err = c.Instances.Create(ctx, "default", "j", api.InstanceSpec{Network: "nobody"})
		if want := `cannot use network "nobody": project "default" has no such network`; textOf(err) != want {
			t.Errorf("a network that is not there answers %v, want %q", err, want)
		}
		_, err = c.Instances.Update(ctx, "default", "i", api.InstanceSpec{}, 0)
		if want := `cannot change network of an instance that exists: create another one`; textOf(err) != want {
			t.Errorf("a move answers %v, want %q", err, want)
		}
	})
}

// TestAddressesOfASmallNetwork: all but the network's, the gateway's and the last are given out, and again when they are free.
func TestAddressesOfASmallNetwork(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		c, ctx := s.cloud, asCustomer()
		_, err := c.Networks.Create(ctx, "default", "small", api.NetworkSpec{CIDR: "10.20.0.16/28"})
		must(t, err)
		create := func(n int) (api.Instance, error) {
			return c.Instances.Create(ctx, "default", fmt.Sprint("i", n), api.InstanceSpec{Type: "nano", Network: "small"})
		}
		for n := range 13 {
			_, err := create(n)
			must(t, err)
		}
		_, err = create(13)
		if want := `cannot give an address: network "small" of project "default" has no free one left`; textOf(err) != want {
			t.Errorf("the 14th answers %v, want %q", err, want)
		}
		time.Sleep(time.Minute)
		for n, want := range map[int]string{0: "10.20.0.18", 12: "10.20.0.30"} {
			if i, err := c.Instances.Get(ctx, "default", fmt.Sprint("i", n)); err != nil || i.Status.Address != want || i.Status.Phase != api.Running {
				t.Errorf("i%d is %s at %s, want running at %s: %v", n, i.Status.Phase, i.Status.Address, want, err)
			}
		}
		must(t, c.Instances.Delete(ctx, "default", "i5", 0))
		time.Sleep(time.Minute)
		i, err := create(13)
		must(t, err)
		if i, err = c.Instances.Wait(ctx, "default", i.Name, time.Minute); err != nil || i.Status.Address != "10.20.0.23" {
			t.Errorf("the next has %s, want the free 10.20.0.23: %v", i.Status.Address, err)
		}
		n, err := c.Networks.Get(ctx, "default", "small")
		if err != nil || n.Status.Instances != 13 || n.Status.Gateway != "10.20.0.17" {
			t.Errorf("the network says %+v: %v", n.Status, err)
		}
		if err := converged(s); err != nil {
			t.Error(err)
		}
	})
}

// TestOwnRangeInUse: a range that its owner chose stays; the network says what is wrong, and so does who waits for it.
func TestOwnRangeInUse(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		c, ctx := s.cloud, asCustomer()
		must(t, s.neighbour().EnsureNetwork(t.Context(), compute.Network{ID: "theirs", CIDR: "10.20.0.0/16"}))
		_, err := c.Networks.Create(ctx, "default", "back", api.NetworkSpec{CIDR: "10.20.0.0/24"})
		must(t, err)
		_, err = c.Instances.Create(ctx, "default", "x", api.InstanceSpec{Type: "nano", Network: "back"})
		must(t, err)
		n, err := c.Networks.Wait(ctx, "default", "back", time.Minute)
		must(t, err)
		if want := `its range 10.20.0.0/24 overlaps 10.20.0.0/16 of network "theirs"`; n.Status.Phase != api.Failed || !strings.HasSuffix(n.Status.Reason, want) {
			t.Errorf("the network is %s (%s), want failed because %s", n.Status.Phase, n.Status.Reason, want)
		}
		s.within(t, "failed ("+n.Status.Reason+")")
		must(t, s.neighbour().RemoveNetwork(t.Context(), "theirs"))
		s.within(t, simulated)
		must(t, c.Instances.Delete(ctx, "default", "x", 0))
		must(t, c.Networks.Delete(ctx, "default", "back", 0)) // waits for the instance
		time.Sleep(time.Minute)
		if err := converged(s); err != nil {
			t.Error(err)
		}
		if list, err := s.sim.ListNetworks(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("in the engine are the networks %+v: %v", list, err)
		}
	})
}

// TestWhatGuestsAreToldOfNetworks: the way out, the laptop's addresses, and who may come in.
func TestWhatGuestsAreToldOfNetworks(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		c, ctx := p.cloud, asCustomer()
		_, err := c.Projects.Create(ctx, "lab", api.ProjectSpec{})
		must(t, err)
		_, err = c.Networks.Create(ctx, "lab", "back", api.NetworkSpec{CIDR: "10.20.0.0/24"})
		must(t, err)
		for name, spec := range map[string]api.InstanceSpec{"open": {}, "back": {Network: "back"}, "private": {Network: "back", Private: true}} {
			_, err := c.Instances.Create(ctx, "lab", name, spec)
			must(t, err)
		}
		told := func(name string) (allow, in, deny []string, id string) {
			w, err := p.read()
			must(t, err)
			config, err := p.guestConfig(w, w.by.instances["lab/"+name], denied(w))
			must(t, err)
			return config.AllowOut, config.DenyIn, config.DenyOut, config.MachineID
		}
		allow, in, deny, one := told("back")
		if allow != nil || in != nil {
			t.Errorf("a machine in a network with a way out is held to %v and keeps out %v", allow, in)
		}
		w, err := p.read()
		must(t, err)
		for _, gateway := range []string{"10.20.0.1", hostAddress(w.projects["default"].Status.CIDR, 1), hostAddress(w.projects["lab"].Status.CIDR, 1),
			"10.20.0.255", "255.255.255.255", "224.0.0.0/4"} {
			if !slices.Contains(deny, gateway) {
				t.Errorf("%s is not among what is denied: %v", gateway, deny)
			}
		}
		if _, in, _, two := told("private"); !slices.Equal(in, []string{"10.20.0.1"}) || two == one || len(two) != 32 {
			t.Errorf("a private machine keeps out %v; its id is %s, that of another %s", in, two, one)
		}
		_, err = c.Networks.Update(ctx, "lab", "back", api.NetworkSpec{NoNAT: true}, 0)
		must(t, err)
		_, err = c.Networks.Update(ctx, "lab", "default", api.NetworkSpec{NoNAT: true}, 0)
		must(t, err)
		if allow, _, _, _ := told("back"); !slices.Equal(allow, []string{"10.20.0.0/24"}) {
			t.Errorf("without a way out it is held to %v", allow)
		}
		if allow, _, _, _ := told("open"); !slices.Equal(allow, []string{w.projects["lab"].Status.CIDR}) {
			t.Errorf("in the default network without a way out it is held to %v", allow)
		}
	})
}

// TestOldHomesGetTheirDefaultNetworks, with the id that the engine knows them by.
func TestOldHomesGetTheirDefaultNetworks(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		time.Sleep(time.Second)
		must(t, s.Store.Update(func(tx *storage.Tx) error { return dropAll(tx, networkTable, "default") }))
		must(t, s.restart(true))
		time.Sleep(time.Minute)
		n, err := s.cloud.Networks.Get(asCustomer(), "default", "default")
		must(t, err)
		p, err := s.cloud.Projects.Get(asCustomer(), "default")
		must(t, err)
		if n.ID != networkID(p) || n.Spec.CIDR != p.Status.CIDR || n.Status.Phase != api.Running {
			t.Errorf("project %+v has the network %+v", p, n)
		}
		if err := converged(s); err != nil {
			t.Error(err)
		}
	})
}

// TestDamagedNetworkIsLeftAlone, with who is in it.
func TestDamagedNetworkIsLeftAlone(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		n, err := s.cloud.Networks.Create(asCustomer(), "default", "back", api.NetworkSpec{CIDR: "10.20.0.0/24"})
		must(t, err)
		s.make(t, api.InstanceSpec{Type: "nano", Network: "back"})
		time.Sleep(time.Minute)
		s.damage(t, networkTable, n.ID, "default/back")
		must(t, s.restart(false))
		time.Sleep(time.Minute)
		list, err := s.sim.List(t.Context())
		must(t, err)
		networks, err := s.sim.ListNetworks(t.Context())
		must(t, err)
		if len(list) != 1 || list[0].State != compute.StateRunning || list[0].Address != "10.20.0.2" || len(networks) != 2 {
			t.Errorf("there are %+v in %+v", list, networks)
		}
	})
}

// damage makes a record one that does not decode.
func (s *scene) damage(t *testing.T, table interface{ Name() string }, id, name string) {
	t.Helper()
	options := []storage.Index[string]{}
	if name != "" {
		options = append(options, storage.Unique("name", func(*string) string { return name }))
	}
	broken := storage.NewTable(table.Name(), func(*string) string { return id }, options...)
	must(t, s.Store.Update(func(tx *storage.Tx) error {
		if err := erase(tx, broken, id); err != nil {
			return err
		}
		return broken.Put(tx, "damaged")
	}))
}

func TestProjectsKeepWhatHoldsData(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		c, ctx := p.cloud, asCustomer()
		_, err := c.Projects.Create(ctx, "lab", api.ProjectSpec{})
		must(t, err)
		_, err = c.Networks.Create(ctx, "lab", "back", api.NetworkSpec{CIDR: "10.20.0.0/24"})
		must(t, err)
		_, err = c.Volumes.Create(ctx, "lab", "data", api.VolumeSpec{SizeBytes: 1 << 20})
		must(t, err)
		if want, err := `cannot delete project "lab": it still has volume "data"; delete that first`, c.Projects.Delete(ctx, "lab"); textOf(err) != want {
			t.Errorf("deleting it answers %v, want %q", err, want)
		}
		must(t, p.Store.Update(func(tx *storage.Tx) error { return dropAll(tx, volumeTable, "lab") }))
		must(t, c.Projects.Delete(ctx, "lab"))
		must(t, p.Store.View(func(tx *storage.Tx) error {
			return networkTable.Each(tx, "", func(n api.Network) error {
				if n.Project != "default" {
					t.Errorf("network %s of project %s is left", n.Name, n.Project)
				}
				return nil
			})
		}))
	})
}

// TestDenied: the laptop is out of reach at whatever address it has, and at those that all around a machine hear.
func TestDenied(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	must(t, err)
	all := denied(&world{})
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !slices.Contains(all, n.IP.String()) {
			t.Errorf("the laptop can be reached at %s", n.IP)
		}
	}
	for _, always := range []string{"224.0.0.0/4", "255.255.255.255", "fe80::/10", "ff00::/8"} {
		if !slices.Contains(all, always) {
			t.Errorf("%s can be reached", always)
		}
	}
}
