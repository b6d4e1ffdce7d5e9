package main

import (
	"strings"
	"testing"

	"nuage/api"
)

// testImages boots machines from what the catalog does not have: another machine's disk, and one static program.
func testImages(t *testing.T, c *liveCloud) {
	together(t, map[string]func(*testing.T){
		"of a machine": func(t *testing.T) { testGolden(t, c) },
		"scratch":      func(t *testing.T) { testScratch(t, c) },
		"no registry":  func(t *testing.T) { testNoRegistry(t, c) },
	})
}

// testGolden makes an image of a machine that runs. What boots from it has the files, and is another machine.
func testGolden(t *testing.T, c *liveCloud) {
	script := writeTemp(t, "setup.sh", "#!/bin/sh\necho once >> /root/ran\n")
	c.machines(t, "mould --image debian-12 --user-data "+script)
	c.do(t, "instance", "exec", "mould", "--", "echo kept > /srv/file; useradd -m ada; sleep 1000 >/dev/null 2>&1 &")
	c.do(t, "image", "create", "golden", "--from", "mould")
	c.machines(t, "cast --image golden")
	ask := "cat /srv/file /root/ran; id -un ada; pidof sleep || echo no sleep; hostname"
	if out := c.do(t, "ssh", "cast", "--", ask); out != "kept\nonce\nada\nno sleep\ncast\n" {
		t.Errorf("the machine of an image holds %q", out)
	}
	mould, cast := show[api.Instance](t, c, "instance", "mould"), show[api.Instance](t, c, "instance", "cast")
	if mould.Status.HostKey == cast.Status.HostKey || mould.Status.Address == cast.Status.Address {
		t.Errorf("both have the host key %s or the address %s", cast.Status.HostKey, cast.Status.Address)
	}
	ids := c.do(t, "instance", "exec", "mould", "--", "cat /etc/machine-id") + c.do(t, "instance", "exec", "cast", "--", "cat /etc/machine-id")
	if lines := strings.Fields(ids); len(lines) != 2 || lines[0] == lines[1] || len(lines[0]) != 32 {
		t.Errorf("the machine ids are %q", ids)
	}
	c.do(t, "instance", "delete", "mould")
	if said := c.refused(t, 1, "image", "delete", "golden"); !strings.Contains(said, `instance "cast" is made from it`) {
		t.Errorf("deleting an image in use says %q", said)
	}
	c.do(t, "instance", "delete", "cast")
	c.do(t, "image", "delete", "golden")
	if left := dockerCLI(t, "image", "ls", "--quiet", "--filter", "label=nuage.cloud="+c.id, "--filter", "label=nuage.name=golden"); left != "" {
		t.Errorf("of the deleted image %s is left", left)
	}
}

// testScratch boots an image that is one program, without a shell or a file beside.
func testScratch(t *testing.T, c *liveCloud) {
	c.machines(t, "bare --image server --security-group open --env COLOUR=blue")
	at := c.address(t, "bare")
	if a, err := request("GET", "http://"+at+":8080/", ""); err != nil || a.body != "bare for " {
		t.Errorf("its service answers %q, %v", a.body, err)
	}
	for _, way := range [][]string{{"ssh", "bare", "--", "/server", "hello"}, {"instance", "exec", "bare", "--", "/server", "hello"}} {
		if out := c.do(t, way...); out != "server says hello\n" {
			t.Errorf("%v prints %q", way, out)
		}
	}
	if out, status := c.openSSH(t, "bare", "sftp", "ls -1 /\n", "-b", "-", "%s"); status != 0 || !strings.Contains(out, "server\n") {
		t.Errorf("sftp ended with status %d: %s", status, out)
	}
	if i := show[api.Instance](t, c, "instance", "bare"); i.Status.Phase != api.Running {
		t.Errorf("it is %s (%s)", i.Status.Phase, i.Status.Reason)
	}
	c.do(t, "instance", "delete", "bare")
}

// testNoRegistry asks for images that are not here. The answer says what is missing, and the catalog said so before.
func testNoRegistry(t *testing.T, c *liveCloud) {
	const absent = "localhost:1/absent:1" // no registry can listen there
	for _, line := range [][]string{{"image", "pull", absent}, {"instance", "create", "absent", "--image", absent}} {
		if said := c.refused(t, 1, line...); !strings.Contains(said, `"`+absent+`"`) || !strings.Contains(said, "no registry") && !strings.Contains(said, "none could be reached") {
			t.Errorf("nuage %s says %q", strings.Join(line, " "), said)
		}
	}
	c.do(t, "image", "delete", "absent-1")
	var images api.List[api.Image]
	c.decode(t, &images, "image", "list", "-o", "json")
	needs := map[string]string{}
	for _, i := range images.Items {
		needs[i.Name] = i.Status.Needs
	}
	for name, want := range map[string]string{"debian-12": "", "tiny": "", "ubuntu-24.04": "image registry", "alpine": "image registry"} {
		if got, there := needs[name]; !there || got != want {
			t.Errorf("the catalog says of %s (there: %v) that it needs %q, want %q", name, there, got, want)
		}
	}
}
