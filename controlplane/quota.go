package controlplane

import (
	"errors"
	"fmt"
	"strconv"

	"nuage/api"
	"nuage/storage"
)

// quotaRule is one amount of a quota, in the words of messages and of `nuage project update`.
type quotaRule struct {
	flag  string
	get   func(api.Quota) int64
	words func(int64) string // "2 instances"
	value func(int64) string // as the flag takes it
}

func quotaRules() []quotaRule {
	count := func(noun string) func(int64) string {
		return func(n int64) string { return plural(n, noun) }
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	vcpu := func(n int64) string { return strconv.FormatFloat(float64(n)/1000, 'f', -1, 64) }
	return []quotaRule{
		{"instances", func(q api.Quota) int64 { return q.Instances }, count("instance"), number},
		{"vcpu", func(q api.Quota) int64 { return q.MilliCPU }, func(n int64) string { return vcpu(n) + " vCPU" }, vcpu},
		{"memory", func(q api.Quota) int64 { return q.MemoryBytes }, func(n int64) string { return exactSize(n) + " of memory" }, exactSize},
		{"volumes", func(q api.Quota) int64 { return q.Volumes }, count("volume"), number},
		{"storage", func(q api.Quota) int64 { return q.VolumeBytes }, func(n int64) string { return exactSize(n) + " of volumes" }, exactSize},
		{"functions", func(q api.Quota) int64 { return q.Functions }, count("function"), number},
		{"triggers", func(q api.Quota) int64 { return q.Triggers }, count("trigger"), number},
		{"queues", func(q api.Quota) int64 { return q.Queues }, count("queue"), number},
		{"topics", func(q api.Quota) int64 { return q.Topics }, count("topic"), number},
	}
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// exactSize writes bytes in the largest unit that leaves a whole number.
func exactSize(n int64) string {
	units := []string{"", "KiB", "MiB", "GiB", "TiB"}
	u := 0
	for n != 0 && n%1024 == 0 && u < len(units)-1 {
		n, u = n/1024, u+1
	}
	return strconv.FormatInt(n, 10) + units[u]
}

// instanceAmount is what an instance counts for. One that is being deleted counts for nothing, as on EC2, where only the
// running ones do; here stopped ones count too, so that a start never meets a quota.
func instanceAmount(i *api.Instance) api.Quota {
	if i == nil || i.DeletedAt != nil {
		return api.Quota{}
	}
	size, err := api.SizeOf(i.Spec.Type)
	if err != nil { // checked when it was stored
		return api.Quota{Instances: 1}
	}
	return api.Quota{Instances: 1, MilliCPU: size.MilliCPU, MemoryBytes: size.MemoryBytes}
}

// volumeAmount is what a volume counts for, attached or not.
func volumeAmount(v *api.Volume) api.Quota {
	if v == nil || v.DeletedAt != nil {
		return api.Quota{}
	}
	return api.Quota{Volumes: 1, VolumeBytes: v.Spec.SizeBytes}
}

func plus(a, b api.Quota) api.Quota {
	return api.Quota{Instances: a.Instances + b.Instances, MilliCPU: a.MilliCPU + b.MilliCPU, MemoryBytes: a.MemoryBytes + b.MemoryBytes,
		Volumes: a.Volumes + b.Volumes, VolumeBytes: a.VolumeBytes + b.VolumeBytes, Functions: a.Functions + b.Functions,
		Triggers: a.Triggers + b.Triggers, Queues: a.Queues + b.Queues, Topics: a.Topics + b.Topics}
}

// used is what a project's nouns count for together.
func used(tx *storage.Tx, project string) (sum api.Quota, err error) {
	err = instanceTable.EachBy(tx, "name", project+"/", func(i api.Instance) error { sum = plus(sum, instanceAmount(&i)); return nil })
	if err != nil {
		return sum, err
	}
	err = volumeTable.EachBy(tx, "name", project+"/", func(v api.Volume) error { sum = plus(sum, volumeAmount(&v)); return nil })
	if err != nil {
		return sum, err
	}
	err = errors.Join(countIn(tx, functionTable, project, &sum.Functions), countIn(tx, triggerTable, project, &sum.Triggers),
		countIn(tx, queueTable, project, &sum.Queues), countIn(tx, topicTable, project, &sum.Topics))
	return sum, err
}

// countIn counts what a project has of a noun of which the number alone matters.
func countIn[T any](tx *storage.Tx, table *storage.Table[T], project string, n *int64) error {
	return table.EachBy(tx, "name", project+"/", func(T) error { *n++; return nil })
}

// admitOne refuses one more of such a noun over the project's quota. Exhausted.
func admitOne(tx *storage.Tx, noun string, m *api.Meta, fresh bool, one api.Quota) error {
	if !fresh {
		return nil
	}
	return admitAmount(tx, noun, m, true, api.Quota{}, one)
}

// admitInstanceAmount refuses what is over the project's quota, in the transaction that would store it. Exhausted.
func admitInstanceAmount(tx *storage.Tx, old, next *api.Instance) error {
	return admitAmount(tx, "instance", &next.Meta, old == nil, instanceAmount(old), instanceAmount(next))
}

// admitVolumeAmount is admitInstanceAmount for volumes, whose size is known by then.
func admitVolumeAmount(tx *storage.Tx, old, next *api.Volume) error {
	return admitAmount(tx, "volume", &next.Meta, old == nil, volumeAmount(old), volumeAmount(next))
}

// admitAmount refuses to go over a quota. What takes no more than before is never refused: a quota may be lowered below
// what is there.
func admitAmount(tx *storage.Tx, noun string, m *api.Meta, fresh bool, before, after api.Quota) error {
	p, err := projectTable.GetBy(tx, "name", m.Project)
	if err != nil || p.Spec.Quota == (api.Quota{}) {
		return err
	}
	has, err := used(tx, m.Project)
	if err != nil {
		return err
	}
	for _, r := range quotaRules() {
		most, more := r.get(p.Spec.Quota), r.get(after)-r.get(before)
		if most > 0 && more > 0 && r.get(has)+more > most {
			return overQuota(r, noun, m, fresh, most, r.get(has), more)
		}
	}
	return nil
}

// overQuota words a refusal and says what to do.
func overQuota(r quotaRule, noun string, m *api.Meta, fresh bool, most, has, more int64) error {
	verb, need := "create", ""
	if !fresh {
		verb = "resize"
	}
	if !fresh || more != 1 {
		need = fmt.Sprintf(", and this takes %s more", r.value(more))
	}
	return api.Errorf(api.Exhausted, "cannot %s %s %q: project %q may have %s and has %s%s; delete one or raise the quota (nuage project update %s --%s %s)",
		verb, noun, m.Name, m.Project, r.words(most), r.value(has), need, m.Project, r.flag, r.value(has+more))
}

// checkProject refuses a spec that no project can have.
func checkProject(name string, spec api.ProjectSpec) error {
	if len(spec.Description) > 500 {
		return api.Errorf(api.Invalid, "cannot describe project %q in %d bytes: 500 are the most", name, len(spec.Description))
	}
	if spec.Concurrency < 0 || spec.Concurrency > api.MaxFunctionConcurrency {
		return api.Errorf(api.Invalid, "cannot bound project %q to %d calls at once: 1 to %d is possible, 0 for all that the cloud has", name, spec.Concurrency, api.MaxFunctionConcurrency)
	}
	for _, r := range quotaRules() {
		if n := r.get(spec.Quota); n < 0 {
			return api.Errorf(api.Invalid, "cannot set the quota of project %q to %s: a quota is not negative, and 0 means no limit", name, r.words(n))
		}
	}
	return nil
}

// withUse fills in what a project uses.
func withUse(tx *storage.Tx, p *api.Project) (err error) {
	p.Status.Used, err = used(tx, p.Name)
	return err
}
