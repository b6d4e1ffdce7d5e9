package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

const kills = 10

// testKills ends the control plane as kill -9 does, again and again while things are being made, changed and deleted.
// Afterwards all that was asked for is there, once, what ran runs on untouched, and the time on the bill is the time.
func testKills(t *testing.T, c *liveCloud) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	wanted := map[string]bool{} // path of each thing that was promised
	c.do(t, "app", "deploy", "web", "--source", rowsApp, "--size", "nano", "--health", "/health")
	wanted["apps/web"] = true
	sandboxes := len(c.containers(t, "nuage.kind=function"))
	for n := range kills {
		steady := c.steady(t)
		doing := c.startWork(n)
		time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond) // the blow falls anywhere; nothing is awaited
		c.kill()
		c.noteWork(t, <-doing, wanted)
		c.up(t)
		c.checkUntouched(t, n, steady)
	}
	c.checkAll(t, wanted, sandboxes)
	if a, err := c.visit("GET", appHost("web"), "/", ""); err != nil || a.status != 200 {
		t.Errorf("the app answers %d %q, %v", a.status, a.body, err)
	}
	c.checkTime(t)
}

// job is one change of something and what came of it.
type job struct {
	path         string // of the thing
	method, body string
	answer
	err error
}

// startWork asks for changes, one after the other, for as long as there is a cloud.
func (c *liveCloud) startWork(round int) <-chan []job {
	jobs := []job{
		{path: fmt.Sprintf("instances/i%d", round), method: "POST", body: `{"image":"tiny","type":"nano"}`},
		{path: fmt.Sprintf("instances/i%d", round-2), method: "DELETE"},
		{path: "apps/web", method: "PUT", body: fmt.Sprintf(`{"env":{"GREETING":"%d"}}`, round)},
	}
	if round%4 == 3 {
		jobs = append(jobs, job{path: "apps/web", method: "BUILD"})
	}
	if round%4 == 1 {
		jobs = append(jobs, job{path: fmt.Sprintf("databases/d%d", round), method: "POST", body: `{"engine":"postgres","size":"nano"}`})
	}
	done := make(chan []job, 1)
	go func() {
		for i := range jobs {
			jobs[i].answer, jobs[i].err = c.ask(jobs[i], round)
		}
		done <- jobs
	}()
	return done
}

// ask sends a job as the HTTP API takes it.
func (c *liveCloud) ask(j job, round int) (answer, error) {
	noun, name, _ := strings.Cut(j.path, "/")
	switch j.method {
	case "BUILD":
		return answer{}, c.build(round)
	case "POST":
		return c.call("POST", "/v1/projects/default/"+noun, `{"name":"`+name+`","spec":`+j.body+`}`, "Content-Type: application/json")
	case "PUT":
		var a api.App
		if err := c.read("/v1/projects/default/"+j.path, &a); err != nil {
			return answer{}, err
		}
		if err := json.Unmarshal([]byte(j.body), &a.Spec); err != nil {
			return answer{}, err
		}
		spec, err := json.Marshal(map[string]any{"spec": a.Spec})
		if err != nil {
			return answer{}, err
		}
		return c.call("PUT", "/v1/projects/default/"+j.path, string(spec), "Content-Type: application/json")
	}
	return c.call(j.method, "/v1/projects/default/"+j.path, "")
}

// build deploys a source that is another one each round.
func (c *liveCloud) build(round int) error {
	dir, err := os.MkdirTemp("", "nuage-it-source-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := os.ReadFile(filepath.Join(rowsApp, "app.py"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "app.py"), append(text, fmt.Sprintf("# round %d\n", round)...), 0o600); err != nil {
		return err
	}
	if o := c.try("app", "deploy", "web", "--source", dir, "--no-wait"); o.status != 0 {
		return errors.New(o.String())
	}
	return nil
}

// read gets a thing over HTTP.
func (c *liveCloud) read(path string, into any) error {
	a, err := c.call("GET", path, "")
	if err == nil && a.status != 200 {
		err = fmt.Errorf("GET %s answers %d %s", path, a.status, a.body)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(a.body), into)
}

// noteWork writes down what was promised: an answer is a promise; without one, either is right.
func (c *liveCloud) noteWork(t *testing.T, jobs []job, wanted map[string]bool) {
	t.Helper()
	for _, j := range jobs {
		switch {
		case j.path == "apps/web": // it stays, whatever its release
		case j.err != nil:
			delete(wanted, j.path)
		case j.method == "POST" && j.status == 201:
			wanted[j.path] = true
		case j.method == "DELETE" && (j.status < 300 || j.status == 404):
			wanted[j.path] = false
		default:
			t.Errorf("%s %s answers %d %s", j.method, j.path, j.status, j.body)
		}
	}
}

// steady are the containers that run and whose owners nobody is about to change.
func (c *liveCloud) steady(t *testing.T) map[string]container {
	t.Helper()
	all := map[string]container{}
	for _, k := range c.containers(t) {
		if k.State.Running && k.kind() != "function" { // a process of the cloud has its own sandboxes
			all[k.id()] = k
		}
	}
	return all
}

// checkUntouched: what ran before a kill runs on, in the same container since the same moment, unless it was changed.
func (c *liveCloud) checkUntouched(t *testing.T, round int, before map[string]container) {
	t.Helper()
	changed := fmt.Sprintf("i%d", round-2)
	for id, was := range before {
		name := was.Config.Labels["nuage.name"]
		if name == changed || was.kind() == "app" {
			continue
		}
		for _, is := range c.containers(t, "nuage.id="+id) {
			if is.ID != was.ID || !is.State.StartedAt.Equal(was.State.StartedAt) || !is.State.Running {
				t.Errorf("round %d: %s was container %.12s since %s, is %.12s since %s", round, name, was.ID, was.State.StartedAt, is.ID, is.State.StartedAt)
			}
		}
	}
}

// checkAll waits until everything has settled and compares it with what was promised and with the engine.
func (c *liveCloud) checkAll(t *testing.T, wanted map[string]bool, sandboxes int) {
	t.Helper()
	var names map[string]string // of what there is, by id
	eventually(t, 90*time.Second, "everything asked for is there and nothing else", func() error {
		names = map[string]string{}
		for _, noun := range []string{"instances", "apps", "databases"} {
			var list api.List[struct {
				api.Meta
				Status api.Status
			}]
			if err := c.read("/v1/projects/default/"+noun+"?limit=1000", &list); err != nil {
				return err
			}
			for _, item := range list.Items {
				names[item.ID] = noun + "/" + item.Name
				if item.Status.Phase != api.Running || !api.Settled(item.Meta, item.Status) {
					return fmt.Errorf("%s %s is %s (%s)", noun, item.Name, item.Status.Phase, item.Status.Reason)
				}
			}
		}
		return comparePromises(wanted, names)
	})
	owners := map[string]int{}
	eventually(t, 20*time.Second, "one container for each", func() error {
		clear(owners)
		for _, k := range c.containers(t) {
			if k.kind() != "function" {
				owners[k.Config.Labels["nuage.owner"]]++
			}
		}
		return compareCounts(owners, names)
	})
	eventually(t, 20*time.Second, "no sandbox of an earlier process is left", func() error {
		if n := len(c.containers(t, "nuage.kind=function")); n > sandboxes {
			return fmt.Errorf("%d sandboxes are there, %d before the kills", n, sandboxes)
		}
		return nil
	})
	apps := 0
	for _, name := range names {
		if strings.HasPrefix(name, "apps/") {
			apps++
		}
	}
	if networks := strings.Fields(dockerCLI(t, "network", "ls", "--quiet", "--filter", "label=nuage.cloud="+c.id)); len(networks) != 1+apps {
		t.Errorf("%d networks for one project and %d apps", len(networks), apps)
	}
}

func comparePromises(wanted map[string]bool, names map[string]string) error {
	there := map[string]bool{}
	for _, name := range names {
		there[name] = true
	}
	for path, promised := range wanted {
		if promised != there[path] {
			return fatal{fmt.Errorf("%s: promised %v, there %v", path, promised, there[path])}
		}
	}
	return nil
}

func compareCounts(owners map[string]int, names map[string]string) error {
	for id, name := range names {
		if owners[id] != 1 {
			return fmt.Errorf("%s has %d containers", name, owners[id])
		}
	}
	for id := range owners {
		if names[id] == "" {
			return fmt.Errorf("a container of %s is left, which is no more", id)
		}
	}
	return nil
}

// checkTime compares metered time with the engine's clock: for what was never restarted there is one run, from the
// container's start to now, however often the control plane was killed.
func (c *liveCloud) checkTime(t *testing.T) {
	t.Helper()
	var usage api.List[api.Usage]
	if err := c.read("/v1/usage?limit=1000", &usage); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	metered, runs := map[string]time.Duration{}, map[string]int{}
	seen := map[string]bool{}
	for _, u := range usage.Items {
		if seen[u.ID] {
			t.Errorf("usage %s is there twice", u.ID)
		}
		seen[u.ID] = true
		if u.Service == "instances" || u.Service == "databases" && strings.HasPrefix(u.Meter, "database-hours") {
			metered[u.ResourceID] += time.Duration(u.Quantity) * time.Millisecond
			runs[u.ResourceID]++
		}
	}
	for _, k := range c.containers(t) {
		if k.kind() == "app" || k.kind() == "function" {
			continue
		}
		ran := now.Sub(k.State.StartedAt)
		if runs[k.id()] != 1 || (metered[k.id()]-ran).Abs() > time.Second {
			t.Errorf("%s ran for %s and %s are metered, in %d runs", k.Config.Labels["nuage.name"], ran, metered[k.id()], runs[k.id()])
		}
	}
}
