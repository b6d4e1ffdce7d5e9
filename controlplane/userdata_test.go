package controlplane

import (
	"testing"

	"nuage/api"
	"nuage/storage"
)

// TestUserDataIsCheckedAtCreate refuses what no machine could run, and calls a machine what its cloud-config calls it.
func TestUserDataIsCheckedAtCreate(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		for _, c := range []struct{ name, data, want, hostname string }{
			{"script", "#!/bin/sh\n", "", ""},
			{"config", "#cloud-config\npackages: [curl]\n", "", ""},
			{"named", "#cloud-config\nhostname: web.example\n", "", "web.example"},
			{"bad", "#cloud-config\nruncmd: ls\n", "cannot use the cloud-config: line 2: this must be a list", ""},
		} {
			i, err := p.cloud.Instances.Create(asCustomer(), "default", c.name, api.InstanceSpec{UserData: c.data})
			if textOf(err) != c.want {
				t.Errorf("%s: %v; want %q", c.name, err, c.want)
			}
			if err != nil {
				continue
			}
			var m machine
			if err := p.Store.View(func(tx *storage.Tx) (err error) {
				m, err = machineTable.Get(tx, i.ID)
				return err
			}); err != nil || m.Hostname != c.hostname {
				t.Errorf("%s is called %q, %v; want %q", c.name, m.Hostname, err, c.hostname)
			}
		}
	})
	w, i := bootedWorld(api.InstanceSpec{})
	for hostname, want := range map[string]string{"": "x", "web.example": "web.example"} {
		m := w.machines["i-1"]
		m.Hostname = hostname
		w.machines["i-1"] = m
		if plan := w.planInstance(i); plan[0].Hostname != want || plan[0].Aliases[0] != "x" {
			t.Errorf("called %q the machine is made as %q, known as %q", hostname, plan[0].Hostname, plan[0].Aliases)
		}
	}
}
