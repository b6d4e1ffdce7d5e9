package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"

	"nuage/api"
	"nuage/compute"
)

// EnsureNetwork makes a bridge network with exactly the range given; the gateway is its first address.
func (e *Engine) EnsureNetwork(ctx context.Context, n compute.Network) error {
	prefix, err := n.Prefix()
	if err != nil {
		return err
	}
	if _, err := n.Pool(); err != nil {
		return err
	}
	e.networks.Lock()
	defer e.networks.Unlock()
	is, err := e.network(ctx, n.ID)
	if err == nil {
		return sameNetwork(n, networkOf(is))
	}
	if !cerrdefs.IsNotFound(err) {
		return failed(err, "make network %q", n.ID)
	}
	if err := e.free(ctx, n, prefix); err != nil {
		return err
	}
	if _, err := e.cli.NetworkCreate(ctx, e.name(n.ID), e.networkOptions(n, prefix)); err != nil {
		return failed(err, "make network %q (%s)", n.ID, n.CIDR)
	}
	return nil
}

func sameNetwork(want, is compute.Network) error {
	if want.CIDR == is.CIDR && want.Range == is.Range && want.Internal == is.Internal {
		return nil
	}
	return api.Errorf(api.Conflict, "cannot make network %q: it exists with other settings (%s)", want.ID, is.CIDR)
}

func (e *Engine) networkOptions(n compute.Network, prefix netip.Prefix) network.CreateOptions {
	sum := sha256.Sum256([]byte(e.name(n.ID)))
	return network.CreateOptions{
		Driver: "bridge", Internal: n.Internal,
		IPAM: &network.IPAM{Driver: "default", Config: []network.IPAMConfig{{
			Subnet: prefix.String(), IPRange: n.Range, Gateway: compute.Gateway(prefix).String(),
		}}},
		Options: map[string]string{
			"com.docker.network.bridge.name":              "nu" + hex.EncodeToString(sum[:5]),
			"com.docker.network.bridge.enable_icc":        "true",
			"com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
		},
		Labels: map[string]string{
			compute.LabelCloud: e.o.CloudID, compute.LabelID: n.ID, compute.LabelProject: n.Project, compute.LabelName: n.Name,
		},
	}
}

// free refuses a range that overlaps another network of the engine or an address of this machine.
func (e *Engine) free(ctx context.Context, n compute.Network, prefix netip.Prefix) error {
	all, err := e.cli.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return failed(err, "list networks")
	}
	for _, other := range all {
		for _, c := range other.IPAM.Config {
			if p, err := netip.ParsePrefix(c.Subnet); err == nil && p.Overlaps(prefix) {
				return overlap(n, c.Subnet, "Docker network", other.Name)
			}
		}
	}
	if !e.routes {
		return nil
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return api.Errorf(api.Internal, "cannot list this machine's network interfaces: %w", err)
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it went away meanwhile
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Overlaps(prefix) {
				return overlap(n, p.Masked().String(), "this machine's interface", i.Name)
			}
		}
	}
	return nil
}

func overlap(n compute.Network, with, what, name string) error {
	return api.Errorf(api.Conflict, "cannot make network %q: its range %s overlaps %s of %s %q; use another range", n.ID, n.CIDR, with, what, name)
}

// RemoveNetwork removes a network that no workload is in, not even a stopped one.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	n, err := e.network(ctx, id)
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return failed(err, "remove network %q", id)
	}
	users, err := e.users(ctx, id)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return api.Errorf(api.Conflict, "cannot remove network %q: workload %q is in it", id, users[0].Labels[compute.LabelID])
	}
	e.given.forget(id)
	err = e.cli.NetworkRemove(ctx, n.ID)
	switch {
	case err == nil, cerrdefs.IsNotFound(err):
		return nil
	case taken(err.Error()) && len(n.Containers) == 0:
		return api.Errorf(api.Conflict, "cannot remove network %q: the engine counts a container in it that is not there; "+
			"if that lasts, restart Docker and try again: %w", id, err)
	}
	return failed(err, "remove network %q", id)
}

// ListNetworks returns this cloud's networks, by id.
func (e *Engine) ListNetworks(ctx context.Context) ([]compute.Network, error) {
	found, err := e.cli.NetworkList(ctx, network.ListOptions{Filters: e.ours()})
	if err != nil {
		return nil, failed(err, "list networks")
	}
	all := make([]compute.Network, 0, len(found))
	for _, n := range found {
		all = append(all, networkOf(n))
	}
	slices.SortFunc(all, func(a, b compute.Network) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// network finds a network of ours. The error is the client's.
func (e *Engine) network(ctx context.Context, id string) (network.Inspect, error) {
	found, err := e.cli.NetworkList(ctx, network.ListOptions{Filters: e.ours(compute.LabelID + "=" + id)})
	if err != nil {
		return network.Inspect{}, err
	}
	if len(found) == 0 {
		return network.Inspect{}, absent{"network", id}
	}
	return found[0], nil
}

func networkOf(n network.Inspect) compute.Network {
	out := compute.Network{
		ID: n.Labels[compute.LabelID], Project: n.Labels[compute.LabelProject], Name: n.Labels[compute.LabelName], Internal: n.Internal,
	}
	if len(n.IPAM.Config) > 0 {
		out.CIDR, out.Range = n.IPAM.Config[0].Subnet, n.IPAM.Config[0].IPRange
	}
	return out
}

// absent is what the client would say of something that is not there.
type absent struct{ what, id string }

func (a absent) Error() string { return "there is no " + a.what + " " + a.id }

// NotFound marks it for the client's own tests.
func (a absent) NotFound() {}
