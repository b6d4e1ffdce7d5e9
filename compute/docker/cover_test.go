package docker

import (
	"io"
	"testing"

	"nuage/compute"
)

// TestNothingOverTheGuest: links on a root disk lead no volume, neither one of the cloud nor one of the image, over the guest.
func TestNothingOverTheGuest(t *testing.T) {
	needEngine(t)
	guest, volume := echoGuest(t)
	e := open(t, Options{Guest: guest, GuestVolume: volume})
	links := e.o.CloudID + "/links"
	build := func(tag, text string) {
		_, err := e.Build(t.Context(), compute.Build{Tag: tag, Name: "links"}, dockerfile(t, text), io.Discard)
		ok(t, err)
	}
	build(links, "FROM "+tiny+"\nRUN mkdir /a /there && ln -s /.nuage /a/guest && ln -s ../there /a/there\n")
	build(links+":volume", "FROM "+links+"\nVOLUME /a/guest\n")
	ok(t, e.EnsureVolume(t.Context(), compute.Volume{ID: "v"}))
	refused := func(at, lies string) string {
		return `cannot start "i": what is mounted at ` + at + " would lie at " + lies + ", as links on the root disk lead there, and no volume may lie over /.nuage; " +
			"detach the volume, or use an image without such a link"
	}
	for _, c := range []struct{ image, path, want string }{
		{links, "/a/there/data", ""},
		{links, "/a/guest", refused("/a/guest", "/.nuage")},
		{links + ":volume", "", refused("/a/guest", "/.nuage")},
	} {
		w := compute.Workload{ID: "i", Image: c.image, Guest: compute.GuestMachine}
		if c.path != "" {
			w.Mounts = []compute.Mount{{Volume: "v", Path: c.path}}
		}
		ok(t, e.Create(t.Context(), w))
		got := ""
		if err := e.Start(t.Context(), w.ID); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("a machine of %s with a volume at %q: %q, want %q", c.image, c.path, got, c.want)
		}
		ok(t, e.Remove(t.Context(), w.ID))
	}
}
