package computetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
)

// sizes: a volume keeps the size it was made with, enforced or not.
func sizes(t *testing.T, s *suite) {
	ctx := t.Context()
	e := ability[compute.Volumes](t, s)
	v := compute.Volume{ID: "vol-1", Project: "default", Name: "data", Bytes: 20 << 20}
	ok(t, errors.Join(atOnce(8, func(int) error { return e.EnsureVolume(ctx, v) })...))
	other := v
	other.Bytes = 30 << 20
	ok(t, e.EnsureVolume(ctx, other))
	all, err := e.ListVolumes(ctx)
	ok(t, err)
	if len(all) != 1 {
		t.Fatalf("volumes are %+v", all)
	}
	enforced := all[0].Enforced
	v.Enforced = enforced
	same(t, all[0], v)
	code(t, e.EnsureVolume(ctx, compute.Volume{ID: "vol-2", Bytes: -1}), api.Invalid, `cannot make volume "vol-2": -1 bytes are no size`)
	if !s.Real || !enforced {
		return
	}
	w := s.workload("w")
	w.Mounts = []compute.Mount{{Volume: v.ID, Path: "/data"}}
	same(t, s.says(t, w, "dd if=/dev/zero of=/data/x bs=1M count=30 2>&1 | grep -c 'No space'"), "1\n")
}

// mounts: List tells which volumes a workload was made with, and a volume outlives the workload with what it holds.
func mounts(t *testing.T, s *suite) {
	ctx := t.Context()
	e := ability[compute.Volumes](t, s)
	for _, id := range []string{"vol-1", "vol-2"} {
		ok(t, e.EnsureVolume(ctx, compute.Volume{ID: id}))
	}
	w := s.workload("w")
	w.Mounts = []compute.Mount{{Volume: "vol-2", Path: "/z"}, {Volume: "vol-1", Path: "/a", ReadOnly: true}}
	want := []compute.Mount{{Volume: "vol-1", Path: "/a", ReadOnly: true}, {Volume: "vol-2", Path: "/z"}}
	s.made(t, w)
	same(t, s.one(t, "w").Mounts, want)
	ok(t, s.Start(ctx, "w"))
	same(t, s.one(t, "w").Mounts, want)
	ok(t, s.Remove(ctx, "w"))
	if !s.Real {
		return
	}
	same(t, s.says(t, w, "echo kept > /z/file"), "")
	same(t, s.says(t, w, "cat /z/file"), "kept\n")
}

// says runs a shell line in a workload and returns what it prints; the workload is gone then.
func (s *suite) says(t *testing.T, w compute.Workload, line string) string {
	t.Helper()
	w.Command = s.Shell(line)
	s.started(t, w)
	r, err := ability[compute.Logger](t, s).Logs(bounded(t), w.ID, compute.LogQuery{Follow: true})
	ok(t, err)
	all, err := io.ReadAll(r)
	ok(t, errors.Join(err, r.Close(), s.Remove(t.Context(), w.ID)))
	return string(all)
}

func copies(t *testing.T, s *suite) {
	ctx := t.Context()
	e, v := ability[compute.Copier](t, s), ability[compute.Volumes](t, s)
	for _, id := range []string{"from", "to"} {
		ok(t, v.EnsureVolume(ctx, compute.Volume{ID: id, Bytes: 64 << 20}))
	}
	code(t, e.CopyVolume(ctx, "none", "to"), api.NotFound, "")
	code(t, e.CopyVolume(ctx, "from", "none"), api.NotFound, "")
	code(t, e.CopyVolume(ctx, "from", "from"), api.Invalid, `cannot copy volume "from" to itself`)
	w := s.workload("w")
	w.Mounts = []compute.Mount{{Volume: "to", Path: "/data"}}
	s.made(t, w)
	code(t, e.CopyVolume(ctx, "from", "to"), api.Conflict, `cannot copy to volume "to": workload "w" mounts it; remove that first`)
	ok(t, s.Remove(ctx, "w"))
	ok(t, e.CopyVolume(ctx, "from", "to"))
	same(t, s.states(t), []string{})
}

const plant = `cd /data && mkdir -p dir/deep && echo content > dir/file && chown 12:34 dir/file && chmod 4750 dir/file &&
ln dir/file dir/deep/hard && ln -s ../nowhere dir/soft && mkfifo -m 600 pipe && truncate -s 30M sparse &&
echo end | dd of=sparse bs=1 seek=20M conv=notrunc 2>/dev/null && chmod 1777 dir && mknod -m 640 null c 1 3 && touch -d @1000000000 dir/deep dir/file .`

const inspect = `cd /data && find . | sort | while read f; do stat -c '%n %A %u:%g %h %s %t,%T %Y' "$f" | sed 's/^\(\.[^ ]* d.* [0-9]*:[0-9]*\) [0-9]* [0-9]* /\1 /'; done
readlink dir/soft; cat dir/deep/hard; md5sum < sparse; test $(du -k sparse | cut -f1) -lt 1000 && echo holes`

// copied: a copy is exact, whatever was in the volume before, and its original stays.
func copied(t *testing.T, s *suite) {
	s.real(t)
	ctx := t.Context()
	e, v := ability[compute.Copier](t, s), ability[compute.Volumes](t, s)
	for _, id := range []string{"from", "to"} {
		ok(t, v.EnsureVolume(ctx, compute.Volume{ID: id}))
	}
	from, to := s.workload("w"), s.workload("x")
	from.Limits, to.Limits = compute.Limits{}, compute.Limits{}
	from.Mounts, to.Mounts = []compute.Mount{{Volume: "from", Path: "/data"}}, []compute.Mount{{Volume: "to", Path: "/data"}}
	same(t, s.says(t, from, plant), "")
	same(t, s.says(t, to, "mkdir -p /data/old/dir; echo old > /data/dir; echo x > /data/old/dir/x"), "")
	want := s.says(t, from, inspect)
	if !strings.Contains(want, "./dir/file -rwsr-x--- 12:34 2 8 0,0 ") || !strings.HasSuffix(want, "holes\n") {
		t.Fatalf("the original is\n%s", want)
	}
	ok(t, errors.Join(atOnce(3, func(int) error { return e.CopyVolume(ctx, "from", "to") })...))
	same(t, s.says(t, to, inspect), want)
	same(t, s.says(t, from, inspect), want)
}

// moment: while a program writes two files one after the other, a copy never has the second without the first, and the
// program goes on after each, also after one that was cut off.
func moment(t *testing.T, s *suite) {
	s.real(t)
	ctx := t.Context()
	e, v := ability[compute.Copier](t, s), ability[compute.Volumes](t, s)
	for _, id := range []string{"from", "to"} {
		ok(t, v.EnsureVolume(ctx, compute.Volume{ID: id}))
	}
	w, reader := s.workload("w"), s.workload("x")
	w.Limits = compute.Limits{}
	w.Mounts, reader.Mounts = []compute.Mount{{Volume: "from", Path: "/data"}}, []compute.Mount{{Volume: "to", Path: "/data"}}
	w.Command = s.Shell("cd /data; dd if=/dev/zero of=big bs=1M count=40 2>/dev/null; i=0; while :; do i=$((i+1)); mkdir a$i; mkdir z$i; rmdir z$i; rmdir a$i; done")
	s.started(t, w)
	const check = "cd /data; stat -c %s big; for z in z*; do test -d a${z#z} || test $z = 'z*' || echo $z alone; done"
	for range 3 {
		short, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
		err := e.CopyVolume(short, "from", "to")
		cancel()
		if err != nil {
			code(t, err, api.Unavailable, "")
		}
		ok(t, e.CopyVolume(ctx, "from", "to"))
		if got := s.says(t, reader, check); !strings.HasSuffix(got, "000\n") && got != "41943040\n" {
			t.Errorf("the copy is of no one moment: %q", got)
		}
		s.busy(t, "w")
	}
	same(t, s.states(t), []string{"w=running"})
}

// busy expects that a workload uses CPU: it is not held.
func (s *suite) busy(t *testing.T, id string) {
	t.Helper()
	e := ability[compute.Stater](t, s)
	before, err := e.Stats(t.Context(), id)
	ok(t, err)
	eventually(t, id+" goes on", func() bool {
		now, err := e.Stats(t.Context(), id)
		ok(t, err)
		return now.CPUNanos > before.CPUNanos+uint64(5*time.Millisecond)
	})
}

// left: what a process that was killed has left held goes on once the engine is opened again and looked at.
func left(t *testing.T, s *suite) {
	if s.Freeze == nil {
		t.Skip("nothing can be held in this engine")
	}
	w := s.workload("w")
	w.Command = s.Shell("while :; do :; done")
	s.started(t, w)
	s.all(t)
	s.Freeze(t, s.cloud, "w")
	same(t, s.states(t), []string{"w=running"})
	again := *s
	again.Engine = s.connect(t, s.cloud)
	same(t, again.states(t), []string{"w=running"})
	again.busy(t, "w")
}

func commits(t *testing.T, s *suite) {
	ctx := t.Context()
	e, i := ability[compute.Committer](t, s), ability[compute.Images](t, s)
	tag := s.cloud + "/image:1"
	b := compute.Build{Tag: tag, Owner: "img-1", Project: "default", Name: "mine"}
	_, err := e.Commit(ctx, "none", b)
	code(t, err, api.NotFound, "")
	s.made(t, s.workload("w"))
	_, err = e.Commit(ctx, "w", compute.Build{Tag: "UPPER case"})
	code(t, err, api.Invalid, "")
	first, err := e.Commit(ctx, "w", b)
	ok(t, err)
	found, err := i.Image(ctx, tag, 0)
	ok(t, err)
	if !compute.IsImageID(first.ID) || found.ID != first.ID {
		t.Errorf("the commit is %+v, its tag %+v", first, found)
	}
	ok(t, s.Start(ctx, "w"))
	second, err := e.Commit(ctx, "w", b) // again, as after a lost answer
	ok(t, err)
	if _, err := i.Image(ctx, first.ID, 0); second.ID != first.ID && !errors.Is(err, api.NotFound) {
		t.Errorf("the image of the first try stays: %v", err)
	}
	w := s.workload("x")
	w.Image = second.ID
	s.started(t, w)
	same(t, s.states(t), []string{"w=running", "x=running"})
	code(t, i.RemoveImage(ctx, tag), api.Conflict, "")
	ok(t, errors.Join(s.Remove(ctx, "w"), s.Remove(ctx, "x")))
	for range 2 {
		ok(t, i.RemoveImage(ctx, second.ID))
		_, err = i.Image(ctx, tag, 0)
		code(t, err, api.NotFound, "")
	}
}

// committed: an image of a root disk has its files, and nothing else of the workload it was made from.
func committed(t *testing.T, s *suite) {
	s.real(t)
	ctx := t.Context()
	e, v := ability[compute.Committer](t, s), ability[compute.Volumes](t, s)
	ok(t, v.EnsureVolume(ctx, compute.Volume{ID: "vol-1"}))
	w := s.workload("w")
	w.Env, w.WorkDir, w.User = map[string]string{"SECRET": "word"}, "/tmp", "0:0"
	w.Mounts = []compute.Mount{{Volume: "vol-1", Path: "/data"}}
	w.Command = s.Shell("echo disk > /file; echo volume > /data/file; echo up; while :; do :; done")
	s.started(t, w)
	l := ability[compute.Logger](t, s)
	eventually(t, "its files are there", func() bool { return s.log(t, l, "w", 0) == "up\n" })
	images := make([]compute.Image, 4)
	ok(t, errors.Join(atOnce(len(images), func(i int) (err error) {
		images[i], err = e.Commit(ctx, "w", compute.Build{Tag: s.cloud + "/image:" + string(rune('a'+i)), Owner: "img-1"})
		return err
	})...))
	s.busy(t, "w")
	ok(t, s.Stop(ctx, "w", 0))
	stopped, err := e.Commit(ctx, "w", compute.Build{Tag: s.cloud + "/stopped:1", Owner: "img-1"})
	ok(t, err)
	for _, img := range slices.Concat(images, []compute.Image{stopped}) {
		x := compute.Workload{ID: "x", Image: img.ID}
		same(t, s.says(t, x, "cat /file; cat /data/file 2>/dev/null; pwd; echo secret $SECRET"), "disk\n/\nsecret\n")
	}
}
