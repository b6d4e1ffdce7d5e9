package controlplane

import (
	"net/netip"
	"os"
	"slices"
	"strings"

	"nuage/api"
	"nuage/functions"
	"nuage/storage"
)

// bindNetwork says what of a function's network it may reach: of the project's all but the laptop, or the outside and nothing of the
// cloud. Its databases it reaches in any case. Nothing ever reaches a function but its calls.
func (cp *ControlPlane) bindNetwork(tx *storage.Tx, f *api.Function, d *functions.Deployment) error {
	if f.Spec.Network != "project" && f.Spec.Network != "internet" {
		return nil
	}
	p, err := projectTable.GetBy(tx, "name", f.Project)
	if err != nil {
		return err
	}
	d.Network = networkID(p)
	if d.Internet = f.Spec.Network == "internet"; !d.Internet {
		d.Reach = append(closedIn(p.Status.CIDR), "+"+p.Status.CIDR)
		return nil
	}
	for _, name := range f.Spec.Databases {
		db, err := cp.databases().find(tx, f.Project, name)
		if err != nil {
			return err
		}
		s, err := serverTable.Get(tx, db.ID)
		if err != nil {
			return err
		}
		d.Reach = append(d.Reach, "+"+hostAddress(p.Status.CIDR, s.Host))
	}
	d.Reach = append(d.Reach, "-"+cloudRange().String(), "+0.0.0.0/0", "+::/0")
	return nil
}

// closedIn are the addresses of a range at which the laptop hears.
func closedIn(cidr string) []string {
	out := []string{"-" + hostAddress(cidr, 1)}
	for _, address := range everybody(cidr) {
		out = append(out, "-"+address)
	}
	return out
}

// Closed is what functions with a way out are kept from: the laptop's addresses; and, behind ?, the resolvers that are to be reached
// all the same, for names.
func Closed() []string {
	all := laptopAddresses()
	for _, path := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // that of systemd is not everywhere
		}
		all = append(all, resolvers(string(text))...)
	}
	return all
}

// resolvers are the servers that a resolv.conf names and that are reached over a network, each behind ?.
func resolvers(text string) (out []string) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil && !a.IsLoopback() && a.Zone() == "" {
			out = append(out, "?"+a.String())
		}
	}
	return out
}

// laptopAddresses are the addresses and ranges at which the machine that a cloud runs on hears, as they are now, and which no
// program of a customer may reach; those in networks of the cloud are left out, for they come and go and are closed in any case.
func laptopAddresses() []string {
	all := slices.DeleteFunc(hostAddresses(), func(text string) bool {
		a, err := netip.ParseAddr(text)
		return err != nil || a.IsLinkLocalUnicast() || cloudRange().Contains(a)
	})
	all = append(all, "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255", "fe80::/10", "ff00::/8")
	slices.Sort(all)
	return slices.Compact(all)
}

// redeployFunctions lets the functions of a project be deployed again as they are: their network has another range.
func (cp *ControlPlane) redeployFunctions(project string) error {
	return cp.Store.View(func(tx *storage.Tx) error {
		return functionTable.EachBy(tx, "name", project+"/", func(f api.Function) error {
			cp.inService.drop(f.ID)
			return nil
		})
	})
}
