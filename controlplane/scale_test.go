package controlplane

import (
	"fmt"
	"testing"
	"time"

	"nuage/api"
)

// TestThousandInstances: passes stay linear, so a thousand simulated machines come up in seconds.
func TestThousandInstances(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand machines take some seconds")
	}
	const projects, each, most = 4, 250, time.Minute
	p := newPlane(t, setup{})
	began := time.Now()
	for n := range projects {
		project := fmt.Sprint("p", n)
		_, err := p.cloud.Projects.Create(asCustomer(), project, api.ProjectSpec{})
		must(t, err)
		for i := range each {
			_, err := p.cloud.Instances.Create(asCustomer(), project, fmt.Sprint("i", i), api.InstanceSpec{Type: "nano"})
			must(t, err)
		}
	}
	created := time.Since(began)
	for n := range projects {
		for i := range each {
			one, err := p.cloud.Instances.Wait(asCustomer(), fmt.Sprint("p", n), fmt.Sprint("i", i), most)
			must(t, err)
			if one.Status.Phase != api.Running {
				t.Fatalf("%s is %s (%s)", one.Name, one.Status.Phase, one.Status.Reason)
			}
		}
	}
	took := time.Since(began)
	if took > most {
		t.Errorf("a thousand machines took %s to come up, want less than %s", took, most)
	}
	t.Logf("%d created in %s, all up after %s", projects*each, created.Round(time.Millisecond), took.Round(time.Millisecond))
}
