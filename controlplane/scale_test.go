package controlplane

import (
	"fmt"
	"math"
	"testing"
	"time"

	"nuage/api"
)

// TestThousandInstances: a thousand simulated machines come up, and a pass over four times as many takes about four
// times the work. What is counted is allocations, since times depend on who else uses the machine.
func TestThousandInstances(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand machines take some seconds")
	}
	const projects, each = 4, 250
	p := newPlane(t, setup{})
	var work []float64
	for n := range projects {
		project := fmt.Sprint("p", n)
		_, err := p.cloud.Projects.Create(asCustomer(), project, api.ProjectSpec{})
		must(t, err)
		for i := range each {
			_, err := p.cloud.Instances.Create(asCustomer(), project, fmt.Sprint("i", i), api.InstanceSpec{Type: "nano"})
			must(t, err)
		}
		for i := range each {
			one, err := p.cloud.Instances.Wait(asCustomer(), project, fmt.Sprint("i", i), 10*time.Minute)
			must(t, err)
			if one.Status.Phase != api.Running {
				t.Fatalf("%s is %s (%s)", one.Name, one.Status.Phase, one.Status.Reason)
			}
		}
		least := math.Inf(1) // passes of the loop itself are counted too when they come in between
		for range 8 {
			least = min(least, testing.AllocsPerRun(1, func() { p.survey(t) }))
		}
		work = append(work, least)
	}
	if ratio := work[projects-1] / work[0]; ratio > projects*1.5 {
		t.Errorf("a pass over %d machines takes %.1f times the work of one over %d: %.0f allocations against %.0f",
			projects*each, ratio, each, work[projects-1], work[0])
	}
	t.Logf("allocations of a pass over 250, 500, 750 and 1000 machines: %.0f", work)
}

// survey is what a pass does when there is nothing to do.
func (p *plane) survey(t *testing.T) {
	w, err := p.read()
	must(t, err)
	must(t, p.look(t.Context(), w))
	if steps := diff(w.planned, w.observed, w.reboots(), w.damaged); len(steps) > 0 {
		t.Errorf("%d steps are left to do", len(steps))
	}
	for _, i := range w.instances {
		w.instanceStatus(i)
	}
	w.metered()
}
