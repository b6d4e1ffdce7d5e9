package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// imds are shell functions as tutorials for EC2 have them.
const imds = `url=http://169.254.169.254/latest
token=$(curl -sS -X PUT $url/api/token -H "X-aws-ec2-metadata-token-ttl-seconds: 60")
get() { curl -sS -w '\n' -H "X-aws-ec2-metadata-token: $token" $url/"$1"; }
status() { curl -sS -o /dev/null -w '%{http_code}\n' "$@"; }
`

// testMetadata asks a spot instance for what it knows of itself, and takes it back.
func testMetadata(t *testing.T, c *liveCloud) {
	script := writeTemp(t, "setup.sh", "#!/bin/sh\necho set up\n")
	c.do(t, "volume", "create", "work", "--size", "8MiB")
	c.machines(t, "worker --image debian-12 --spot --volume work:/work --tag role=front --user-data "+script)
	i := show[api.Instance](t, c, "instance", "worker")
	key := c.do(t, "key", "list", "-o", "json")
	ask := imds + `status $url/meta-data/instance-id; status -H "X-aws-ec2-metadata-token: wrong" $url/meta-data/; status -X PUT $url/api/token
for p in instance-id hostname local-ipv4 instance-type instance-life-cycle security-groups tags/instance/role; do get meta-data/$p; done
get user-data; get meta-data/public-keys/; status -H "X-aws-ec2-metadata-token: $token" $url/meta-data/spot/instance-action`
	want := fmt.Sprintf("401\n401\n400\n%s\nworker\n%s\nnano\nspot\ndefault\nfront\n#!/bin/sh\necho set up\n\n0=default\n404\n", i.ID, i.Status.Address)
	if out := c.do(t, "ssh", "worker", "--", ask); out != want {
		t.Errorf("the metadata are\n%s\nwant\n%s", out, want)
	}
	public := strings.TrimSpace(c.do(t, "instance", "exec", "worker", "--", imds+"get meta-data/public-keys/0/openssh-key"))
	if !strings.HasPrefix(public, "ssh-") || !strings.Contains(key, strings.Join(strings.Fields(public)[:2], " ")) {
		t.Errorf("the public key is %q, the cloud's %s", public, key)
	}
	c.do(t, "instance", "update", "worker", "--tag", "role=back")
	eventually(t, 5*time.Second, "a changed tag is there", func() error {
		if out := c.do(t, "instance", "exec", "worker", "--", imds+"get meta-data/tags/instance/role"); out != "back\n" {
			return fmt.Errorf("it is %q", out)
		}
		return nil
	})
	testReclaim(t, c, i)
}

// testReclaim takes a spot instance back: the notice is in its metadata at once, then it goes, and its volume stays.
func testReclaim(t *testing.T, c *liveCloud, i api.Instance) {
	c.do(t, "instance", "exec", "worker", "--", "echo kept > /work/file")
	c.do(t, "instance", "reclaim", "worker", "--notice", "1h")
	var notice string
	eventually(t, time.Second, "the notice is in the metadata", func() error {
		notice = c.do(t, "instance", "exec", "worker", "--", imds+"get meta-data/spot/instance-action; get meta-data/spot/termination-time")
		if !strings.HasPrefix(notice, `{"action":"terminate","time":"`) && !strings.HasPrefix(notice, `{"action": "terminate", "time": "`) {
			return fmt.Errorf("it is %q", notice)
		}
		return nil
	})
	said := show[api.Instance](t, c, "instance", "worker").Status
	if said.Reclaim == nil || !strings.Contains(notice, said.Reclaim.Format(time.RFC3339)[:19]) || !strings.Contains(said.Reason, "spot: taken back at ") {
		t.Errorf("the notice is %q, the status says %v, %q", notice, said.Reclaim, said.Reason)
	}
	c.do(t, "instance", "reclaim", "worker", "--notice", "1s")
	eventually(t, 15*time.Second, "the instance goes", func() error {
		a, err := c.call("GET", "/v1/projects/default/instances/worker", "")
		if err == nil && a.status != http.StatusNotFound {
			err = fmt.Errorf("it answers %d %s", a.status, a.body)
		}
		return err
	})
	if left := c.containers(t, "nuage.id="+i.ID); len(left) > 0 {
		t.Errorf("container %s is left of it", left[0].Name)
	}
	c.machines(t, "next --volume work:/work")
	if out := c.do(t, "instance", "exec", "next", "--", "cat /work/file"); out != "kept\n" {
		t.Errorf("its volume holds %q", out)
	}
	c.do(t, "instance", "delete", "next")
	c.do(t, "volume", "delete", "work")
}
