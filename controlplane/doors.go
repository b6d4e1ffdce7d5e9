package controlplane

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// doors are where the edge listens for containers: on the gateway of each app's network, and of the network of each project that has
// apps. So what runs in a container reaches apps and the back channel of the managed auth. The API listens nowhere but on its own address.
type doors struct {
	cp *ControlPlane

	mu     sync.Mutex
	open   map[string]*http.Server // by address
	failed map[string]bool         // those that could not be opened, and were said to be
	closed bool
}

func newDoors(cp *ControlPlane) *doors {
	return &doors{cp: cp, open: map[string]*http.Server{}, failed: map[string]bool{}}
}

// sync opens the doors that are wanted and closes the others. One that can't be opened is tried again by each pass.
func (d *doors) sync(w *world) {
	d.mu.Lock()
	defer d.mu.Unlock()
	wanted := map[string]bool{}
	for address := range d.wanted(w) {
		wanted[address] = true
		if d.open[address] == nil && !d.closed {
			d.unlock(address)
		}
	}
	for address, server := range d.open {
		if !wanted[address] {
			delete(d.open, address)
			go d.shut(server)
		}
	}
}

// wanted are the addresses of the gateways that containers need.
func (d *doors) wanted(w *world) map[string]bool {
	out := map[string]bool{}
	host, port, err := net.SplitHostPort(d.cp.EdgeAddr)
	everywhere := net.ParseIP(host).IsUnspecified()
	if err != nil || !w.real || !w.routes || everywhere {
		return out
	}
	open := func(network, cidr string) {
		if w.standing[network] && cidr != "" {
			out[net.JoinHostPort(hostAddress(cidr, 1), port)] = true
		}
	}
	for _, a := range w.apps {
		if a.DeletedAt == nil {
			open(appNetworkID(a.ID), w.appNetworks[a.ID].CIDR)
			open(w.network(a.Project), w.projects[a.Project].Status.CIDR)
		}
	}
	return out
}

// unlock listens on an address. The lock is held.
func (d *doors) unlock(address string) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		if !d.failed[address] {
			d.cp.log.Warn("the edge can't listen for containers; their back channel to the managed auth fails", "address", address, "error", err)
		}
		d.failed[address] = true
		return
	}
	delete(d.failed, address)
	server := d.cp.Edge.Inside(d.cp.log)
	d.open[address] = server
	go func() {
		if err := server.Serve(d.cp.Edge.Listener(l)); err != http.ErrServerClosed {
			d.cp.log.Warn("the edge stopped listening for containers", "address", address, "error", err)
			d.forget(address, server)
		}
	}()
}

func (d *doors) forget(address string, server *http.Server) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[address] == server {
		delete(d.open, address)
	}
}

// shut lets answers under way end.
func (d *doors) shut(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), lastDrain)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // those that took too long are cut
	}
}

// close closes all doors, for good.
func (d *doors) close() {
	d.mu.Lock()
	d.closed = true
	var rest []*http.Server
	for address, server := range d.open {
		delete(d.open, address)
		rest = append(rest, server)
	}
	d.mu.Unlock()
	for _, server := range rest {
		d.shut(server)
	}
}
