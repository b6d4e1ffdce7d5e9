package controlplane

import (
	"testing"
	"time"

	"nuage/api/apitest"
	"nuage/controlplane/labs"
)

func TestConformance(t *testing.T) {
	apitest.Run(t, func(t *testing.T) apitest.Fixture {
		shipped, err := labs.Load(labs.Shipped())
		must(t, err)
		p := newPlane(t, setup{wasm: true, labs: shipped})
		eventually(t, "ready", func() bool { return p.Ready() == nil })
		return apitest.Fixture{Cloud: p.cloud, Context: asCustomer(), Patience: 20 * time.Second}
	})
}
