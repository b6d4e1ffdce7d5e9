package controlplane

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// TestHostReboot: everything ends at once and the networks are gone, as after a reboot of the host, or of its engine
// while the control plane goes on. What should run is started again with its address, what is stopped stays so, and each
// restart is recorded with its reason.
func TestHostReboot(t *testing.T) {
	for _, away := range []bool{false, true} {
		staged(t, func(t *testing.T, s *scene) {
			s.volume(t, "data", 1<<30)
			for _, name := range []string{"a", "b", "off"} {
				spec := api.InstanceSpec{Type: "nano", Stopped: name == "off"}
				if name == "a" {
					spec.Volumes = []api.VolumeMount{{Volume: "data", Path: "/data"}}
				}
				_, err := s.cloud.Instances.Create(asCustomer(), "default", name, spec)
				must(t, err)
			}
			one := 1
			_, err := s.cloud.Databases.Create(asCustomer(), "default", "db", api.DatabaseSpec{Engine: "postgres"})
			must(t, err)
			_, err = s.cloud.Apps.Create(asCustomer(), "default", "web", api.AppSpec{Image: "web:1", Replicas: &one, Database: "db"})
			must(t, err)
			time.Sleep(20 * time.Second)
			before := s.machinesText(t)
			s.reboot(t, away)
			time.Sleep(5 * time.Second)
			want := strings.NewReplacer("restarts 0 running (simulated: no guest, so no SSH)", "restarts 1 running (simulated: no guest, so no SSH)").Replace(before)
			if got := s.machinesText(t); got != want {
				t.Errorf("away %v: after the reboot there are\n%s\nwant\n%s", away, got, want)
			}
			if got, want := s.told(t, "restart"), lines(
				"platform loop: restart app web: it exited with status 255 and was started again",
				"platform loop: restart database db: it exited with status 255 and was started again",
				"platform loop: restart instance a: it exited with status 255 and was started again",
				"platform loop: restart instance b: it exited with status 255 and was started again"); sorted(got) != want {
				t.Errorf("away %v: recorded are\n%s\nwant\n%s", away, got, want)
			}
			must(t, converged(s))
		})
	}
}

// reboot ends all workloads at once and drops all networks, with the control plane or under it.
func (s *scene) reboot(t *testing.T, away bool) {
	t.Helper()
	if away {
		must(t, s.stop())
	}
	f := s.sim.Faults()
	list, err := s.sim.List(t.Context())
	must(t, err)
	networks, err := s.sim.ListNetworks(t.Context())
	must(t, err)
	f.Gone(true)
	for _, o := range list {
		f.Crash(o.ID, 255)
	}
	for _, n := range networks {
		f.Drop(n.ID)
	}
	time.Sleep(30 * time.Second)
	f.Gone(false)
	if away {
		s.plane, err = s.setup.start()
		must(t, err)
	}
}

// machinesText is what the instances are, one a line.
func (p *plane) machinesText(t *testing.T) string {
	t.Helper()
	list, err := p.cloud.Instances.List(asCustomer(), "default", api.Page{})
	must(t, err)
	var out []string
	for _, i := range list.Items {
		out = append(out, fmt.Sprintf("%s %s restarts %d %s (%s)", i.Name, i.Status.Address, i.Status.Restarts, i.Status.Phase, i.Status.Reason))
	}
	return lines(out...)
}

func lines(all ...string) string { return strings.Join(all, "\n") }

func sorted(text string) string {
	all := strings.Split(text, "\n")
	slices.Sort(all)
	return lines(all...)
}
