//go:build unix

package docker

import (
	"context"
	"os"
	"strings"
	"testing"
)

func TestDiskUsage(t *testing.T) {
	ctx := t.Context()
	if _, ok := diskUsage(ctx, t.TempDir()+"/none"); ok {
		t.Error("a directory that is not there was measured")
	}
	measured := func(dir string) int64 {
		n, measured := diskUsage(ctx, dir)
		if !measured {
			t.Errorf("%s was not measured", dir)
		}
		return n
	}
	dir, other := t.TempDir(), t.TempDir()
	ok(t, os.WriteFile(other+"/large", make([]byte, 1<<20), 0o600))
	ok(t, os.Mkdir(dir+"/d", 0o700))
	ok(t, os.WriteFile(dir+"/d/f", make([]byte, 64<<10), 0o600))
	before := measured(dir)
	if before < 64<<10 || before > 128<<10 {
		t.Errorf("a file of 64 KiB in a folder takes %d bytes", before)
	}
	ok(t, os.Link(dir+"/d/f", dir+"/g"))
	ok(t, os.Symlink(other, dir+"/away"))
	ok(t, os.Symlink(dir, dir+"/d/again"))
	if after := measured(dir); after > before+16<<10 {
		t.Errorf("links to files and folders make %d bytes of %d", after, before)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, measured := diskUsage(over, dir); measured {
		t.Error("it was measured when nobody waited any more")
	}
	ok(t, os.MkdirAll(dir+strings.Repeat("/n", nestedMost), 0o700))
	if _, measured := diskUsage(ctx, dir); measured {
		t.Error("what is nested too deeply was measured")
	}
}
