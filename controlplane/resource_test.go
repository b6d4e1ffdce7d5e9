package controlplane

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nuage/api"
	"nuage/compute/sim"
	"nuage/storage"
)

// idle runs a script in fake time on a plane whose loop does not run.
func idle(t *testing.T, script func(t *testing.T, p *plane)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p, err := setup{dir: dir, host: sim.NewState(), idle: true}.start()
		must(t, err)
		script(t, p)
		must(t, p.stop())
	})
}

// TestOneKeyMakesOneThing, however many ask at once.
func TestOneKeyMakesOneThing(t *testing.T) {
	p := newPlane(t, setup{idle: true})
	ctx := api.WithIdempotencyKey(asCustomer(), "again and again")
	var all sync.WaitGroup
	ids := make([]string, 20)
	for n := range ids {
		all.Go(func() {
			i, err := p.cloud.Instances.Create(ctx, "default", "i", api.InstanceSpec{Type: "nano"})
			ids[n] = fmt.Sprint(i.ID, err)
		})
	}
	all.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("one key answered %s and %s", ids[0], id)
		}
	}
	if _, err := p.cloud.Instances.Create(ctx, "default", "other", api.InstanceSpec{Type: "nano"}); !errors.Is(err, api.Conflict) {
		t.Errorf("the same key for something else answers %v, want a conflict", err)
	}
	if _, err := p.cloud.Keys.Create(ctx, "default", "k", api.KeySpec{PublicKey: testKey}); err != nil {
		t.Errorf("the same key for another noun answers %v", err)
	}
}

func TestKeysAreForgottenAfterADay(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		ctx := api.WithIdempotencyKey(asCustomer(), "mine")
		spec := api.KeySpec{PublicKey: testKey}
		first, err := p.cloud.Keys.Create(ctx, "default", "k", spec)
		must(t, err)
		time.Sleep(keepReplays - time.Second)
		again, err := p.cloud.Keys.Create(ctx, "default", "k", spec)
		must(t, err)
		if again.ID != first.ID {
			t.Errorf("within a day the key made %s and %s", first.ID, again.ID)
		}
		must(t, p.tidy())
		if n := p.stored(t); n != 1 {
			t.Errorf("%d keys are kept, want 1", n)
		}
		time.Sleep(time.Second)
		if _, err := p.cloud.Keys.Create(ctx, "default", "k", spec); !errors.Is(err, api.Conflict) {
			t.Errorf("after a day the name is answered with %v, want a conflict", err)
		}
		must(t, p.tidy())
		if n := p.stored(t); n != 0 {
			t.Errorf("%d keys are kept, want none", n)
		}
	})
}

// stored counts the idempotency keys.
func (p *plane) stored(t *testing.T) (n int) {
	t.Helper()
	must(t, p.Store.View(func(tx *storage.Tx) (err error) { n, err = replayTable.Count(tx, ""); return err }))
	return n
}

func TestGenerations(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		ctx, groups := asCustomer(), p.cloud.SecurityGroups
		_, err := groups.Create(ctx, "default", "g", api.SecurityGroupSpec{})
		must(t, err)
		for n, c := range []struct {
			description string
			generation  int64
			want        string
		}{
			{"one", 1, ""}, {"two", 0, ""}, {"two", 3, ""},
			{"three", 2, `cannot change security-group "g": it is at generation 3, not 2; read it again`},
			{"three", 4, `cannot change security-group "g": it is at generation 3, not 4; read it again`},
		} {
			_, err := groups.Update(ctx, "default", "g", api.SecurityGroupSpec{Description: c.description}, c.generation)
			if text := textOf(err); text != c.want {
				t.Errorf("change %d answers %q, want %q", n, text, c.want)
			}
		}
		if err := groups.Delete(ctx, "default", "g", 2); !errors.Is(err, api.Conflict) {
			t.Errorf("deleting another generation answers %v", err)
		}
		must(t, groups.Delete(ctx, "default", "g", 3))
	})
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestWhatIsBeingDeleted takes no changes, and a second deletion is none.
func TestWhatIsBeingDeleted(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		ctx := asCustomer()
		i, err := p.cloud.Instances.Create(ctx, "default", "i", api.InstanceSpec{Type: "nano"})
		must(t, err)
		must(t, p.cloud.Instances.Delete(ctx, "default", "i", 0))
		must(t, p.cloud.Instances.Delete(ctx, "default", "i", 0))
		const want = `cannot change instance "i": it is being deleted`
		if _, err := p.cloud.Instances.Update(ctx, "default", "i", i.Spec, 0); textOf(err) != want {
			t.Errorf("a change answers %v, want %s", err, want)
		}
		if _, err := p.cloud.Instances.Power(ctx, "default", "i", api.PowerStop); textOf(err) != want {
			t.Errorf("a stop answers %v, want %s", err, want)
		}
		now, err := p.cloud.Instances.Get(ctx, "default", "i")
		must(t, err)
		if now.DeletedAt == nil || now.Status.Phase != api.Deleting {
			t.Errorf("it is %s, deleted %v", now.Status.Phase, now.DeletedAt)
		}
	})
}

// TestWait: it answers when all is settled, when time is up, when the caller goes, and when the thing is gone.
func TestWait(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		ctx := asCustomer()
		_, err := p.cloud.Instances.Create(ctx, "default", "i", api.InstanceSpec{Type: "nano"})
		must(t, err)
		wait := func(ctx context.Context, limit time.Duration) (api.Instance, time.Duration, error) {
			began := time.Now()
			i, err := p.cloud.Instances.Wait(ctx, "default", "i", limit)
			return i, time.Since(began), err
		}
		for _, limit := range []time.Duration{0, 30 * time.Second} {
			if i, took, err := wait(ctx, limit); err != nil || took != limit || i.Status.Phase != api.Pending {
				t.Errorf("a wait of %s took %s: %s, %v", limit, took, i.Status.Phase, err)
			}
		}
		gone, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, took, err := wait(gone, time.Minute); err != nil || took != time.Second {
			t.Errorf("a wait whose caller goes took %s: %v", took, err)
		}
		time.AfterFunc(5*time.Second, func() {
			p.settle(t, "i", func(i *api.Instance) { i.Status.Phase, i.Status.Status.Generation = api.Running, 1 })
		})
		if i, took, err := wait(ctx, time.Minute); err != nil || took != 5*time.Second || i.Status.Phase != api.Running {
			t.Errorf("a wait for what comes up took %s: %s, %v", took, i.Status.Phase, err)
		}
		must(t, p.cloud.Instances.Delete(ctx, "default", "i", 0))
		time.AfterFunc(5*time.Second, func() { p.settle(t, "i", nil) })
		if _, took, err := wait(ctx, time.Minute); !errors.Is(err, api.NotFound) || took != 5*time.Second {
			t.Errorf("a wait for the end took %s: %v", took, err)
		}
	})
}

// settle changes an instance's record as the loop would; nil deletes it.
func (p *plane) settle(t *testing.T, name string, change func(*api.Instance)) {
	err := p.Store.Update(func(tx *storage.Tx) error {
		i, err := instanceTable.GetBy(tx, "name", "default/"+name)
		if err != nil {
			return err
		}
		if change == nil {
			return instanceTable.Delete(tx, i.ID)
		}
		change(&i)
		return instanceTable.Put(tx, i)
	})
	if err != nil {
		t.Error(err)
	}
}

// TestReferences: what is in use is not deleted, and what is not there is not used.
func TestReferences(t *testing.T) {
	p, _ := newLivePlane(t)
	c, ctx := p.cloud, asCustomer()
	_, err := c.Keys.Create(ctx, "default", "k", api.KeySpec{PublicKey: testKey})
	must(t, err)
	_, err = c.SecurityGroups.Create(ctx, "default", "g", api.SecurityGroupSpec{Rules: []api.Rule{{Protocol: "all", Group: "default"}}})
	must(t, err)
	_, err = c.Instances.Create(ctx, "default", "i", api.InstanceSpec{Type: "nano", Key: "k", SecurityGroups: []string{"g"}})
	must(t, err)
	_, err = c.Databases.Create(ctx, "default", "d", api.DatabaseSpec{Engine: "postgres"})
	must(t, err)
	_, err = c.Databases.Create(ctx, "default", "e", api.DatabaseSpec{Engine: "postgres"})
	must(t, err)
	web := behave("ok")
	web.Database = "d"
	p.deploy(t, "web", web)
	_, err = c.Functions.Create(ctx, "default", "f", api.FunctionSpec{Runtime: "python", Source: p.source(t, "main.py", "pass"), Handler: "main.handler", Databases: []string{"e"}})
	must(t, err)
	_, err = c.Triggers.Create(ctx, "default", "t", api.TriggerSpec{Function: "f", HTTP: true})
	must(t, err)
	for want, del := range map[string]func() error{
		`cannot delete key "k": instance "i" lets it in; delete the instance first`:                func() error { return c.Keys.Delete(ctx, "default", "k", 0) },
		`cannot delete security group "g": instance "i" is in it`:                                  func() error { return c.SecurityGroups.Delete(ctx, "default", "g", 0) },
		`cannot delete security group "default": instances without a group of their own are in it`: func() error { return c.SecurityGroups.Delete(ctx, "default", "default", 0) },
		`cannot delete database "d": app "web" is bound to it; unbind it first`:                    func() error { return c.Databases.Delete(ctx, "default", "d", 0) },
		`cannot delete database "e": function "f" is bound to it; unbind it first`:                 func() error { return c.Databases.Delete(ctx, "default", "e", 0) },
		`cannot delete function "f": trigger "t" calls it; delete that first`:                      func() error { return c.Functions.Delete(ctx, "default", "f", 0) },
		`cannot create trigger "u": trigger "t" calls function "f" by HTTP already`: func() error {
			_, err := c.Triggers.Create(ctx, "default", "u", api.TriggerSpec{Function: "f", HTTP: true})
			return err
		},
		`cannot deploy function "f" with network "all": there are none, project and internet`: func() error {
			_, err := c.Functions.Update(ctx, "default", "f", api.FunctionSpec{Runtime: "python", Network: "all"}, 0)
			return err
		},
		`cannot change image of an instance that exists: create another one`: func() error {
			_, err := c.Instances.Update(ctx, "default", "i", api.InstanceSpec{Type: "nano", Key: "k", Image: "other:1", SecurityGroups: []string{"g"}}, 0)
			return err
		},
		`cannot change engine, storage or origin of database "d": its size and its backups can change`: func() error {
			_, err := c.Databases.Update(ctx, "default", "d", api.DatabaseSpec{Engine: "postgres", StorageBytes: 2 << 30}, 0)
			return err
		},
	} {
		if err := del(); textOf(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	web.Database = ""
	web.Env["BEHAVE"] = "ill"
	p.deploy(t, "web", web)
	if err := c.Databases.Delete(ctx, "default", "d", 0); textOf(err) != `cannot delete database "d": app "web" is bound to it; unbind it first` {
		t.Errorf("the database of the release that serves is deleted: %v", err)
	}
	web.Env = map[string]string{"BEHAVE": "ok"}
	p.deploy(t, "web", web)
	must(t, c.Databases.Delete(ctx, "default", "d", 0))
	_, err = c.Databases.Wait(ctx, "default", "d", 10*time.Second)
	if !errors.Is(err, api.NotFound) {
		t.Fatalf("the database is not gone: %v", err)
	}
	if _, err := c.Apps.Rollback(ctx, "default", "web", 1); textOf(err) != `cannot roll app "web" back to release 1: it was bound to database "d", which is gone` {
		t.Errorf("a rollback to a release without its database answers %v", err)
	}
}
