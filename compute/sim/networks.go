package sim

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"nuage/api"
	"nuage/compute"
)

// EnsureNetwork notes the network down, unless its range overlaps another's of the host.
func (e *Engine) EnsureNetwork(ctx context.Context, n compute.Network) error {
	return e.do(ctx, "network", func() error {
		prefix, err := n.Prefix()
		if err != nil {
			return err
		}
		if _, err := n.Pool(); err != nil {
			return err
		}
		if is, ok := e.state.networks[e.key(n.ID)]; ok {
			if is.CIDR != n.CIDR || is.Range != n.Range || is.Internal != n.Internal {
				return api.Errorf(api.Conflict, "cannot make network %q: it exists with other settings (%s)", n.ID, is.CIDR)
			}
			return nil
		}
		for k, other := range e.state.networks {
			if netip.MustParsePrefix(other.CIDR).Overlaps(prefix) {
				return api.Errorf(api.Conflict, "cannot make network %q: its range %s overlaps %s of network %q", n.ID, n.CIDR, other.CIDR, k.id)
			}
		}
		e.state.networks[e.key(n.ID)] = n
		return nil
	})
}

// RemoveNetwork forgets a network that no workload is in.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	return e.do(ctx, "network", func() error {
		for k, b := range e.state.boxes {
			if k.cloud == e.cloud && (b.spec.Network == id || b.joined[id]) {
				return api.Errorf(api.Conflict, "cannot remove network %q: workload %q is in it", id, k.id)
			}
		}
		delete(e.state.networks, e.key(id))
		return nil
	})
}

// Join notes down that a workload is in a further network.
func (e *Engine) Join(ctx context.Context, id, network string, _ []string) error {
	return e.do(ctx, "join", func() error {
		b, err := e.find("put into a network", id)
		if err != nil {
			return err
		}
		if _, ok := e.state.networks[e.key(network)]; !ok {
			return api.Errorf(api.NotFound, "cannot put %q into network %q: there is no such network", id, network)
		}
		if b.spec.Network != network {
			b.joined[network] = true
		}
		return nil
	})
}

// Leave forgets that again.
func (e *Engine) Leave(ctx context.Context, id, network string) error {
	return e.do(ctx, "leave", func() error {
		b := e.state.boxes[e.key(id)]
		switch {
		case b == nil:
			return nil
		case b.spec.Network == network:
			return api.Errorf(api.Conflict, "cannot take %q out of network %q: it was made in it", id, network)
		}
		delete(b.joined, network)
		return nil
	})
}

// ListNetworks returns this cloud's networks, by id.
func (e *Engine) ListNetworks(ctx context.Context) ([]compute.Network, error) {
	all := []compute.Network{}
	err := e.do(ctx, "network", func() error {
		for k, n := range e.state.networks {
			if k.cloud == e.cloud {
				all = append(all, n)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b compute.Network) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// address finds the workload's address: the one asked for, or the first free one after the gateway's.
func (e *Engine) address(w compute.Workload) (string, error) {
	if w.Network == "" {
		return "", nil
	}
	n, ok := e.state.networks[e.key(w.Network)]
	if !ok {
		return "", api.Errorf(api.NotFound, "cannot create %q: there is no network %q", w.ID, w.Network)
	}
	prefix := netip.MustParsePrefix(n.CIDR)
	if w.Address != "" {
		return e.asked(w, prefix)
	}
	pool, err := n.Pool()
	if err != nil {
		return "", err
	}
	used := e.used(w.Network)
	for a := pool.Addr(); pool.Contains(a); a = a.Next() {
		if compute.CheckAddress(a.String(), prefix) == nil && used[a.String()] == "" {
			return a.String(), nil
		}
	}
	return "", api.Errorf(api.Conflict, "cannot create %q: network %q (%s) has no free address", w.ID, w.Network, n.CIDR)
}

func (e *Engine) asked(w compute.Workload, prefix netip.Prefix) (string, error) {
	if err := compute.CheckAddress(w.Address, prefix); err != nil {
		return "", err
	}
	if by := e.used(w.Network)[w.Address]; by != "" {
		return "", api.Errorf(api.Conflict, "cannot create %q: address %s is in use by %q", w.ID, w.Address, by)
	}
	return w.Address, nil
}

// used is who has which address of a network.
func (e *Engine) used(network string) map[string]string {
	used := map[string]string{}
	for k, b := range e.state.boxes {
		if k.cloud == e.cloud && b.spec.Network == network {
			used[b.address] = k.id
		}
	}
	return used
}
