package controlplane

import (
	"slices"
	"testing"
)

func TestResolvers(t *testing.T) {
	got := resolvers("# a comment\nnameserver 127.0.0.53\nnameserver 10.255.255.53\nsearch lan\n nameserver  2001:db8::53 \nnameserver fe80::1%eth0\nnameserver\nnameserver x\n")
	if want := []string{"?10.255.255.53", "?2001:db8::53"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
