package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/google/go-cmp/cmp"

	"nuage/api"
	"nuage/compute"
)

// TestCommittedConfig: what the image says of itself is what the original said, and nothing of the workload.
func TestCommittedConfig(t *testing.T) {
	needEngine(t)
	guest, volume := echoGuest(t)
	e := open(t, Options{Guest: guest, GuestVolume: volume, Publish: true})
	ctx := t.Context()
	base, err := e.Build(ctx, compute.Build{Tag: e.o.CloudID + "/base:1", Owner: "app-1"}, dockerfile(t, "FROM "+tiny+
		"\nENV MODE=image\nUSER 12:34\nWORKDIR /work\nENTRYPOINT [\"/bin/serve\"]\nCMD [\"all\"]\nEXPOSE 80\nLABEL mine=yes\nSTOPSIGNAL SIGINT\nHEALTHCHECK CMD true\n"), io.Discard)
	ok(t, err)
	n := ensureNetwork(t, e)
	ok(t, e.Create(ctx, compute.Workload{
		ID: "i", Name: "web", Project: "p", Image: base.ID, Network: n.ID, Ports: []int{22}, Guest: compute.GuestMachine,
		Env: map[string]string{"SECRET": "word"}, Hostname: "web", Entrypoint: []string{"/bin/other"}, StopSignal: "SIGUSR1",
	}))
	ok(t, e.Start(ctx, "i"))
	made, err := e.Commit(ctx, "i", compute.Build{Tag: e.o.CloudID + "/image:1", Owner: "img-1", Project: "p", Name: "golden"})
	ok(t, err)
	raw := func(ref string) map[string]any {
		img, err := e.cli.ImageInspect(ctx, ref)
		ok(t, err)
		text, err := json.Marshal(img.Config)
		ok(t, err)
		var all map[string]any
		ok(t, json.Unmarshal(text, &all))
		return all
	}
	was, is := raw(base.ID), raw(made.ID)
	want := map[string]any{
		"nuage.cloud": e.o.CloudID, "nuage.kind": "builder", "nuage.owner": "img-1", "nuage.project": "p", "nuage.name": "golden", "mine": "yes",
	}
	if d := cmp.Diff(want, is["Labels"]); d != "" {
		t.Errorf("labels differ (- wanted, + is):\n%s", d)
	}
	delete(was, "Labels")
	delete(is, "Labels")
	if d := cmp.Diff(was, is); d != "" {
		t.Errorf("the configuration differs (- original, + image):\n%s", d)
	}
	if got := made.Ports; len(got) != 1 || got[0] != 80 {
		t.Errorf("ports are %v", got)
	}
	var whole bytes.Buffer
	_, err = e.cli.ImageInspect(ctx, made.ID, client.ImageInspectWithRawResponse(&whole))
	ok(t, err)
	for _, word := range []string{"SECRET", "NUAGE_", "/.nuage", "/bin/other", "SIGUSR1", `"22/tcp"`} {
		if strings.Contains(whole.String(), word) {
			t.Errorf("the image holds %s:\n%s", word, &whole)
		}
	}
	nothingHalf(t, e)
}

// nothingHalf expects that commits have left no image without a tag.
func nothingHalf(t *testing.T, e *Engine) {
	t.Helper()
	f := e.ours()
	f.Add("dangling", "true")
	all, err := e.cli.ImageList(t.Context(), image.ListOptions{Filters: f})
	ok(t, err)
	if len(all) > 0 {
		t.Errorf("left are %+v", all)
	}
}

// TestDeepImages: an image of an image of an image comes to few layers in the end, with all files.
func TestDeepImages(t *testing.T) {
	needEngine(t)
	e := open(t, Options{})
	e.mostLayers = 3
	ctx := t.Context()
	ref, layers := tiny, ""
	for i := range 5 {
		name := string(rune('a' + i))
		ok(t, e.Create(ctx, compute.Workload{ID: "w", Image: ref, Command: shell("echo " + name + " >> /file; touch /" + name + "; rm -f /etc/motd; setuid= ; chmod 4755 /" + name)}))
		ok(t, e.Start(ctx, "w"))
		waitExit(t, e, "w")
		img, err := e.Commit(ctx, "w", compute.Build{Tag: e.o.CloudID + "/image:" + name})
		ok(t, errors.Join(err, e.Remove(ctx, "w")))
		is, err := e.cli.ImageInspect(ctx, img.ID)
		ok(t, err)
		layers += string(rune('0' + len(is.RootFS.Layers)))
		ref = img.ID
	}
	if layers != "23123" {
		t.Errorf("layers are %s", layers)
	}
	if got := run(t, e, compute.Workload{ID: "w", Image: ref, Command: shell("cat /file; stat -c %a /a /e; test -e /bin/sh && echo $PATH")}); got !=
		"a\nb\nc\nd\ne\n4755\n4755\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n" {
		t.Errorf("the last one has\n%s", got)
	}
	nothingHalf(t, e)
}

func waitExit(t *testing.T, e *Engine, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ok(t, until(ctx, "see the end", func(ctx context.Context) (bool, error) {
		c, err := e.cli.ContainerInspect(ctx, e.name(id))
		return err == nil && c.State.Status == "exited", err
	}))
}

// TestCutOffCommit: what a commit whose process was killed has left goes with the first look of the next one, and only that.
func TestCutOffCommit(t *testing.T) {
	needEngine(t)
	e := open(t, Options{})
	ctx := t.Context()
	ok(t, e.Create(ctx, compute.Workload{ID: "w", Image: tiny, Command: []string{"sleep", "1000"}}))
	half, err := e.freeze(ctx, e.name("w"), 1)
	ok(t, err)
	again := open(t, Options{CloudID: e.o.CloudID})
	all, err := again.List(ctx)
	ok(t, err)
	if len(all) != 1 {
		t.Errorf("List shows %+v", all)
	}
	if _, err := again.cli.ImageInspect(ctx, half.ID); codeOf(err, "") != api.NotFound {
		t.Errorf("the half image stays: %v", err)
	}
}

// TestCutOffCopy: a helper that a killed process has left is shown, so that it can be removed, and is in no copy's way.
func TestCutOffCopy(t *testing.T) {
	needEngine(t)
	guest, volume := echoGuest(t)
	o := Options{Guest: guest, GuestVolume: volume}
	e := open(t, o)
	ctx := t.Context()
	for _, id := range []string{"from", "to"} {
		ok(t, e.EnsureVolume(ctx, compute.Volume{ID: id}))
	}
	ok(t, e.CopyVolume(ctx, "from", "to"))
	img, err := e.helperImage(ctx)
	ok(t, err)
	w := e.copier("from", "to", img)
	_, err = e.cli.ContainerCreate(ctx, &container.Config{Image: img, Cmd: []string{"/x"}, Labels: e.labels(w)}, e.hostConfig(w), nil, nil, e.name(w.ID))
	ok(t, err)
	all, err := e.List(ctx)
	ok(t, err)
	if len(all) != 1 || all[0].ID != "copy-to" || all[0].Kind != compute.KindHelper || all[0].Owner != "to" {
		t.Errorf("List shows %+v", all)
	}
	ok(t, e.CopyVolume(ctx, "from", "to"))
	left, err := e.cli.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", compute.LabelCloud+"="+e.o.CloudID))})
	ok(t, err)
	if len(left) > 0 {
		t.Errorf("left are %+v", left)
	}
}

func TestCopyNeedsGuest(t *testing.T) {
	needEngine(t)
	e := open(t, Options{})
	for _, id := range []string{"from", "to"} {
		ok(t, e.EnsureVolume(t.Context(), compute.Volume{ID: id}))
	}
	if err := e.CopyVolume(t.Context(), "from", "to"); !errors.Is(err, api.Unsupported) {
		t.Errorf("CopyVolume answers %v", err)
	}
}
