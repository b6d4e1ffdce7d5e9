//go:build linux

package guest_test

import (
	"fmt"
	"testing"
	"time"

	"nuage/compute/guest/link"
)

// described is a Config with metadata.
func (m *vm) described() link.Config {
	c := m.sshConfig()
	c.InstanceID, c.Hostname = "i-0123456789abcdef", "web"
	reclaim := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c.Metadata = link.Metadata{Image: "debian-12", Type: "small", Address: m.address, Zone: "local-1a", Region: "local-1",
		SecurityGroups: []string{"default"}, Tags: map[string]string{"role": "front"}, Spot: true, Reclaim: &reclaim}
	return c
}

// imds are shell functions as tutorials for EC2 have them.
const imds = `url=http://169.254.169.254/latest
token() { curl -sS -X PUT $url/api/token -H "X-aws-ec2-metadata-token-ttl-seconds: 60" "$@"; }
get() { curl -sS -H "X-aws-ec2-metadata-token: $t" $url/"$1"; echo; }
status() { curl -sS -o /dev/null -w '%{http_code}\n' "$@"; }
t=$(token)
`

func TestMetadata(t *testing.T) {
	m := boot(t, machineImage, nil, "bash")
	config := m.described()
	m.configure(config)
	m.booted()
	out, _ := m.run(imds + `get meta-data/instance-id; get meta-data/tags/instance/role; get meta-data/spot/termination-time; get meta-data/public-keys/
status $url/meta-data/; status -X PUT $url/api/token; status -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" -H "X-Forwarded-For: 10.0.0.1" $url/api/token
perl -MIO::Socket -e 'IO::Socket::INET->new(LocalAddr => "0.0.0.0:80", Listen => 1) and print "port 80 is free\n"'`)
	const want = "i-0123456789abcdef\nfront\n2026-01-02T03:04:05Z\n0=laptop\n1=old\n401\n400\n403\nport 80 is free\n"
	if out != want {
		t.Errorf("got\n%swant\n%s\n%s", out, want, m.logs())
	}
	config.Metadata.Tags = map[string]string{"role": "back"}
	m.configure(config)
	if out, _ := m.run(imds + "get meta-data/tags/instance/role"); out != "back\n" {
		t.Errorf("after a change: %q", out)
	}
}

// TestMetadataIsTheMachinesOwn checks that neither a neighbour nor the host reaches a machine's metadata, by any of its
// addresses and whatever the rules let in.
func TestMetadataIsTheMachinesOwn(t *testing.T) {
	m, other := boot(t, machineImage, nil, "bash"), boot(t, machineImage, nil, "bash")
	config := m.described()
	config.Rules = []link.Rule{{Protocol: "all", Sources: []string{"0.0.0.0/0"}}}
	m.configure(config)
	other.configure(other.sshConfig())
	other.booted()
	for _, port := range []int{80, 61254} {
		probe := fmt.Sprintf("timeout 2 bash -c '</dev/tcp/%s/%d' 2>/dev/null && echo open || echo closed", m.address, port)
		if out, _ := other.run(probe); out != "closed\n" {
			t.Errorf("port %d of a neighbour: %q", port, out)
		}
	}
	// Who owns its network, as no customer does, can send what it likes: here it takes the machine for a router to the address.
	for _, port := range []int{80, 61254} {
		script := fmt.Sprintf("ip route add 169.254.169.254/32 via %s && timeout 2 bash -c '</dev/tcp/169.254.169.254/%d' 2>/dev/null && echo open || echo closed", m.address, port)
		if out := docker(t, "run", "--rm", "--cap-add", "NET_ADMIN", machineImage, "bash", "-c", script); out != "closed" {
			t.Errorf("port %d of a machine's metadata, from outside: %q", port, out)
		}
	}
}
