package controlplane

import (
	"fmt"
	"strings"
	"testing"

	"nuage/api"
	"nuage/storage"
)

// did writes down work as if it had been done.
func (p *plane) did(t *testing.T, actor api.Actor, noun string, m api.Meta, verbs ...string) {
	t.Helper()
	must(t, p.Store.Update(func(tx *storage.Tx) error {
		for _, verb := range verbs {
			if err := p.ControlPlane.record(tx, actor, noun, &m, verb, "a detail"); err != nil {
				return err
			}
		}
		return nil
	}))
}

// marked writes the cells of a comparison that have work in them, one a line.
func marked(c api.Comparison) string {
	var out strings.Builder
	for _, l := range c.Layers {
		for _, cell := range l.Cells {
			if cell.Recorded != "none" {
				fmt.Fprintf(&out, "%s %s: %s %d/%d, published %q, differs %v: %s\n", l.Layer, cell.Subject, cell.Recorded, cell.Customer, cell.Platform, cell.Published, cell.Differs, cell.Why)
			}
		}
	}
	return out.String()
}

func TestComparisonOfRecordedWork(t *testing.T) {
	p := newPlane(t, setup{})
	c, ctx := p.cloud, asCustomer()
	_, err := c.Instances.Create(ctx, "default", "vm", api.InstanceSpec{Type: "nano"})
	must(t, err)
	must(t, c.Instances.Delete(ctx, "default", "vm", 0)) // an earlier one of the name: its work is not the next one's
	eventually(t, "the first is gone", func() bool { _, err := c.Instances.Get(ctx, "default", "vm"); return api.CodeOf(err) == api.NotFound })
	vm, err := c.Instances.Create(ctx, "default", "vm", api.InstanceSpec{Type: "nano"})
	must(t, err)
	p.did(t, api.Actor{Kind: api.Customer, Name: "me"}, "instance", vm.Meta, "user-data")
	p.did(t, platform("guest"), "instance", vm.Meta, "boot", "boot", "oom")
	eventually(t, "it runs and is metered", func() bool {
		got, err := c.Comparisons.Compare(ctx, "default", []string{"vm"})
		return err == nil && got.Layers[9].Cells[0].Platform == 1 && got.Costs[0].PerHour == "0.010000000000" // its address too
	})
	got, err := c.Comparisons.Compare(ctx, "default", []string{"vm"})
	must(t, err)
	want := `configuration vm: customer 1/0, published "customer", differs false: 
operating-system vm: shared 1/3, published "customer", differs true: the matrix leaves this layer to the customer; here the platform did some of it: instance boot 2, instance oom
virtualization vm: platform 0/1, published "platform", differs false: 
`
	if marked(got) != want {
		t.Errorf("got:\n%swant:\n%s", marked(got), want)
	}
	whole, err := c.Comparisons.Compare(ctx, "default", []string{"project/default", "vm"})
	must(t, err)
	if s := whole.Subjects[0]; s != (api.Subject{Name: "default", Noun: "project"}) || !strings.Contains(marked(whole), "configuration default: customer 3/0, published \"\", differs false: \n") {
		t.Errorf("the project as a whole is %+v:\n%s", s, marked(whole))
	}
	_, err = c.Comparisons.Compare(ctx, "default", []string{"project/other"})
	if api.CodeOf(err) != api.NotFound {
		t.Errorf("another project: %v", err)
	}
}

// TestSubjectsOfOneNameAreToldApart: their work and their figures.
func TestSubjectsOfOneNameAreToldApart(t *testing.T) {
	p := newPlane(t, setup{})
	c, ctx := p.cloud, asCustomer()
	_, err := c.Instances.Create(ctx, "default", "web", api.InstanceSpec{Type: "nano"})
	must(t, err)
	_, err = c.Apps.Create(ctx, "default", "web", behave("ok"))
	must(t, err)
	must(t, c.Comparisons.Measure(ctx, "default", api.Measurement{Subject: "app/web", Name: "recovery", Unit: "s", Value: "1"}))
	got, err := c.Comparisons.Compare(ctx, "default", nil)
	must(t, err)
	if len(got.Subjects) != 2 || got.Subjects[0].Name != "instance/web" || got.Subjects[1].Name != "app/web" {
		t.Fatalf("the subjects are %+v", got.Subjects)
	}
	for _, m := range got.Measures {
		if m.Name == "recovery" && (len(m.Values) != 1 || m.Values["app/web"] != "1" || m.Times["app/web"].IsZero()) {
			t.Errorf("the recovery is %+v", m)
		}
	}
	for _, cell := range got.Layers[1].Cells {
		if cell.Subject == "instance/web" && cell.Customer != 1 {
			t.Errorf("the instance's configuration is %+v", cell)
		}
	}
}

func TestPublishedMatrix(t *testing.T) {
	var got strings.Builder
	for _, l := range api.Layers() {
		fmt.Fprintf(&got, "%s:", l)
		for _, model := range []string{"iaas", "paas", "faas"} {
			fmt.Fprintf(&got, " %s", published(l, model))
		}
		got.WriteString("\n")
	}
	want := `data: customer customer customer
configuration: customer customer customer
identities: customer customer customer
client-devices: customer customer customer
application: customer shared customer
scaling: customer shared platform
runtime: customer platform platform
operating-system: customer platform platform
network-controls: customer shared platform
virtualization: platform platform platform
physical: platform platform platform
`
	if got.String() != want {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}
}
