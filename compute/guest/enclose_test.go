//go:build linux

package guest

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseReach(t *testing.T) {
	for _, c := range []struct{ reach, want string }{
		{"-0.0.0.0/0", ""},
		{"-10.1.0.1,-10.1.0.255,+10.1.0.0/24", "10.1.0.0-10.1.0.0 10.1.0.2-10.1.0.254"},
		{"-192.168.0.7,+10.128.0.9,-10.128.0.0/9,+0.0.0.0/0,-0.0.0.0/0", "0.0.0.0-10.127.255.255 10.128.0.9-10.128.0.9 11.0.0.0-192.168.0.6 192.168.0.8-255.255.255.255"},
		{"-fe80::/10,+::/0,+10.0.0.1", "10.0.0.1-10.0.0.1 ::-fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff fec0::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"?10.200.0.53,-10.128.0.0/9,+10.0.0.0/8", "10.0.0.0-10.127.255.255 ? 10.200.0.53-10.200.0.53"},
		{"10.0.0.1", `error: cannot use "10.0.0.1" as what a sandbox may reach: write +10.0.0.0/8, -10.0.0.1 or ?10.0.0.53`},
		{"+x", `error: cannot use "+x" as what a sandbox may reach: write +10.0.0.0/8, -10.0.0.1 or ?10.0.0.53`},
		{"", `error: cannot use "" as what a sandbox may reach: write +10.0.0.0/8, -10.0.0.1 or ?10.0.0.53`},
	} {
		var got []string
		out, resolvers, err := parseReach(strings.Split(c.reach, ","))
		for _, s := range out {
			got = append(got, fmt.Sprintf("%s-%s", s.first, s.last))
		}
		for _, s := range resolvers {
			got = append(got, "?", fmt.Sprintf("%s-%s", s.first, s.last))
		}
		if err != nil {
			got = []string{"error: " + err.Error()}
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: got %s, want %s", c.reach, text, c.want)
		}
	}
}
