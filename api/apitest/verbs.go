package apitest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// archive is a tar with one file.
func archive(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, "tar", w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}))
	_, err := w.Write(content)
	must(t, "tar", err)
	must(t, "tar", w.Close())
	return b.Bytes()
}

func (s *suite) upload(t *testing.T, project string, module []byte) string {
	t.Helper()
	source, err := s.Cloud.Sources.Put(s.Context, project, bytes.NewReader(archive(t, "main.wasm", module)))
	must(t, "upload", err)
	return source.ID
}

// deploy makes a wasm function and waits until it can be called.
func (s *suite) deploy(t *testing.T, project, name string, module []byte) {
	t.Helper()
	_, err := s.Cloud.Functions.Create(s.Context, project, name, api.FunctionSpec{Runtime: "wasm", Source: s.upload(t, project, module)})
	must(t, "create function "+name, err)
	trial[api.Function, api.FunctionSpec]{functions(), s, s.Context, project, s.Cloud.Functions}.settled(t, name)
}

// gone deletes a function.
func (s *suite) gone(t *testing.T, project, name string) {
	t.Helper()
	trial[api.Function, api.FunctionSpec]{functions(), s, s.Context, project, s.Cloud.Functions}.remove(t, name)
}

func (s *suite) power(t *testing.T) {
	x := trial[api.Instance, api.InstanceSpec]{instances(), s, s.Context, s.project(t), s.Cloud.Instances}
	x.create(t, "one")
	x.settled(t, "one")
	for _, step := range []struct {
		action api.PowerAction
		phase  api.Phase
		grows  bool
	}{{api.PowerStart, api.Running, false}, {api.PowerStop, api.Stopped, true}, {api.PowerStop, api.Stopped, false},
		{api.PowerStart, api.Running, true}, {api.PowerReboot, api.Running, true}} {
		before, err := x.r.Get(x.ctx, x.project, "one")
		must(t, "get", err)
		_, err = s.Cloud.Instances.Power(x.ctx, x.project, "one", step.action)
		must(t, string(step.action), err)
		after, err := x.r.Wait(x.ctx, x.project, "one", s.Patience)
		must(t, "wait", err)
		if !api.Settled(after.Meta, after.Status.Status) || after.Status.Phase != step.phase {
			t.Errorf("after %s it is %s (%s), want %s", step.action, after.Status.Phase, after.Status.Reason, step.phase)
		}
		if grew := after.Generation > before.Generation; grew != step.grows {
			t.Errorf("%s: generation %d became %d", step.action, before.Generation, after.Generation)
		}
		if after.ID != before.ID || after.Status.Address != before.Status.Address {
			t.Errorf("%s: %s at %s became %s at %s", step.action, before.ID, before.Status.Address, after.ID, after.Status.Address)
		}
	}
	_, err := s.Cloud.Instances.Power(x.ctx, x.project, "nobody", api.PowerStop)
	wants(t, "power of nobody", err, api.NotFound)
}

func (s *suite) releases(t *testing.T) {
	x := trial[api.App, api.AppSpec]{apps(s.Image), s, s.Context, s.project(t), s.Cloud.Apps}
	x.create(t, "one")
	first := x.settled(t, "one")
	if first.Status.Release != 1 || len(first.Status.Replicas) != 1 || first.Status.URL == "" {
		t.Errorf("the first deploy answers %+v, want release 1, one replica and a URL", first.Status)
	}
	_, err := s.Cloud.Apps.Rollback(x.ctx, x.project, "one", 0)
	wants(t, "roll back the first release", err, api.Conflict)
	spec := x.specOf(t, first)
	spec.Env = map[string]string{"COLOR": "blue"}
	_, err = x.r.Update(x.ctx, x.project, "one", spec, 0)
	must(t, "deploy again", err)
	x.settled(t, "one")
	_, err = s.Cloud.Apps.Rollback(x.ctx, x.project, "one", 9)
	wants(t, "roll back to no release", err, api.NotFound)
	_, err = s.Cloud.Apps.Rollback(x.ctx, x.project, "one", 1)
	must(t, "roll back", err)
	back := x.settled(t, "one")
	if back.Status.Release != 3 || back.Spec.Env["COLOR"] != "" {
		t.Errorf("after the rollback release %d serves with %v, want release 3 with the settings of the first", back.Status.Release, back.Spec.Env)
	}
	all, err := s.Cloud.Apps.Releases(x.ctx, x.project, "one")
	must(t, "releases", err)
	states := ""
	for _, r := range all.Items {
		states += r.State + " "
	}
	if states != "serving superseded superseded " {
		t.Errorf("the releases are %q, newest first", states)
	}
	s.splits(t, x)
	s.secrets(t, x)
	s.promotes(t, x)
	_, err = s.Cloud.Apps.Releases(x.ctx, x.project, "nobody")
	wants(t, "releases of nobody", err, api.NotFound)
	_, err = s.Cloud.Apps.Rollback(x.ctx, x.project, "nobody", 0)
	wants(t, "roll back nobody", err, api.NotFound)
}

// secrets sets some of app "one", none of which is ever answered.
func (s *suite) secrets(t *testing.T, x trial[api.App, api.AppSpec]) {
	set := func(secrets map[string]string) (api.App, error) {
		a, err := x.r.Get(x.ctx, x.project, "one")
		must(t, "get", err)
		a.Spec.Secrets = secrets
		return x.r.Update(x.ctx, x.project, "one", a.Spec, 0)
	}
	_, err := set(map[string]string{"KEY": api.Masked})
	wants(t, "keep a secret that is not there", err, api.Invalid)
	_, err = set(map[string]string{"KEY": "tell nobody"})
	must(t, "set a secret", err)
	was := x.settled(t, "one")
	if len(was.Spec.Secrets) != 1 || was.Spec.Secrets["KEY"] != api.Masked {
		t.Errorf("the secrets are answered as %v", was.Spec.Secrets)
	}
	for name, next := range map[string]map[string]string{"kept": {"KEY": api.Masked}, "set to what it is": {"KEY": "tell nobody"}} {
		if a, err := set(next); err != nil || a.Generation != was.Generation {
			t.Errorf("a secret %s changes the app from generation %d to %d, %v", name, was.Generation, a.Generation, err)
		}
	}
	if a, err := set(map[string]string{"KEY": "told"}); err != nil || a.Generation == was.Generation || a.Spec.Secrets["KEY"] != api.Masked {
		t.Errorf("another value is answered as %v at generation %d, %v", a.Spec.Secrets, a.Generation, err)
	}
	x.settled(t, "one")
	_, err = set(nil)
	must(t, "unset secrets", err)
	x.settled(t, "one")
}

// promotes releases the image of app "one" in another project, as a new app and again.
func (s *suite) promotes(t *testing.T, x trial[api.App, api.AppSpec]) {
	from, err := x.r.Get(x.ctx, x.project, "one")
	must(t, "get", err)
	from.Spec.Env = map[string]string{"COLOR": "red"}
	_, err = x.r.Update(x.ctx, x.project, "one", from.Spec, 0)
	must(t, "set", err)
	from = x.settled(t, "one")
	_, err = s.Cloud.Apps.Promote(x.ctx, x.project, "one", x.project)
	wants(t, "promote to itself", err, api.Invalid)
	_, err = s.Cloud.Apps.Promote(x.ctx, x.project, "one", "nowhere")
	wants(t, "promote to nowhere", err, api.NotFound)
	stage := x
	stage.project = s.project(t)
	_, err = s.Cloud.Apps.Promote(x.ctx, x.project, "nobody", stage.project)
	wants(t, "promote nobody", err, api.NotFound)
	p, err := s.Cloud.Apps.Promote(x.ctx, x.project, "one", stage.project)
	must(t, "promote", err)
	defer stage.remove(t, "one")
	if !slices.Equal(p.Missing, []string{"setting COLOR"}) || p.App.Project != stage.project || p.App.Name != "one" {
		t.Errorf("the promotion made %q in %q and lacks %v", p.App.Name, p.App.Project, p.Missing)
	}
	first := stage.settled(t, "one")
	if first.Status.Release != 1 || first.Spec.Image != from.Spec.Image || len(first.Spec.Env) != 0 || first.Status.URL == from.Status.URL {
		t.Errorf("promoted it has release %d, %+v at %s", first.Status.Release, first.Spec, first.Status.URL)
	}
	again, err := s.Cloud.Apps.Promote(x.ctx, x.project, "one", stage.project)
	must(t, "promote again", err)
	if again.App.Generation != first.Generation {
		t.Errorf("what serves there already is promoted to generation %d", again.App.Generation)
	}
}

// splits shares the requests of an app whose releases 1 to 3 served out, and ends that again.
func (s *suite) splits(t *testing.T, x trial[api.App, api.AppSpec]) {
	share := func(shares ...api.Share) error {
		_, err := s.Cloud.Apps.Split(x.ctx, x.project, "one", api.Split{Shares: shares})
		return err
	}
	wants(t, "split into 90%", share(api.Share{Release: 3, Percent: 90}), api.Invalid)
	wants(t, "split by a release twice", share(api.Share{Release: 3, Percent: 50}, api.Share{Release: 3, Percent: 50}), api.Invalid)
	wants(t, "split by no release", share(api.Share{Release: 9, Percent: 100}), api.NotFound)
	_, err := s.Cloud.Apps.Split(x.ctx, x.project, "nobody", api.Split{Shares: []api.Share{{Release: 1, Percent: 100}}})
	wants(t, "split nobody", err, api.NotFound)
	must(t, "split", share(api.Share{Release: 2, Percent: 90}, api.Share{Release: 3, Percent: 10}))
	a := x.settled(t, "one")
	if want := []api.Share{{Release: 3, Percent: 10}, {Release: 2, Percent: 90}}; !slices.Equal(a.Status.Shares, want) || a.Status.Release != 3 || len(a.Status.Replicas) != 2 {
		t.Errorf("split it has the shares %v, release %d and %d replicas, want %v, 3 and 2", a.Status.Shares, a.Status.Release, len(a.Status.Replicas), want)
	}
	must(t, "all to the earlier release", share(api.Share{Release: 2, Percent: 100}, api.Share{Release: 3}))
	if a = x.settled(t, "one"); a.Status.Shares != nil || a.Status.Release != 2 || len(a.Status.Replicas) != 1 || a.Spec.Env["COLOR"] != "blue" {
		t.Errorf("after the split release %d serves with %v and the settings %v, want release 2 with its own", a.Status.Release, a.Status.Replicas, a.Spec.Env)
	}
}

func (s *suite) credentials(t *testing.T) {
	x := trial[api.Database, api.DatabaseSpec]{databases(), s, s.Context, s.project(t), s.Cloud.Databases}
	x.create(t, "one")
	x.settled(t, "one")
	c, err := s.Cloud.Databases.Credentials(x.ctx, x.project, "one")
	if s.Guests {
		must(t, "credentials", err)
		checkCredentials(t, c)
		s.rotation(t, x, c)
	} else {
		wants(t, "credentials of a server that is none", err, api.Conflict)
	}
	_, err = s.Cloud.Databases.Rotate(x.ctx, x.project, "nobody")
	wants(t, "rotate the credentials of nobody", err, api.NotFound)
	_, err = s.Cloud.Databases.Credentials(x.ctx, x.project, "nobody")
	wants(t, "credentials of nobody", err, api.NotFound)
	spec := x.specOf(t, x.settled(t, "one"))
	spec.StorageBytes = 5 << 30
	_, err = x.r.Update(x.ctx, x.project, "one", spec, 0)
	wants(t, "change the storage", err, api.Conflict)
}

// rotation: the new credentials are others, and are what is given from then on.
func (s *suite) rotation(t *testing.T, x trial[api.Database, api.DatabaseSpec], before api.Credentials) {
	t.Helper()
	c, err := s.Cloud.Databases.Rotate(x.ctx, x.project, "one")
	must(t, "rotate", err)
	checkCredentials(t, c)
	if c.User == before.User || c.Password == before.Password {
		t.Error("the new credentials are those before")
	}
	now, err := s.Cloud.Databases.Credentials(x.ctx, x.project, "one")
	must(t, "credentials", err)
	if now != c {
		t.Error("the credentials given after a rotation are others than it answered")
	}
}

func checkCredentials(t *testing.T, c api.Credentials) {
	t.Helper()
	for name, v := range map[string]string{"user": c.User, "password": c.Password} {
		if v == "" || !strings.Contains(c.URL, v) || !strings.Contains(c.InternalURL, v) {
			t.Errorf("the %s is not in the addresses of the credentials", name)
		}
	}
}

func (s *suite) sources(t *testing.T) {
	project := s.project(t)
	put := func(content []byte) (api.Source, error) {
		return s.Cloud.Sources.Put(s.Context, project, bytes.NewReader(content))
	}
	plain := archive(t, "main.wasm", Echo())
	first, err := put(plain)
	must(t, "put", err)
	if !strings.HasPrefix(first.ID, "src-") || len(first.ID) != 68 || first.Size <= 0 {
		t.Errorf("put answers %+v, want src- with 64 digits, and a size", first)
	}
	again, err := put(plain)
	must(t, "put again", err)
	if again != first {
		t.Errorf("the same content is %+v and %+v", first, again)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err = z.Write(plain)
	must(t, "gzip", err)
	must(t, "gzip", z.Close())
	_, err = put(zipped.Bytes())
	wants(t, "put a compressed tar", err, "")
	for why, content := range map[string][]byte{
		"nothing": {}, "no tar": []byte("hello"), "half a tar": plain[:600], "a path that leaves the folder": archive(t, "../out", nil),
		"an absolute path": archive(t, "/etc/passwd", nil), "half a gzip stream": zipped.Bytes()[:20],
	} {
		_, err := put(content)
		wants(t, "put "+why, err, api.Invalid)
	}
	c, ctx := s.limited(t, s.project(t))
	_, err = c.Sources.Put(ctx, project, bytes.NewReader(plain))
	wants(t, "put with a token for another project", err, api.Forbidden)
}

func (s *suite) invocations(t *testing.T) {
	project := s.project(t)
	s.deploy(t, project, "echo", Echo())
	defer s.gone(t, project, "echo")
	for _, payload := range []string{"", "hello", `{"a": 1}`, strings.Repeat("\x00\xff", 100_000)} {
		s.echoes(t, project, payload)
	}
	calls, err := s.Cloud.Functions.Calls(s.Context, project, "echo", 2)
	must(t, "calls", err)
	if len(calls.Items) != 2 || calls.Items[0].StartedAt.Before(calls.Items[1].StartedAt) {
		t.Errorf("the last two calls are %+v, want two, newest first", calls.Items)
	}
	s.fails(t, project)
	s.versions(t, project)
	_, err = s.Cloud.Functions.Invoke(s.Context, project, "nobody", api.Invocation{Type: api.Sync})
	wants(t, "invoke nobody", err, api.NotFound)
	_, err = s.Cloud.Functions.Calls(s.Context, project, "nobody", 0)
	wants(t, "calls of nobody", err, api.NotFound)
	_, err = s.Cloud.Functions.Calls(s.Context, project, "echo", -1)
	wants(t, "fewer calls than none", err, api.Invalid)
	_, err = s.Cloud.Functions.Invoke(s.Context, project, "echo", api.Invocation{Type: api.Sync, Payload: make([]byte, api.MaxPayloadBytes+1)})
	wants(t, "invoke with too much", err, api.Invalid)
	c, ctx := s.limited(t, s.project(t))
	_, err = c.Functions.Invoke(ctx, project, "echo", api.Invocation{Type: api.Sync})
	wants(t, "invoke with a token for another project", err, api.Forbidden)
}

// echoes calls the echo and checks the receipt.
func (s *suite) echoes(t *testing.T, project, payload string) {
	t.Helper()
	answer, err := s.Cloud.Functions.Invoke(s.Context, project, "echo", api.Invocation{Type: api.Sync, Payload: []byte(payload), ContentType: "text/plain"})
	must(t, "invoke", err)
	if string(answer.Payload) != payload || answer.FunctionError != "" {
		t.Errorf("the echo of %d bytes is %.100q (%s)", len(payload), answer.Payload, answer.FunctionError)
	}
	r := answer.Receipt
	if r.RequestID == "" || r.Function != "echo" || r.Project != project || r.Status != "ok" || r.BilledMs < 1 || r.MemoryMB != api.DefaultMemoryMB || r.StartedAt.IsZero() {
		t.Errorf("the receipt is %+v", r)
	}
	calls, err := s.Cloud.Functions.Calls(s.Context, project, "echo", 1)
	must(t, "calls", err)
	if len(calls.Items) != 1 || calls.Items[0].RequestID != r.RequestID || calls.Items[0].Cost != r.Cost {
		t.Errorf("the newest call is %+v, want %+v", calls.Items, r)
	}
}

// versions publishes versions of echo and leads aliases to them.
func (s *suite) versions(t *testing.T, project string) {
	t.Helper()
	x, ctx := s.Cloud.Versions, s.Context
	first, err := x.Publish(ctx, project, "echo")
	must(t, "publish", err)
	again, err := x.Publish(ctx, project, "echo")
	must(t, "publish again", err)
	if first.Version != 1 || first.Function != "echo" || first.Spec.Source == "" || !again.PublishedAt.Equal(first.PublishedAt) {
		t.Errorf("published %+v, then %+v, want version 1 twice", first, again)
	}
	f, err := s.Cloud.Functions.Get(ctx, project, "echo")
	must(t, "get", err)
	f.Spec.Env = map[string]string{"A": "2"}
	_, err = s.Cloud.Functions.Update(ctx, project, "echo", f.Spec, 0)
	must(t, "deploy again", err)
	trial[api.Function, api.FunctionSpec]{functions(), s, ctx, project, s.Cloud.Functions}.settled(t, "echo")
	_, err = x.SetAlias(ctx, project, "echo", "live", []api.VersionShare{{Version: 2, Percent: 100}})
	wants(t, "an alias of a version that is not published", err, api.NotFound)
	_, err = x.Publish(ctx, project, "echo")
	must(t, "publish the second", err)
	for why, shares := range map[string][]api.VersionShare{"none": nil, "half": {{Version: 1, Percent: 50}}, "twice": {{Version: 1, Percent: 50}, {Version: 1, Percent: 50}},
		"three": {{Version: 1, Percent: 50}, {Version: 2, Percent: 25}, {Version: 3, Percent: 25}}} {
		_, err = x.SetAlias(ctx, project, "echo", "live", shares)
		wants(t, "an alias with bad shares: "+why, err, api.Invalid)
	}
	_, err = x.SetAlias(ctx, project, "echo", "12", []api.VersionShare{{Version: 1, Percent: 100}})
	wants(t, "an alias that is a number", err, api.Invalid)
	alias, err := x.SetAlias(ctx, project, "echo", "live", []api.VersionShare{{Version: 1}, {Version: 2, Percent: 40}})
	must(t, "an alias of two", err)
	if want := []api.VersionShare{{Version: 2, Percent: 40}, {Version: 1, Percent: 60}}; !slices.Equal(alias.Versions, want) {
		t.Errorf("the alias leads to %v, want %v", alias.Versions, want)
	}
	s.qualified(t, project)
	s.withdrawn(t, project)
}

// qualified calls versions by number and by alias; the receipt tells which it was.
func (s *suite) qualified(t *testing.T, project string) {
	t.Helper()
	call := func(qualifier string, kind api.InvocationType) (api.Answer, error) {
		return s.Cloud.Functions.Invoke(s.Context, project, "echo", api.Invocation{Type: kind, Qualifier: qualifier, Payload: []byte("x")})
	}
	seen := map[int]int{}
	for range 100 {
		a, err := call("live", api.Sync)
		must(t, "call the alias", err)
		seen[a.Receipt.Version]++
	}
	if seen[1] < 30 || seen[2] < 15 || seen[1]+seen[2] != 100 {
		t.Errorf("of 100 calls %v went to the versions, want about 60 and 40", seen)
	}
	for qualifier, want := range map[string]int{"1": 1, "2": 2, "": 2} {
		a, err := call(qualifier, api.Sync)
		must(t, "call version "+qualifier, err)
		dry, err := call(qualifier, api.DryRun)
		must(t, "try version "+qualifier, err)
		if a.Receipt.Version != want || string(a.Payload) != "x" || dry.Receipt.Version != want || len(dry.Payload) != 0 {
			t.Errorf("version %q answers %q as %d, and %q as %d when only tried", qualifier, a.Payload, a.Receipt.Version, dry.Payload, dry.Receipt.Version)
		}
	}
	for _, qualifier := range []string{"9", "nobody"} {
		_, err := call(qualifier, api.Sync)
		wants(t, "call "+qualifier, err, api.NotFound)
		_, err = call(qualifier, api.DryRun)
		wants(t, "try "+qualifier, err, api.NotFound)
	}
}

// withdrawn deletes what is not used, and is refused what is.
func (s *suite) withdrawn(t *testing.T, project string) {
	t.Helper()
	x, ctx := s.Cloud.Versions, s.Context
	wants(t, "delete a version with an alias", x.Unpublish(ctx, project, "echo", 1), api.Conflict)
	_, err := x.SetAlias(ctx, project, "echo", "live", []api.VersionShare{{Version: 2, Percent: 100}})
	must(t, "lead the alias elsewhere", err)
	must(t, "delete a version", x.Unpublish(ctx, project, "echo", 1))
	wants(t, "delete it again", x.Unpublish(ctx, project, "echo", 1), api.NotFound)
	versions, err := x.Versions(ctx, project, "echo")
	must(t, "versions", err)
	if len(versions.Items) != 1 || versions.Items[0].Version != 2 || !slices.Equal(versions.Items[0].Aliases, []string{"live"}) {
		t.Errorf("the versions are %+v, want the second with its alias", versions.Items)
	}
	aliases, err := x.Aliases(ctx, project, "echo")
	must(t, "aliases", err)
	if len(aliases.Items) != 1 || aliases.Items[0].Name != "live" {
		t.Errorf("the aliases are %+v", aliases.Items)
	}
	must(t, "delete an alias", x.DeleteAlias(ctx, project, "echo", "live"))
	wants(t, "delete it again", x.DeleteAlias(ctx, project, "echo", "live"), api.NotFound)
}

// fails checks that an error of the function is none of the cloud.
func (s *suite) fails(t *testing.T, project string) {
	t.Helper()
	s.deploy(t, project, "trap", Trap())
	defer s.gone(t, project, "trap")
	answer, err := s.Cloud.Functions.Invoke(s.Context, project, "trap", api.Invocation{Type: api.Sync})
	must(t, "invoke what fails", err)
	if answer.FunctionError != "Unhandled" || !bytes.Contains(answer.Payload, []byte(`"errorMessage"`)) {
		t.Errorf("a trap answers %q with error %q, want an error document and Unhandled", answer.Payload, answer.FunctionError)
	}
	if answer.Receipt.Status == "ok" || answer.Receipt.BilledMs < 1 {
		t.Errorf("the receipt of a trap is %+v", answer.Receipt)
	}
}

func (s *suite) streams(t *testing.T) {
	x := trial[api.Instance, api.InstanceSpec]{instances(), s, s.Context, s.project(t), s.Cloud.Instances}
	x.create(t, "one")
	x.settled(t, "one")
	var out, errs bytes.Buffer
	stdio := api.Stdio{In: strings.NewReader("fed"), Out: &out, Err: &errs}
	status, err := s.Cloud.Streams.Exec(x.ctx, x.project, "instances", "one", api.Command{Words: []string{"cat; echo oops >&2; exit 3"}}, stdio)
	if s.Guests {
		must(t, "exec", err)
		if status != 3 || out.String() != "fed" || errs.String() != "oops\n" {
			t.Errorf("exec answers %d, %q and %q", status, &out, &errs)
		}
	} else {
		wants(t, "exec without a guest", err, api.Unsupported)
	}
	_, err = s.Cloud.Streams.Exec(x.ctx, x.project, "instances", "nobody", api.Command{Words: []string{"true"}}, api.Stdio{Out: &out, Err: &errs})
	wants(t, "exec in nobody", err, api.NotFound)
	_, err = s.Cloud.Streams.Exec(x.ctx, x.project, "instances", "one", api.Command{}, api.Stdio{Out: &out, Err: &errs})
	wants(t, "exec of nothing", err, api.Invalid)
	_, err = s.Cloud.Streams.Logs(x.ctx, x.project, "instances", "nobody", api.LogQuery{})
	wants(t, "logs of nobody", err, api.NotFound)
	console, err := s.Cloud.Streams.Logs(x.ctx, x.project, "instances", "one", api.LogQuery{Tail: 10})
	if !s.Guests {
		wants(t, "logs of what prints nothing", err, api.Unsupported)
		return
	}
	must(t, "logs", err)
	_, err = io.Copy(io.Discard, console)
	must(t, "read the log", err)
	must(t, "close the log", console.Close())
}

func (s *suite) clock(t *testing.T) {
	before, err := s.Cloud.Clock.Get(s.Context)
	must(t, "clock", err)
	after, err := s.Cloud.Clock.Change(s.Context, api.ClockChange{AdvanceSeconds: 3600})
	must(t, "advance the clock", err)
	if passed := after.Now.Sub(before.Now); passed < time.Hour || before.Speed < 1 {
		t.Errorf("the clock went from %+v to %+v", before, after)
	}
	for _, c := range []api.ClockChange{{}, {Speed: 2, AdvanceSeconds: 1}} {
		_, err = s.Cloud.Clock.Change(s.Context, c)
		wants(t, "a change of both or neither", err, api.Invalid)
	}
}

func (s *suite) ledger(t *testing.T) {
	project := s.project(t)
	s.deploy(t, project, "echo", Echo())
	defer s.gone(t, project, "echo")
	s.echoes(t, project, "for money")
	usage, err := s.Cloud.Ledger.Usage(s.Context, api.UsageQuery{Project: project, Resource: "echo"})
	must(t, "usage", err)
	if len(usage.Items) == 0 {
		t.Error("a call left no usage")
	}
	for _, u := range usage.Items {
		if u.Project != project || u.Resource != "echo" || u.Meter == "" || u.Quantity < 0 || u.End.Before(u.Start) {
			t.Errorf("the usage %+v is not of the function, or makes no sense", u)
		}
	}
	for _, by := range []string{"", "service", "resource", "model", "project", "day", "tag:class"} {
		s.adds(t, api.BillQuery{By: by})
		s.adds(t, api.BillQuery{By: by, Project: project})
	}
	now := time.Now()
	for why, q := range map[string]api.BillQuery{
		"an unknown sum": {By: "mood"}, "a tag without a name": {By: "tag:"}, "an unknown book": {Book: "nobody"}, "an end before the start": {From: now, To: now.Add(-time.Hour)},
	} {
		_, err := s.Cloud.Ledger.Bill(s.Context, q)
		wants(t, "bill with "+why, err, api.Invalid)
	}
	book, err := s.Cloud.Ledger.Prices(s.Context, "")
	must(t, "prices", err)
	if book.Name != "nuage" || book.Currency != "USD" || len(book.Prices) == 0 {
		t.Errorf("the book is %s in %s with %d prices", book.Name, book.Currency, len(book.Prices))
	}
	_, err = s.Cloud.Ledger.Prices(s.Context, "nobody")
	wants(t, "an unknown book", err, api.NotFound)
	c, ctx := s.limited(t, s.project(t))
	_, err = c.Ledger.Bill(ctx, api.BillQuery{Project: project})
	wants(t, "bill with a token for another project", err, api.Forbidden)
	_, err = c.Ledger.Usage(ctx, api.UsageQuery{Project: project})
	wants(t, "usage with a token for another project", err, api.Forbidden)
	s.books(t, c, ctx)
}

// books looks at closed periods and at how long receipts are kept, without closing one.
func (s *suite) books(t *testing.T, limited api.Cloud, ctx context.Context) {
	t.Helper()
	_, err := limited.Ledger.Close(ctx, "")
	wants(t, "close with a token for a project", err, api.Forbidden)
	_, err = s.Cloud.Ledger.Close(s.Context, "soon")
	wants(t, "close what is no month", err, api.Invalid)
	for _, period := range []string{"2001-01", "9998-01"} {
		_, err = s.Cloud.Ledger.Close(s.Context, period)
		wants(t, "close "+period, err, api.Conflict)
	}
	closed, err := s.Cloud.Ledger.Invoices(s.Context, api.Page{})
	must(t, "invoices", err)
	if closed.Items == nil {
		t.Error("the list of invoices is null")
	}
	kept, err := s.Cloud.Ledger.Retention(s.Context)
	must(t, "retention", err)
	if kept.Receipts == 0 || kept.Oldest == nil {
		t.Errorf("after a call the receipts are %+v", kept)
	}
	kept, err = s.Cloud.Ledger.SetRetention(s.Context, api.Retention{Days: 30})
	must(t, "keep receipts for a month", err)
	if kept.Days != 30 || kept.Receipts == 0 {
		t.Errorf("of a month there are %+v", kept)
	}
	for _, days := range []int64{-1, 36_501} {
		_, err = s.Cloud.Ledger.SetRetention(s.Context, api.Retention{Days: days})
		wants(t, "keep receipts for too long", err, api.Invalid)
	}
	_, err = limited.Ledger.SetRetention(ctx, api.Retention{Days: 1})
	wants(t, "keep receipts with a token for a project", err, api.Forbidden)
}

// adds checks that a bill's total is the sum of its lines to the last digit.
func (s *suite) adds(t *testing.T, q api.BillQuery) {
	t.Helper()
	bill, err := s.Cloud.Ledger.Bill(s.Context, q)
	must(t, "bill", err)
	if len(bill.Lines) == 0 || bill.Currency != "USD" || !bill.PeriodEnd.After(bill.PeriodStart) {
		t.Errorf("the bill %+v has %d lines in %s", q, len(bill.Lines), bill.Currency)
	}
	sum := new(big.Rat)
	for _, line := range bill.Lines {
		cost, ok := new(big.Rat).SetString(line.Cost)
		if !ok {
			t.Fatalf("the cost %q is no decimal", line.Cost)
		}
		sum.Add(sum, cost)
	}
	if got := sum.FloatString(6); got != bill.Total {
		t.Errorf("the lines of the bill %+v add up to %s, the total is %s", q, got, bill.Total)
	}
}

func (s *suite) comparisons(t *testing.T) {
	project := s.project(t)
	s.deploy(t, project, "echo", Echo())
	defer s.gone(t, project, "echo")
	m := api.Measurement{Subject: "echo", Name: "recovery", Unit: "s", Value: "0.25", At: time.Now().UTC()}
	wants(t, "measure", s.Cloud.Comparisons.Measure(s.Context, project, m), "")
	c, err := s.Cloud.Comparisons.Compare(s.Context, project, []string{"echo"})
	must(t, "compare", err)
	if len(c.Subjects) != 1 || c.Subjects[0] != (api.Subject{Name: "echo", Noun: "function", Model: "faas"}) {
		t.Errorf("the subjects are %+v", c.Subjects)
	}
	for i, layer := range api.Layers() {
		if i >= len(c.Layers) || c.Layers[i].Layer != layer || len(c.Layers[i].Cells) != 1 {
			t.Fatalf("row %d of the comparison is not %s with one cell", i, layer)
		}
	}
	found := ""
	for _, measure := range c.Measures {
		if measure.Name == "recovery" {
			found = measure.Values["echo"] + " " + measure.Unit
		}
	}
	if found != "0.25 s" {
		t.Errorf("the measured recovery is %q, want 0.25 s", found)
	}
	_, err = s.Cloud.Comparisons.Compare(s.Context, project, []string{"nobody"})
	wants(t, "compare nobody", err, api.NotFound)
	if feed, err := s.Cloud.Advisories.Feed(s.Context); err != nil || len(feed.Items) == 0 || feed.Items[0].Affected == feed.Items[0].Fixed {
		t.Errorf("the feed is %+v, %v", feed.Items, err)
	}
	if found, err := s.Cloud.Advisories.Findings(s.Context, project); err != nil || len(found.Items) > 0 {
		t.Errorf("found %+v, %v where nothing was planted", found.Items, err)
	}
	_, err = s.Cloud.Advisories.Plant(s.Context, project, api.Planting{Advisory: "NUAGE-0-0", Subjects: []string{"echo"}})
	wants(t, "plant what no advisory is about", err, api.NotFound)
	m.Value = "fast"
	wants(t, "measure no figure", s.Cloud.Comparisons.Measure(s.Context, project, m), api.Invalid)
	m.Value, m.Subject = "1", "nobody"
	wants(t, "measure nobody", s.Cloud.Comparisons.Measure(s.Context, project, m), api.NotFound)
}

func (s *suite) system(t *testing.T) {
	status, err := s.Cloud.System.Status(s.Context)
	must(t, "status", err)
	if status.CloudID == "" || status.Engine == "" || status.StartedAt.IsZero() || !status.Ready {
		t.Errorf("the status is %+v", status)
	}
	var copied bytes.Buffer
	must(t, "backup", s.Cloud.System.Backup(s.Context, &copied))
	if copied.Len() == 0 {
		t.Error("the backup is empty")
	}
	c, ctx := s.limited(t, s.project(t))
	wants(t, "backup with a limited token", c.System.Backup(ctx, io.Discard), api.Forbidden)
	wants(t, "shutdown with a limited token", c.System.Shutdown(ctx), api.Forbidden)
}
