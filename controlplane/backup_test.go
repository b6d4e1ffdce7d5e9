package controlplane

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// TestWhichScheduledBackupsGo: the newest verified ones stay, with the one that is being made; of the failed ones only the newest of all.
func TestWhichScheduledBackupsGo(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ name, made, want string }{ // oldest first: v verified, f failed, . being made, m made by hand
		{"none", "", "made last 0, gone []"},
		{"as many as stay", "vv", "made last 2, gone []"},
		{"one too many", "vvv", "made last 3, gone [1]"},
		{"what is being made is none of them yet", "vv.", "made last 3, gone []"},
		{"a failed one is none of them", "vvf", "made last 3, gone []"},
		{"a failed one goes when another follows", "vfv", "made last 3, gone [2]"},
		{"what was asked for by hand stays", "mvvmm", "made last 3, gone []"},
		{"all before", "vvvmvv", "made last 6, gone [3 2 1]"},
	} {
		w := &world{dumps: map[string]dump{}}
		for i, kind := range c.made {
			b := api.Backup{Meta: api.Meta{ID: fmt.Sprint(i + 1), CreatedAt: at.Add(time.Duration(i+1) * time.Hour)}}
			b.Status.DatabaseID, b.Status.Trigger, b.Status.Verified = "db-1", api.BackupSchedule, kind == 'v' || kind == 'm'
			if kind == 'm' {
				b.Status.Trigger = api.BackupManual
			}
			if kind == 'f' {
				w.dumps[b.ID] = dump{ID: b.ID, Failed: "it did"}
			}
			w.backups = append(w.backups, b)
		}
		w.index()
		last, old := w.scheduled(api.Database{Meta: api.Meta{ID: "db-1", CreatedAt: at}, Spec: api.DatabaseSpec{Keep: 2}})
		gone := []string{}
		for _, b := range old {
			gone = append(gone, b.ID)
		}
		if got := fmt.Sprintf("made last %.0f, gone %v", last.Sub(at).Hours(), gone); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestContentsOfADump(t *testing.T) {
	c := readContents("NOTICE: hello\ncount|public.b|2\ncount|public.a|10\ncount|large objects|3\ndumped\n")
	if got, want := strings.Join(c, " "), "large objects|3 public.a|10 public.b|2"; got != want {
		t.Errorf("read %q, want %q", got, want)
	}
	if got, want := totalsText("postgres", c), "2 tables, 12 rows"; got != want {
		t.Errorf("in all %s, want %s", got, want)
	}
	for text, want := range map[string]string{
		"count|large objects|3\ncount|public.a|10\ncount|public.b|2\n":                   "",
		"count|large objects|3\ncount|public.a|9\ncount|public.b|2\n":                    "public.a: 10",
		"count|large objects|3\ncount|public.a|10\n":                                     "public.b: 2",
		"count|large objects|3\ncount|public.a|10\ncount|public.b|2\ncount|public.c|1\n": "1 more than there were",
	} {
		if got := c.differs(readContents(text)); got != want {
			t.Errorf("of %q differs %q, want %q", text, got, want)
		}
	}
}

// TestABackupIsWholeOrNotThere: what can't be written in full leaves nothing, and says why.
func TestABackupIsWholeOrNotThere(t *testing.T) {
	cp := &ControlPlane{Options: Options{BlobDir: t.TempDir()}}
	b := api.Backup{Meta: api.Meta{ID: "bak-1", Name: "b"}}
	text := strings.Repeat("rows ", 1000)
	write := func(out io.Writer) error { _, err := io.WriteString(out, text); return err }
	s, err := cp.storeDump(b, write)
	must(t, err)
	if s.bytes != int64(len(text)) || len(s.sum) != 64 {
		t.Errorf("stored %+v of %d bytes", s, len(text))
	}
	_, err = cp.storeDump(b, func(out io.Writer) error { return errors.Join(write(out), errors.New("the server went away")) })
	if textOf(err) != "the server went away" {
		t.Errorf("a dump that broke off: %v", err)
	}
	must(t, os.Symlink("/dev/full", cp.backupPath(b.ID)+".partial"))
	_, err = cp.storeDump(b, write)
	if want := `cannot store backup "b": the disk is full; free some space, or delete older backups, then make another`; textOf(err) != want || !errors.Is(err, api.Exhausted) {
		t.Errorf("on a full disk: %v, want %s", err, want)
	}
	files, err := os.ReadDir(filepath.Join(cp.BlobDir, "backups"))
	must(t, err)
	if len(files) != 1 || files[0].Name() != "bak-1.dump" {
		t.Errorf("there are %v, want the first dump alone", files)
	}
	if kept, err := os.ReadFile(cp.backupPath(b.ID)); err != nil || string(kept) != text {
		t.Errorf("the first dump is no more what it was: %v", err)
	}
}

// TestRestoreNamesOneBackup on the simulator, where backups hold nothing and are restorable all the same.
func TestRestoreNamesOneBackup(t *testing.T) {
	p := newPlane(t, setup{})
	c, ctx := p.cloud, asCustomer()
	_, err := c.Databases.Create(ctx, "default", "d", api.DatabaseSpec{Engine: "postgres"})
	must(t, err)
	if _, err := c.Databases.Wait(ctx, "default", "d", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b1", "b2"} {
		_, err := c.Backups.Create(ctx, "default", name, api.BackupSpec{Database: "d"})
		must(t, err)
		_, err = c.Backups.Wait(ctx, "default", name, 10*time.Second)
		must(t, err)
	}
	must(t, c.Databases.Delete(ctx, "default", "d", 0))
	asked := &api.Restore{Database: "d"}
	made, err := c.Databases.Create(ctx, "default", "e", api.DatabaseSpec{Restore: asked})
	must(t, err)
	if got, want := made.Spec, (api.Restore{Backup: "b2", Database: "d"}); *got.Restore != want || got.Engine != "postgres" || asked.Backup != "" {
		t.Errorf("restored is %+v with %s, want %+v with postgres; asked was %+v", *got.Restore, got.Engine, want, *asked)
	}
	p.waitGone(t, "d")
	left, err := c.Backups.List(ctx, "default", api.Page{})
	if err != nil || len(left.Items) != 2 {
		t.Errorf("of the deleted database are left %d backups, %v, want 2", len(left.Items), err)
	}
}

func (p *plane) waitGone(t *testing.T, database string) {
	t.Helper()
	eventually(t, "the end of "+database, func() bool {
		_, err := p.cloud.Databases.Get(asCustomer(), "default", database)
		return errors.Is(err, api.NotFound)
	})
}
