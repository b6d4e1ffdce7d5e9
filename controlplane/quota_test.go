package controlplane

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nuage/api"
	"nuage/functions"
	"nuage/storage"
)

// quota sets the quota of project default.
func (p *plane) quota(t *testing.T, q api.Quota) {
	t.Helper()
	_, err := p.cloud.Projects.Update(asCustomer(), "default", api.ProjectSpec{Quota: q}, 0)
	must(t, err)
}

func (p *plane) used(t *testing.T) api.Quota {
	t.Helper()
	found, err := p.cloud.Projects.Get(asCustomer(), "default")
	must(t, err)
	list, err := p.cloud.Projects.List(asCustomer(), api.Page{})
	must(t, err)
	if list.Items[0].Status.Used != found.Status.Used {
		t.Errorf("the list says %+v, the project %+v", list.Items[0].Status.Used, found.Status.Used)
	}
	return found.Status.Used
}

func TestQuotaOfInstances(t *testing.T) {
	const hint = "; delete one or raise the quota (nuage project update default --"
	for _, c := range []struct {
		quota api.Quota
		want  string
	}{
		{api.Quota{}, ""},
		{api.Quota{Instances: 3, MilliCPU: 2500, MemoryBytes: 4 << 30, Volumes: 1, VolumeBytes: 1}, ""},
		{api.Quota{Instances: 2}, `cannot create instance "z": project "default" may have 2 instances and has 2` + hint + `instances 3)`},
		{api.Quota{Instances: 1}, `cannot create instance "z": project "default" may have 1 instance and has 2` + hint + `instances 3)`},
		{api.Quota{MilliCPU: 2000}, `cannot create instance "z": project "default" may have 2 vCPU and has 1.25, and this takes 1 more` + hint + `vcpu 2.25)`},
		{api.Quota{MemoryBytes: 2 << 30}, `cannot create instance "z": project "default" may have 2GiB of memory and has 1280MiB, and this takes 1GiB more` + hint + `memory 2304MiB)`},
	} {
		p := newPlane(t, setup{idle: true})
		p.create(t, "x", api.InstanceSpec{Type: "small"})
		p.create(t, "y", api.InstanceSpec{Type: "nano", Stopped: true})
		p.quota(t, c.quota)
		_, err := p.cloud.Instances.Create(asCustomer(), "default", "z", api.InstanceSpec{Type: "small"})
		if got := words(err); got != c.want || err != nil && api.CodeOf(err) != api.Exhausted {
			t.Errorf("with %+v the answer is\n%s\nwant\n%s", c.quota, got, c.want)
		}
		want := api.Quota{Instances: 2, MilliCPU: 1250, MemoryBytes: 1280 << 20}
		if err == nil {
			want = api.Quota{Instances: 3, MilliCPU: 2250, MemoryBytes: 2304 << 20}
		}
		if got := p.used(t); got != want {
			t.Errorf("used are %+v, want %+v", got, want)
		}
	}
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestQuotaOfResize: a machine may get smaller, stop and start above the quota, and not larger over it.
func TestQuotaOfResize(t *testing.T) {
	p := newPlane(t, setup{idle: true})
	i := p.create(t, "x", api.InstanceSpec{Type: "medium"})
	p.quota(t, api.Quota{MilliCPU: 1000, MemoryBytes: 1 << 30})
	resize := func(size string) string {
		i.Spec.Type = size
		_, err := p.cloud.Instances.Update(asCustomer(), "default", "x", i.Spec, 0)
		return words(err)
	}
	want := `cannot resize instance "x": project "default" may have 1GiB of memory and has 2GiB, and this takes 2GiB more; delete one or raise the quota (nuage project update default --memory 4GiB)`
	if got := resize("large"); got != want {
		t.Errorf("the answer is\n%s\nwant\n%s", got, want)
	}
	for _, action := range []api.PowerAction{api.PowerStop, api.PowerStart, api.PowerReboot} {
		p.power(t, "x", action)
	}
	i, err := p.cloud.Instances.Get(asCustomer(), "default", "x")
	must(t, err)
	for _, size := range []string{"small", "nano", "small"} {
		if got := resize(size); got != "" {
			t.Errorf("to %s the answer is %s", size, got)
		}
	}
	if got := resize("medium"); got == "" {
		t.Error("a machine grows over the quota")
	}
}

// TestQuotaCountsNothingThatLeaves: a place is free as soon as a deletion is asked for.
func TestQuotaCountsNothingThatLeaves(t *testing.T) {
	p := newPlane(t, setup{idle: true})
	p.create(t, "x", api.InstanceSpec{})
	p.quota(t, api.Quota{Instances: 1})
	must(t, p.cloud.Instances.Delete(asCustomer(), "default", "x", 0))
	if got := p.used(t); got != (api.Quota{}) {
		t.Errorf("used are %+v", got)
	}
	p.create(t, "y", api.InstanceSpec{})
}

// TestQuotaHoldsForManyAtOnce: creates side by side can't pass it.
func TestQuotaHoldsForManyAtOnce(t *testing.T) {
	p := newPlane(t, setup{idle: true})
	p.quota(t, api.Quota{Instances: 5})
	var all sync.WaitGroup
	made := make(chan error, 20)
	for n := range cap(made) {
		all.Go(func() {
			_, err := p.cloud.Instances.Create(asCustomer(), "default", fmt.Sprint("x", n), api.InstanceSpec{Type: "nano"})
			made <- err
		})
	}
	all.Wait()
	close(made)
	good := 0
	for err := range made {
		switch api.CodeOf(err) {
		case "":
			good++
		case api.Exhausted:
		default:
			t.Error(err)
		}
	}
	if got := p.used(t).Instances; good != 5 || got != 5 {
		t.Errorf("%d creates were answered well, %d instances are there, want 5", good, got)
	}
}

func TestQuotaOfVolumes(t *testing.T) {
	p := newPlane(t, setup{idle: true})
	p.quota(t, api.Quota{Volumes: 2, VolumeBytes: 3 << 30})
	volume := func(name string, bytes int64) *api.Volume {
		return &api.Volume{Meta: api.Meta{ID: "vol-" + name, Name: name, Project: "default"}, Spec: api.VolumeSpec{SizeBytes: bytes}}
	}
	admit := func(old, next *api.Volume) (err error) {
		return p.Store.Update(func(tx *storage.Tx) error {
			if err := admitVolumeAmount(tx, old, next); err != nil {
				return err
			}
			return volumeTable.Put(tx, *next)
		})
	}
	must(t, admit(nil, volume("a", 1<<30)))
	must(t, admit(nil, volume("b", 1<<30)))
	for _, c := range []struct {
		old, next *api.Volume
		want      string
	}{
		{nil, volume("c", 1<<20), `cannot create volume "c": project "default" may have 2 volumes and has 2; delete one or raise the quota (nuage project update default --volumes 3)`},
		{volume("a", 1<<30), volume("a", 2<<30+1<<20), `cannot resize volume "a": project "default" may have 3GiB of volumes and has 2GiB, and this takes 1025MiB more; delete one or raise the quota (nuage project update default --storage 3073MiB)`},
		{volume("a", 1<<30), volume("a", 2<<30), ""},
	} {
		if got := words(admit(c.old, c.next)); got != c.want {
			t.Errorf("the answer is\n%s\nwant\n%s", got, c.want)
		}
	}
	if got, want := p.used(t), (api.Quota{Volumes: 2, VolumeBytes: 3 << 30}); got != want {
		t.Errorf("used are %+v, want %+v", got, want)
	}
}

func TestQuotasThatNoProjectCanHave(t *testing.T) {
	p := newPlane(t, setup{idle: true})
	want := `cannot set the quota of project "default" to -1 instances: a quota is not negative, and 0 means no limit`
	_, err := p.cloud.Projects.Update(asCustomer(), "default", api.ProjectSpec{Quota: api.Quota{Instances: -1}}, 0)
	if api.CodeOf(err) != api.Invalid || err.Error() != want {
		t.Errorf("the answer is %v", err)
	}
	_, err = p.cloud.Projects.Create(asCustomer(), "other", api.ProjectSpec{Quota: api.Quota{VolumeBytes: -1024}})
	if api.CodeOf(err) != api.Invalid || err.Error() != `cannot set the quota of project "other" to -1KiB of volumes: a quota is not negative, and 0 means no limit` {
		t.Errorf("the answer is %v", err)
	}
}

// TestQuotaOfFunctions: functions, triggers, queues and topics are counted, and one that goes makes room.
func TestQuotaOfFunctions(t *testing.T) {
	deployed(t, &versions{}, func(t *testing.T, s *scene, spec api.FunctionSpec) {
		ctx, c := asCustomer(), s.cloud
		s.plane.quota(t, api.Quota{Functions: 1, Triggers: 1, Queues: 1, Topics: 1})
		makes := map[string]func(name string) error{
			"function": func(name string) error { _, err := c.Functions.Create(ctx, "default", name, spec); return err },
			"queue":    func(name string) error { _, err := c.Queues.Create(ctx, "default", name, api.QueueSpec{}); return err },
			"topic":    func(name string) error { _, err := c.Topics.Create(ctx, "default", name, api.TopicSpec{}); return err },
			"trigger": func(name string) error {
				_, err := c.Triggers.Create(ctx, "default", name, api.TriggerSpec{Function: "a", Schedule: "rate(1 hour)"})
				return err
			},
		}
		for _, noun := range []string{"function", "queue", "topic", "trigger"} {
			must(t, makes[noun]("a"))
			want := fmt.Sprintf(`cannot create %s "b": project "default" may have 1 %s and has 1; delete one or raise the quota (nuage project update default --%ss 2)`, noun, noun, noun)
			if err := makes[noun]("b"); words(err) != want || api.CodeOf(err) != api.Exhausted {
				t.Errorf("got %v\nwant %s", err, want)
			}
		}
		if got, want := s.plane.used(t), (api.Quota{Functions: 1, Triggers: 1, Queues: 1, Topics: 1}); got != want {
			t.Errorf("used are %+v", got)
		}
		spec.MemoryMB = 256
		_, err := c.Functions.Update(ctx, "default", "a", spec, 0)
		must(t, err)
		must(t, c.Queues.Delete(ctx, "default", "a", 0))
		must(t, makes["queue"]("b"))
	})
}

// TestConcurrencyOfAProject: all functions of a project share its calls at once; a change counts from the next call on, over a restart too.
func TestConcurrencyOfAProject(t *testing.T) {
	var held atomic.Bool
	held.Store(true)
	play := func(int, functions.Event) (functions.Outcome, error) {
		for held.Load() {
			time.Sleep(time.Second)
		}
		return answersWith("done")
	}
	acted(t, play, func(t *testing.T, s *scene, _ *actor) {
		s.function(t, "f", api.AsyncSpec{})
		s.function(t, "g", api.AsyncSpec{})
		_, err := s.cloud.Projects.Update(asCustomer(), "default", api.ProjectSpec{Concurrency: 2}, 0)
		must(t, err)
		must(t, s.restart(true))
		invoke := func(name string) error {
			_, err := s.cloud.Functions.Invoke(asCustomer(), "default", name, api.Invocation{Type: api.Sync})
			return err
		}
		ended := make(chan error, 2)
		for _, name := range []string{"f", "g"} {
			go func() { ended <- invoke(name) }()
			time.Sleep(time.Second) // by now it runs
		}
		want := `cannot call function "f": the 2 calls at once of project "default" are under way; try again, or raise its concurrency`
		if err := invoke("f"); words(err) != want || api.CodeOf(err) != api.Exhausted {
			t.Errorf("a third call: %v", err)
		}
		_, err = s.cloud.Projects.Update(asCustomer(), "default", api.ProjectSpec{}, 0)
		must(t, err)
		held.Store(false)
		must(t, invoke("f"))
		must(t, errors.Join(<-ended, <-ended))
	})
}
