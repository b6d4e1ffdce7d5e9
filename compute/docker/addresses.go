package docker

import (
	"context"
	"sync"

	"github.com/docker/docker/api/types/container"

	"nuage/compute"
)

// addresses remembers which workloads were made with which addresses, so that not all containers are listed for each
// one. The engine is asked again before anything is refused.
type addresses struct {
	mu sync.Mutex
	by map[string]map[string]string // by network, by address
}

// holder is the other workload that has the address asked for, or "": then it is given to this one.
func (e *Engine) holder(ctx context.Context, w compute.Workload) (string, error) {
	e.given.mu.Lock()
	defer e.given.mu.Unlock()
	all, known := e.given.by[w.Network]
	if by := all[w.Address]; !known || by != "" && by != w.ID {
		users, err := e.users(ctx, w.Network)
		if err != nil {
			return "", err
		}
		all = addressesOf(users)
		e.given.by[w.Network] = all
	}
	if by := all[w.Address]; by != "" && by != w.ID {
		return by, nil
	}
	all[w.Address] = w.ID
	return "", nil
}

// forget is called when a network is gone.
func (a *addresses) forget(network string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.by, network)
}

// addressesOf is who has which address, started or not.
func addressesOf(users []container.Summary) map[string]string {
	by := map[string]string{}
	for _, c := range users {
		if c.NetworkSettings == nil {
			continue
		}
		for _, n := range c.NetworkSettings.Networks {
			if n == nil {
				continue
			}
			by[n.IPAddress] = c.Labels[compute.LabelID]
			if n.IPAMConfig != nil {
				by[n.IPAMConfig.IPv4Address] = c.Labels[compute.LabelID]
			}
		}
	}
	delete(by, "")
	return by
}
