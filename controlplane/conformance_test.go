package controlplane

import (
	"testing"
	"time"

	"nuage/api/apitest"
)

func TestConformance(t *testing.T) {
	apitest.Run(t, func(t *testing.T) apitest.Fixture {
		p := newPlane(t, setup{wasm: true})
		eventually(t, "ready", func() bool { return p.Ready() == nil })
		return apitest.Fixture{Cloud: p.cloud, Context: asCustomer(), Patience: 20 * time.Second}
	})
}
