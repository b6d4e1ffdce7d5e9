package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
)

func (w *world) deployed(t *testing.T) {
	t.Helper()
	w.check(t, "shop\n", "app", "deploy", "shop", "--image", "shop:1", "--env", "A=1", "--env", "B=2", "-o", "name")
}

func TestDeployMakesAnApp(t *testing.T) {
	w := newWorld(t, "")
	w.deployed(t)
	want := api.AppSpec{Image: "shop:1", Env: map[string]string{"A": "1", "B": "2"}}
	if d := cmp.Diff(want, w.apps.items["shop"].Spec); d != "" {
		t.Error(d)
	}
}

func TestDeployKeepsWhatIsNotGiven(t *testing.T) {
	w := newWorld(t, "")
	w.deployed(t)
	dir := t.TempDir()
	write(t, dir, map[string]string{"main.py": "x"})
	w.check(t, `NAME   PHASE     RELEASE   REPLICAS   URL   AGE   REASON
shop   running   none      0/3              2s
! upload 1 file, 1 B
! app "shop" running
`, "app", "deploy", "shop", "--source", dir, "--scale", "3", "--env", "B=3", "--database", "orders")
	three := 3
	want := api.AppSpec{Source: "src-1", Replicas: &three, Database: "orders", Env: map[string]string{"A": "1", "B": "3"}}
	if d := cmp.Diff(want, w.apps.items["shop"].Spec); d != "" {
		t.Error(d)
	}
	if got := contents(t, w.sources.content); got != "-rw-r--r-- main.py x\n" {
		t.Errorf("uploaded %q", got)
	}
}

func TestFailedDeployPrintsTheLogAndWhoServes(t *testing.T) {
	w := newWorld(t, "")
	w.deployed(t)
	w.apps.steps = []func(*api.App){func(a *api.App) {
		a.Status.Phase, a.Status.Generation, a.Status.Release = api.Running, a.Generation, 1
		a.Status.Failure = &api.Failure{Release: 2, Reason: "the program ended with status 1", Log: []string{"Traceback", "ImportError: flask"}, At: time.Unix(0, 0)}
	}}
	w.check(t, `! app "shop" running
!   | Traceback
!   | ImportError: flask
! nuage: cannot deploy app "shop": release v2 failed: the program ended with status 1; release v1 goes on serving
exit 1
`, "app", "deploy", "shop", "--image", "shop:2")
	w.check(t, "shop\n", "app", "deploy", "shop", "--image", "shop:3", "-o", "name", "--no-wait")
}

func TestAnOldFailureIsNoFailure(t *testing.T) {
	w := newWorld(t, "")
	w.deployed(t)
	w.apps.steps = []func(*api.App){func(a *api.App) {
		a.Status.Phase, a.Status.Generation, a.Status.Release = api.Running, a.Generation, 3
		a.Status.Failure = &api.Failure{Release: 2}
	}}
	w.check(t, "shop\n", "app", "deploy", "shop", "--image", "shop:3", "-o", "name")
}

func TestAppChanges(t *testing.T) {
	two := 2
	for _, c := range []struct {
		line []string
		want api.AppSpec
	}{
		{[]string{"app", "scale", "shop", "2"}, api.AppSpec{Image: "shop:1", Replicas: &two, Env: map[string]string{"A": "1", "B": "2"}}},
		{[]string{"app", "deploy", "shop", "--image", "shop:2", "--canary", "10%", "--sticky"}, api.AppSpec{Image: "shop:2", Canary: 10, Sticky: true, Env: map[string]string{"A": "1", "B": "2"}}},
		{[]string{"app", "scale", "shop", "--min", "0", "--max", "5", "--rps", "50", "--idle", "90s"}, api.AppSpec{Image: "shop:1",
			Scaling: &api.AppScaling{Max: 5, RPS: 50, IdleSeconds: 90}, Env: map[string]string{"A": "1", "B": "2"}}},
		{[]string{"app", "deploy", "shop", "--max-body", "1MiB", "--max-rate", "100", "--answer-within", "5s"}, api.AppSpec{Image: "shop:1",
			Limits: api.AppLimits{BodyBytes: 1 << 20, RPS: 100, AnswerSeconds: 5}, Env: map[string]string{"A": "1", "B": "2"}}},
		{[]string{"app", "restart", "shop"}, api.AppSpec{Image: "shop:1", Restart: 1, Env: map[string]string{"A": "1", "B": "2"}}},
		{[]string{"app", "config", "set", "shop", "A=x=y", "C="}, api.AppSpec{Image: "shop:1", Env: map[string]string{"A": "x=y", "B": "2", "C": ""}}},
		{[]string{"app", "config", "unset", "shop", "A"}, api.AppSpec{Image: "shop:1", Env: map[string]string{"B": "2"}}},
		{[]string{"database", "bind", "orders", "shop"}, api.AppSpec{Image: "shop:1", Database: "orders", Env: map[string]string{"A": "1", "B": "2"}}},
	} {
		w := newWorld(t, "")
		w.deployed(t)
		w.check(t, "shop\n", append(c.line, "-o", "name")...)
		if d := cmp.Diff(c.want, w.apps.items["shop"].Spec); d != "" {
			t.Errorf("%q: %s", c.line, d)
		}
	}
}

func TestAppRefusals(t *testing.T) {
	w := newWorld(t, "")
	w.deployed(t)
	w.check(t, "! nuage: cannot deploy app \"new\": it is new, so give --source DIR or --image REF; see nuage app deploy --help\nexit 2\n", "app", "deploy", "new")
	w.check(t, "! nuage: cannot scale to \"many\": give the number of replicas, as 3; see nuage app scale --help\nexit 2\n", "app", "scale", "shop", "many")
	w.check(t, "! nuage: cannot scale an app so: give either a number of replicas or --max, with --min, --rps or --cpu; see nuage app scale --help\nexit 2\n", "app", "scale", "shop")
	w.check(t, "! nuage: cannot unset \"X\": app \"shop\" has no such setting; see nuage app config list shop\nexit 1\n", "app", "config", "unset", "shop", "X")
	w.check(t, "! nuage: cannot unbind database \"orders\" from app \"shop\": it is not bound to it\nexit 1\n", "database", "unbind", "orders", "shop")
	w.check(t, "! nuage: cannot open app \"shop\": it has no address yet (running)\nexit 1\n", "app", "open", "shop")
	w.check(t, "! nuage: cannot use --to \"first\": give the number of a release, as 3 or v3; see nuage app rollback --help\nexit 2\n", "app", "rollback", "shop", "--to", "first")
	w.check(t, "! nuage: cannot split by \"v3\": give releases and percents, as v3=10 v2=90; see nuage app split --help\nexit 2\n", "app", "split", "shop", "v3")
}

func TestAppReadings(t *testing.T) {
	w := newWorld(t, "")
	w.deployed(t)
	w.check(t, "A=1\nB=2\n", "app", "config", "list", "shop")
	w.check(t, "line 1\nline 2\n", "app", "logs", "shop", "--tail", "5", "-f")
	if want := (api.LogQuery{Tail: 5, Follow: true}); w.streams.query != want || w.streams.noun != "apps" {
		t.Errorf("asked for logs of %s %+v, want apps %+v", w.streams.noun, w.streams.query, want)
	}
	w.check(t, `RELEASE   STATE     SHARE   IMAGE          SIZE   HEALTH   AGE   BY      REASON
v2        serving   100%    0123456789ab          tcp      0s    admin
v1        failed                                  tcp      60m   admin   the build failed
`, "app", "releases", "shop")
	w.check(t, "shop\n", "app", "rollback", "shop", "--to", "v1", "-o", "name")
	if w.apps.to != 1 {
		t.Errorf("rolled back to %d, want 1", w.apps.to)
	}
	w.check(t, "shop\n", "app", "split", "shop", "v3=10", "v2=90%", "--sticky", "-o", "name")
	yes := true
	if d := cmp.Diff(api.Split{Shares: []api.Share{{Release: 3, Percent: 10}, {Release: 2, Percent: 90}}, Sticky: &yes}, w.apps.split); d != "" {
		t.Error(d)
	}
}

func TestPromoteSaysWhatIsMissing(t *testing.T) {
	w := newWorld(t, "")
	w.deployed(t)
	w.check(t, `shop
! app "shop" of project "live" lacks what it has in project "default": setting MODE, database orders
`, "app", "promote", "shop", "--to", "live", "-o", "name")
	w.check(t, "! nuage: cannot understand the command line: required flag(s) \"to\" not set; see nuage app promote --help\nexit 2\n", "app", "promote", "shop")
}

func TestRunPassesWordsInputAndStatusOn(t *testing.T) {
	w := newWorld(t, "typed")
	w.streams.status = 7
	w.check(t, "to stdout\n! to stderr\nexit 7\n", "app", "run", "shop", "--", "sh", "-c", "exit 7")
	if d := cmp.Diff(api.Command{Words: []string{"sh", "-c", "exit 7"}}, w.streams.cmd); d != "" || w.streams.in != "typed" || w.streams.noun != "apps" {
		t.Errorf("ran on %s with input %q: %s", w.streams.noun, w.streams.in, d)
	}
	w = newWorld(t, "select 1;")
	w.run("database", "create", "orders", "--engine", "postgres", "-o", "name")
	w.check(t, "to stdout\n! to stderr\n", "database", "psql", "orders", "--", "-c", "select 2")
	want := api.Command{Words: []string{"psql", "-c", "select 2"}}
	if d := cmp.Diff(want, w.streams.cmd); d != "" || w.streams.noun != "databases" {
		t.Errorf("ran on %s: %s", w.streams.noun, d)
	}
}
