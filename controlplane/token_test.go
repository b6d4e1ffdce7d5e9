package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nuage/api"
	"nuage/compute/sim"
	"nuage/storage"
)

// everyMethod calls each method of each interface of the cloud, as actor in ctx, on the project default.
func everyMethod(ctx context.Context, cloud api.Cloud, fn func(method string, err error)) {
	fields := reflect.ValueOf(cloud)
	for i := range fields.NumField() {
		face := fields.Type().Field(i)
		for m := range face.Type.NumMethod() {
			name := face.Type.Method(m).Name
			method := fields.Field(i).MethodByName(name)
			out := method.Call(arguments(ctx, method.Type()))
			err, _ := out[len(out)-1].Interface().(error)
			fn(face.Name+"."+name, err)
		}
	}
}

// arguments are harmless ones: the first text is the project, the next ones are a noun and a name.
func arguments(ctx context.Context, method reflect.Type) []reflect.Value {
	texts := []string{"default", "instances", "nobody", "nothing"}
	in := []reflect.Value{reflect.ValueOf(ctx)}
	for i := 1; i < method.NumIn(); i++ {
		arg := reflect.New(method.In(i)).Elem()
		switch {
		case arg.Kind() == reflect.String && arg.Type() == reflect.TypeFor[string]():
			arg.SetString(texts[0])
			texts = texts[1:]
		case arg.Kind() == reflect.Struct && arg.FieldByName("Project").IsValid():
			arg.FieldByName("Project").SetString("default")
		}
		in = append(in, arg)
	}
	return in
}

func TestLimitedTokenIsLimitedEverywhere(t *testing.T) {
	p := newPlane(t, setup{report: func() { t.Error("a limited token ended the cloud") }})
	_, err := p.cloud.Projects.Create(asCustomer(), "lab", api.ProjectSpec{})
	must(t, err)
	token, err := p.cloud.Tokens.Create(asCustomer(), "student", api.TokenSpec{Project: "lab"})
	must(t, err)
	actor, err := p.cloud.Tokens.Authenticate(context.Background(), token.Secret)
	must(t, err)
	open := []string{"Projects.List", "Tokens.Authenticate", "Ledger.Prices", "Ledger.Invoices", "Advisories.Feed", "Clock.Get", "System.Status"} // each shows its own project or none
	everyMethod(api.WithActor(context.Background(), actor), p.cloud, func(method string, err error) {
		if !slices.Contains(open, method) && !errors.Is(err, api.Forbidden) {
			t.Errorf("%s for another project answers %v, want forbidden", method, err)
		}
	})
	ctx := api.WithActor(context.Background(), actor)
	list, err := p.cloud.Projects.List(ctx, api.Page{})
	must(t, err)
	if len(list.Items) != 1 || list.Items[0].Name != "lab" {
		t.Errorf("it sees the projects %+v", list.Items)
	}
	status, err := p.cloud.System.Status(ctx)
	must(t, err)
	if status.Counts["projects"] != 1 {
		t.Errorf("it counts %v", status.Counts)
	}
	activities, err := p.cloud.Activities.List(ctx, api.ActivityQuery{})
	must(t, err)
	for _, a := range activities.Items {
		if a.Project != "lab" {
			t.Errorf("it sees the activity %+v", a)
		}
	}
}

func TestNobodyGetsNowhere(t *testing.T) {
	p := newPlane(t, setup{report: func() { t.Error("nobody ended the cloud") }})
	everyMethod(context.Background(), p.cloud, func(method string, err error) {
		if !errors.Is(err, api.Unauthenticated) {
			t.Errorf("%s for nobody answers %v, want unauthenticated", method, err)
		}
	})
}

func TestTokensEnd(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p, err := setup{dir: dir, host: sim.NewState(), idle: true}.start()
		must(t, err)
		ctx := asCustomer()
		lets := func(secret string) bool {
			_, err := p.cloud.Tokens.Authenticate(context.Background(), secret)
			if err != nil && !errors.Is(err, api.Unauthenticated) {
				t.Errorf("authenticate answers %v", err)
			}
			return err == nil
		}
		soon := time.Now().Add(time.Hour)
		expiring, err := p.cloud.Tokens.Create(ctx, "expiring", api.TokenSpec{ExpiresAt: &soon})
		must(t, err)
		revoked, err := p.cloud.Tokens.Create(ctx, "revoked", api.TokenSpec{})
		must(t, err)
		_, err = p.cloud.Projects.Create(ctx, "lab", api.ProjectSpec{})
		must(t, err)
		orphan, err := p.cloud.Tokens.Create(ctx, "orphan", api.TokenSpec{Project: "lab"})
		must(t, err)
		if !lets(expiring.Secret) || !lets(revoked.Secret) || !lets(orphan.Secret) {
			t.Error("good tokens do not let in")
		}
		time.Sleep(time.Hour)
		must(t, p.cloud.Tokens.Revoke(ctx, "revoked"))
		must(t, p.cloud.Projects.Delete(ctx, "lab"))
		_, err = p.cloud.Projects.Create(ctx, "lab", api.ProjectSpec{})
		must(t, err)
		for _, token := range []api.Token{expiring, revoked, orphan} {
			if lets(token.Secret) {
				t.Errorf("token %s still lets in", token.Name)
			}
		}
		own, err := p.cloud.Tokens.Create(ctx, customer.Name, api.TokenSpec{})
		must(t, err)
		if err := p.cloud.Tokens.Revoke(api.WithActor(ctx, api.Actor{Kind: api.Customer, Name: "me", Token: own.Name}), own.Name); !errors.Is(err, api.Conflict) {
			t.Errorf("revoking the token in use answers %v, want a conflict", err)
		}
		must(t, p.stop())
	})
}

func TestFirstToken(t *testing.T) {
	p := newPlane(t, setup{idle: true})
	first, err := p.FirstToken(context.Background(), "")
	must(t, err)
	again, err := p.FirstToken(context.Background(), first)
	must(t, err)
	if again != first {
		t.Error("a token that is good was replaced")
	}
	limited, err := p.cloud.Tokens.Create(asCustomer(), "limited", api.TokenSpec{Project: "default"})
	must(t, err)
	next, err := p.FirstToken(context.Background(), limited.Secret)
	must(t, err)
	if next == limited.Secret {
		t.Error("a limited token was taken for the owner's")
	}
	if _, err := p.cloud.Tokens.Authenticate(context.Background(), first); !errors.Is(err, api.Unauthenticated) {
		t.Errorf("the owner's earlier token still answers %v", err)
	}
}

// TestSecretsAreNotInTheStore looks for them in the bytes of the file, and in what users can list.
func TestSecretsAreNotInTheStore(t *testing.T) {
	p, _ := newLivePlane(t)
	ctx := asCustomer()
	token, err := p.cloud.Tokens.Create(ctx, "ci", api.TokenSpec{})
	must(t, err)
	_, err = p.cloud.Instances.Create(ctx, "default", "i", api.InstanceSpec{Type: "nano"})
	must(t, err)
	_, err = p.cloud.Databases.Create(ctx, "default", "d", api.DatabaseSpec{Engine: "postgres"})
	must(t, err)
	web := behave("ok")
	web.Database = "d"
	p.deploy(t, "web", web)
	secrets := map[string]string{"a token": token.Secret, "a token's random part": strings.TrimPrefix(token.Secret, "nuage_"), "a private key": "OPENSSH PRIVATE KEY"}
	eventually(t, "credentials", func() bool {
		c, err := p.cloud.Databases.Credentials(ctx, "default", "d")
		secrets["a password"] = c.Password
		return err == nil
	})
	must(t, p.Store.View(func(tx *storage.Tx) error {
		return machineTable.Each(tx, "", func(m machine) error {
			private, err := p.Sealer.Open(m.HostKey, m.ID+"/hostkey")
			secrets["a host key"] = strings.Split(string(private), "\n")[3]
			return err
		})
	}))
	raw, err := os.ReadFile(filepath.Join(p.dir, "state.db"))
	must(t, err)
	shown, err := json.Marshal(listed(t, p))
	must(t, err)
	for what, secret := range secrets {
		if len(secret) < 15 {
			t.Errorf("%s is %q: there is nothing to look for", what, secret)
		}
		for _, encoded := range []string{secret, jsonText(t, secret), jsonText(t, []byte(secret))} {
			if strings.Contains(string(raw), encoded) {
				t.Errorf("the store holds %s in clear", what)
			}
			if strings.Contains(string(shown), encoded) {
				t.Errorf("a list shows %s", what)
			}
		}
	}
	if !strings.Contains(string(raw), "ci") || !strings.Contains(string(shown), "web") {
		t.Error("this test looked at the wrong bytes")
	}
}

// jsonText is a value as it stands in a record, without its quotes.
func jsonText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	return strings.Trim(string(text), `"`)
}

// listed is everything that lists show.
func listed(t *testing.T, p *plane) []any {
	t.Helper()
	ctx := asCustomer()
	var all []any
	add := func(v any, err error) {
		t.Helper()
		must(t, err)
		all = append(all, v)
	}
	tokens, err := p.cloud.Tokens.List(ctx, api.Page{})
	add(tokens, err)
	instances, err := p.cloud.Instances.List(ctx, "default", api.Page{})
	add(instances, err)
	databases, err := p.cloud.Databases.List(ctx, "default", api.Page{})
	add(databases, err)
	apps, err := p.cloud.Apps.List(ctx, "default", api.Page{})
	add(apps, err)
	releases, err := p.cloud.Apps.Releases(ctx, "default", "web")
	add(releases, err)
	activities, err := p.cloud.Activities.List(ctx, api.ActivityQuery{})
	add(activities, err)
	usage, err := p.cloud.Ledger.Usage(ctx, api.UsageQuery{})
	add(usage, err)
	return all
}
