package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testNeighbours: nobody but the edge reaches the replicas of app "whoami", whatever address or name they try: not another app, of its
// project or of the next stage's, not a machine, not a function, not through the database that two apps share. So none can tell it who asks.
func testNeighbours(t *testing.T, c *liveCloud) {
	c.do(t, "database", "create", "shared", "--engine", "postgres", "--size", "nano")
	c.do(t, "app", "deploy", "near", "--source", "testdata/neighbour", "--size", "nano", "--database", "shared")
	c.do(t, "app", "deploy", "whoami", "--database", "shared")
	c.do(t, "project", "create", "abroad")
	c.do(t, "app", "promote", "near", "--to", "abroad")
	t.Run("promoted", func(t *testing.T) { testPromotedImage(t, c) })
	places := c.placesOf(t, "whoami")
	together(t, map[string]func(*testing.T){
		"apps":     func(t *testing.T) { testNeighbourApps(t, c, places) },
		"machine":  func(t *testing.T) { testNeighbourMachine(t, c, places) },
		"function": func(t *testing.T) { testNeighbourFunction(t, c, places) },
		"outward":  func(t *testing.T) { testOutwardFunction(t, c, places) },
	})
	t.Run("one-off", func(t *testing.T) { testOneOff(t, c) })
	t.Run("secrets", func(t *testing.T) { testSecretsNowhere(t, c) })
	t.Run("unbound", func(t *testing.T) { testUnboundNetwork(t, c) })
}

// placesOf is everywhere the replicas of an app could be called: their addresses and names, with the port they listen on and others.
func (c *liveCloud) placesOf(t *testing.T, app string) (all []string) {
	t.Helper()
	hosts := []string{app, app + "-0", app + ".internal"}
	for _, r := range show[api.App](t, c, "app", app).Status.Replicas {
		id := c.only(t, r.ID).ID
		hosts = append(hosts, id[:12], strings.Fields(dockerCLI(t, "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", id))[0])
	}
	for _, h := range hosts {
		for _, port := range []int{8080, 80, 22, 8081} {
			all = append(all, fmt.Sprint(h, ":", port))
		}
	}
	return all
}

// testNeighbourApps: a neighbour reaches its own replica, the database bound to it, and the edge, which asks who it is.
func testNeighbourApps(t *testing.T, c *liveCloud, places []string) {
	port := port(t, c.edge)
	for _, from := range []struct {
		flags []string
		want  string
	}{
		{nil, "near-0:8080 shared.db.internal:5432\n401\n"},
		{[]string{"--project", "abroad"}, "near-0:8080\n401\n"},
	} {
		line := append(slices.Clone(from.flags), "app", "run", "near", "--", "python3", "app.py", appHost("whoami"), port)
		if got := c.do(t, append(append(line, places...), "near-0:8080", "shared.db.internal:5432")...); got != from.want {
			t.Errorf("a neighbour %v reaches and hears of the edge %q, want %q", from.flags, got, from.want)
		}
	}
}

func testNeighbourMachine(t *testing.T, c *liveCloud, places []string) {
	c.machines(t, "spy")
	if got := c.reached(t, "spy", append(places, "shared.db.internal:5432")); !slices.Equal(got, []string{"shared.db.internal:5432"}) {
		t.Errorf("a machine reaches %v, want the project's database alone", got)
	}
}

func testNeighbourFunction(t *testing.T, c *liveCloud, places []string) {
	c.do(t, "function", "deploy", "spy", "--runtime", "python", "--source", "testdata/neighbour", "--handler", "app.handler", "--database", "shared", "--timeout", "30s")
	event, err := json.Marshal(map[string]any{"places": append(places, "shared.db.internal:5432"), "edge": []string{appHost("whoami"), port(t, c.edge)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.do(t, "function", "invoke", "spy", "--data", string(event)); !strings.HasPrefix(got, `{"reached": ["shared.db.internal:5432"], "edge": `) || strings.Contains(got, `"edge": 200`) {
		t.Errorf("a function says %s, want the project's database alone and no way in", got)
	}
}

// testOutwardFunction: a function with network internet reaches a host beyond this one, and nothing of the cloud or of the laptop, on none
// of its addresses: no replica, no database that is not bound to it, not the control plane, not the edge.
func testOutwardFunction(t *testing.T, c *liveCloud, places []string) {
	outside := outerHost(t) + ":80"
	c.do(t, "function", "deploy", "outward", "--runtime", "python", "--source", "testdata/neighbour", "--handler", "app.handler", "--network", "internet", "--timeout", "30s")
	all := append(append(c.laptop(t), places...), "shared.db.internal:5432", "169.254.169.254:80", outside)
	event, err := json.Marshal(map[string]any{"places": all, "edge": []string{appHost("whoami"), port(t, c.edge)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.do(t, "function", "invoke", "outward", "--data", string(event)); !strings.HasPrefix(got, `{"reached": ["`+outside+`"], "edge": "no edge`) {
		t.Errorf("the function says %s, want %s alone", got, outside)
	}
}

// testPromotedImage: the very image serves in the next stage, and goes on to when the app it was built for is gone.
func testPromotedImage(t *testing.T, c *liveCloud) {
	var here, there api.List[api.Release]
	c.decode(t, &here, "app", "releases", "near", "-o", "json")
	c.decode(t, &there, "app", "releases", "near", "--project", "abroad", "-o", "json")
	if len(there.Items) != 1 || there.Items[0].Image != here.Items[0].Image || there.Items[0].Promoted != "default/1" {
		t.Errorf("promoted is %+v of %+v", there.Items, here.Items)
	}
	program, err := os.ReadFile("testdata/neighbour/app.py")
	if err != nil {
		t.Fatal(err)
	}
	c.do(t, "app", "deploy", "brief", "--source", folderOf(t, map[string]string{"app.py": string(program) + "\n# of " + c.id}), "--size", "nano")
	c.do(t, "app", "promote", "brief", "--to", "abroad")
	c.do(t, "app", "delete", "brief")
	c.do(t, "app", "scale", "brief", "0", "--project", "abroad")
	c.do(t, "app", "scale", "brief", "1", "--project", "abroad")
	c.do(t, "app", "delete", "brief", "--project", "abroad")
	if left := dockerCLI(t, "image", "ls", "--all", "--quiet", "--filter", "label=nuage.cloud="+c.id, "--filter", "label=nuage.name=brief"); left != "" {
		t.Errorf("of the app in both projects the images %s are left", left)
	}
}

// testOneOff: a command has the app's settings and database, and its status is passed on.
func testOneOff(t *testing.T, c *liveCloud) {
	if o := c.try("app", "run", "near", "--", "echo $NUAGE_APP $PORT; echo oops >&2; exit 7"); o.status != 7 || o.out != "near 8080\n" || o.err != "oops\n" {
		t.Errorf("wanted status 7 and both streams of %s", o)
	}
	if left := c.containers(t, "nuage.kind=helper"); len(left) != 0 {
		t.Errorf("commands left %v", left)
	}
}

// testSecretsNowhere: the program has its secret, and no file of the home and no answer of the cloud does; the log was searched too.
func testSecretsNowhere(t *testing.T, c *liveCloud) {
	abroad := []string{"--project", "abroad"}
	said := c.do(t, append(abroad, "app", "config", "set", "near", "--secret", "WORD=nobody-hears-this")...)
	if got := c.do(t, append(abroad, "app", "run", "near", "--", "echo ${#WORD}")...); got != "17\n" {
		t.Errorf("a program has a secret of %q letters, want 17", got)
	}
	said += c.do(t, append(abroad, "app", "releases", "near", "-o", "json")...) + c.do(t, "activity", "list", "-o", "json") + c.do(t, append(abroad, "app", "show", "near", "-o", "json")...)
	if strings.Contains(said, "nobody-hears") || !strings.Contains(said, `"WORD": "***"`) {
		t.Errorf("the cloud's answers are to hold the mask alone:\n%s", said)
	}
	files := 0
	err := filepath.WalkDir(c.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // one that went meanwhile, a socket
		}
		content, err := os.ReadFile(path)
		if files++; strings.Contains(string(content), "nobody-hears") {
			t.Errorf("%s holds a secret", path)
		}
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("%d files were searched, %v", files, err)
	}
}

// testUnboundNetwork: a database leaves the network of an app that is unbound, and the network goes with the app.
func testUnboundNetwork(t *testing.T, c *liveCloud) {
	near := show[api.App](t, c, "app", "near")
	network := strings.Replace(near.ID, "app-", "netapp-", 1)
	c.do(t, "database", "unbind", "shared", "near")
	eventually(t, 15*time.Second, "the database has left the app's network", func() error {
		db := c.only(t, show[api.Database](t, c, "database", "shared").ID)
		if in := dockerCLI(t, "inspect", "--format", "{{json .NetworkSettings.Networks}}", db.ID); strings.Contains(in, network) {
			return fmt.Errorf("it is in %s", in)
		}
		return nil
	})
	c.do(t, "app", "delete", "near")
	if left := dockerCLI(t, "network", "ls", "--quiet", "--filter", "label=nuage.id="+network); left != "" {
		t.Errorf("the network of the deleted app is left: %s", left)
	}
}
