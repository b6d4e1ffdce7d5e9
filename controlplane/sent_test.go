package controlplane

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/controlplane/ingress"
	"nuage/functions"
)

// TestBytesOutAndAsyncRequestsAreBilled: what the edge and balancers send, and accepted events, are usage of those they belong to; what goes out
// on behalf of nobody is free.
func TestBytesOutAndAsyncRequestsAreBilled(t *testing.T) {
	play := func(int, functions.Event) (functions.Outcome, error) { return answersWith("null") }
	acted(t, play, func(t *testing.T, s *scene, _ *actor) {
		s.function(t, "f", api.AsyncSpec{})
		_, err := s.plane.cloud.Apps.Create(asCustomer(), "default", "a", api.AppSpec{Image: "web:1"})
		must(t, err)
		for range 2 {
			s.later(t, strings.Repeat("x", 100_000)) // two requests of 64 KiB each
			s.plane.Edge.Sent().Give(map[ingress.Sender]int64{{Project: "default", Name: "a", Kind: ingress.KindApp}: 1 << 29, {Project: "default", Name: "f", Kind: ingress.KindFunction}: 1 << 30,
				{Project: "default", Name: "gone", Kind: ingress.KindApp}: 5, {Project: "default", Name: "x", Kind: "auth"}: 5})
			time.Sleep(2 * booksEvery)
		}
		bill, err := s.plane.cloud.Ledger.Bill(asCustomer(), api.BillQuery{})
		must(t, err)
		var got []string
		for _, l := range bill.Lines {
			if slices.Contains([]string{billing.AppBytesOut, billing.FunctionBytesOut, billing.AsyncRequests}, l.Meter) {
				got = append(got, fmt.Sprint(l.Resource, " ", l.Meter, " ", l.Quantity, " ", l.Cost))
			}
		}
		want := []string{"a app-bytes-out 1 0.100000", "f function-async-requests 4 0.000002", "f function-bytes-out 2 0.200000"}
		if !slices.Equal(got, want) {
			t.Errorf("billed are %q, want %q", got, want)
		}
	})
}
