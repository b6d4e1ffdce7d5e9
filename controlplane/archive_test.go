package controlplane

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

var (
	archiveDay  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	archiveHour = func(n float64) time.Time { return archiveDay.Add(time.Duration(n * float64(time.Hour))) }
)

// basesOf makes an archive with a base every hour from 0: v verified, f failed, . neither. Each hour fills a segment.
func basesOf(kinds string) archive {
	a := archive{ID: "db-1", Timeline: "00000001", Until: archiveHour(float64(len(kinds))), Place: uint64(len(kinds)) * segmentBytes}
	for i, kind := range kinds {
		b := base{ID: fmt.Sprint(i), Since: uint64(i)*segmentBytes + 100, Mark: archiveHour(float64(i) - 0.1), At: archiveHour(float64(i)), Verified: kind == 'v'}
		if kind == 'f' {
			b.Failed = "it did"
		}
		a.Bases = append(a.Bases, b)
	}
	return a
}

func TestWhichBasesStay(t *testing.T) {
	for _, c := range []struct {
		name, kinds string
		now         float64
		want        string
	}{
		{"none", "", 5, ""},
		{"all are young", "vvv", 2.9, "0 1 2"},
		{"the one that the oldest moment begins with stays", "vvvvvv", 6.5, "4 5"},
		{"one that was never verified is none to begin with", "v...vv", 5.5, "0 1 2 3 4 5"},
		{"failed ones go, but for the last", "vfvf", 3, "0 2 3"},
		{"an old one stays as long as there is none after it", "v", 100, "0"},
	} {
		var got []string
		for _, b := range basesOf(c.kinds).keep(api.DatabaseSpec{BackupSeconds: 3600, Keep: 2}, archiveHour(c.now)) {
			got = append(got, b.ID)
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s: %q stay, want %q", c.name, g, c.want)
		}
	}
}

func TestWhenABaseIsDue(t *testing.T) {
	spec := api.DatabaseSpec{BackupSeconds: 2 * 3600, StorageBytes: 1 << 30}
	long := basesOf("v")
	long.Place = long.Bases[0].Since + 1<<30 + 1
	failed := basesOf("f")
	failed.Place = long.Place
	for _, c := range []struct {
		name  string
		a     archive
		every int64
		now   float64
		want  bool
	}{
		{"there is none", archive{}, 7200, 0, true},
		{"not yet", basesOf("v"), 7200, 1.9, false},
		{"as often as backups", basesOf("v"), 7200, 2, true},
		{"not more often than each hour", basesOf("v"), 60, 0.9, false},
		{"each day at least", basesOf("v"), 31 * 24 * 3600, 24, true},
		{"after much log", long, 7200, 0.1, true},
		{"one that failed is not tried again at once, however long the log", failed, 7200, 0.1, false},
		{"but sooner than the next one", failed, 7200, 0.17, true},
	} {
		spec.BackupSeconds = c.every
		if got := c.a.baseDue(spec, archiveHour(c.now)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestBaseForAMoment(t *testing.T) {
	a := basesOf("fvv.")
	for _, c := range []struct {
		name string
		at   float64
		want string
	}{
		{"before all", 0.5, "false"},
		{"the first moment", 1, "true 1 up to 33554532"}, // what was committed by 1:54 is before the base of 2:00
		{"between", 1.8, "true 1 up to 33554532"},
		{"while the next was made", 1.95, "true 1 up to 50331748"},
		{"after", 2.5, "true 2 up to 50331748"},
		{"one that is not verified is not used", 3.5, "true 2 up to 67108864"},
	} {
		b, end, ok := a.baseFor(archiveHour(c.at))
		got := fmt.Sprintf("%v %s up to %d", ok, b.ID, end)
		if !ok {
			got = "false"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if from, until, ok := a.window(); !ok || !from.Equal(archiveHour(1)) || !until.Equal(archiveHour(4)) {
		t.Errorf("from %s to %s, %v", from, until, ok)
	}
	a.Bases[1].At = a.Bases[1].At.Add(time.Microsecond)
	if from, _, _ := a.window(); !from.Equal(archiveHour(1).Add(time.Second)) {
		t.Errorf("from %s", from)
	}
	a.Until = archiveHour(0.5)
	for _, none := range []archive{{}, basesOf("f."), a} {
		if _, _, ok := none.window(); ok {
			t.Errorf("%+v has a window", none)
		}
	}
}

func TestPlacesOfALog(t *testing.T) {
	for text, want := range map[string]string{
		"0/0":         "0/0 000000010000000000000000",
		"0/1000000":   "0/1000000 000000010000000000000001",
		"0/FFFFFFFF":  "0/FFFFFFFF 0000000100000000000000FF",
		"1/0":         "1/0 000000010000000100000000",
		"A2/3B00C0DE": "A2/3B00C0DE 00000001000000A20000003B",
	} {
		place, err := readWalPlace(text)
		if got := placeText(place) + " " + segmentName("00000001", place); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "0/", "x/1", "1/100000000", "-1/0"} {
		if _, err := readWalPlace(text); !errors.Is(err, api.Internal) {
			t.Errorf("%q: %v", text, err)
		}
	}
	s, err := readWalState("NOTICE\nlog|77|00000001|740|0/3000028|1767225600000001\n")
	if want := (walState{"77", "00000001", "740", 3*segmentBytes + 0x28, archiveDay.Add(time.Microsecond)}); err != nil || s != want {
		t.Errorf("the state is %+v, %v; want %+v", s, err, want)
	}
	m, err := readWalMark("mark|0/10|9|1767225600000000\n")
	if want := (walMark{16, "9", archiveDay}); err != nil || m != want {
		t.Errorf("the mark is %+v, %v; want %+v", m, err, want)
	}
	if _, err := readWalMark("log|1\n"); !errors.Is(err, api.Internal) {
		t.Errorf("of no mark: %v", err)
	}
}

// TestPackedLog: segments come whole, the last one with what was archived when its archive was read, though more came since; one that lacks
// something is refused.
func TestPackedLog(t *testing.T) {
	cp := &ControlPlane{Options: Options{BlobDir: t.TempDir()}}
	a := archive{ID: "db-1", Timeline: "00000001", Place: segmentBytes + 7}
	must(t, os.MkdirAll(cp.archiveDir(a.ID), 0o700))
	whole := bytes.Repeat([]byte("log."), segmentBytes/4)
	must(t, os.WriteFile(cp.segmentPath(a, 0), slices.Concat(gzipped(t, whole[:1000]), gzipped(t, whole[1000:])), 0o600))
	tail := gzipped(t, []byte("so far."))
	a.Tail = int64(len(tail))
	must(t, os.WriteFile(cp.segmentPath(a, segmentBytes), slices.Concat(tail, gzipped(t, []byte("later"))), 0o600))
	var out bytes.Buffer
	must(t, cp.packLog(a, 100, a.Place, &out))
	want := [][]byte{whole, append([]byte("so far."), make([]byte, segmentBytes-7)...)}
	in := tar.NewReader(&out)
	for i, w := range want {
		h, err := in.Next()
		must(t, err)
		got, err := io.ReadAll(in)
		if name := segmentName("00000001", uint64(i)*segmentBytes); err != nil || h.Name != name || !bytes.Equal(got, w) {
			t.Errorf("%s of %d bytes is not %s, %v", h.Name, len(got), name, err)
		}
	}
	a.Place = segmentBytes + 8
	if err := cp.packLog(a, 0, a.Place, io.Discard); err == nil || err.Error() != "000000010000000000000001 has 7 of 8 bytes" {
		t.Errorf("of a log that lacks a byte: %v", err)
	}
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(data)
	must(t, errors.Join(err, z.Close()))
	return out.Bytes()
}

// TestTidyArchive removes what an archive does not need: log before its beginning and after its end, bases that are gone, what a kill left.
func TestTidyArchive(t *testing.T) {
	cp := &ControlPlane{Options: Options{BlobDir: t.TempDir()}}
	a := archive{ID: "db-1", Timeline: "00000001", First: segmentBytes + 5, Place: 2*segmentBytes + 9, Bases: []base{{ID: "base-1"}}}
	must(t, cp.tidyArchive(a)) // nothing was archived yet
	must(t, os.MkdirAll(cp.archiveDir(a.ID), 0o700))
	stay := []string{segmentName(a.Timeline, a.First) + ".gz", segmentName(a.Timeline, a.Place) + ".gz", "base-1.tar.gz"}
	slices.Sort(stay)
	for _, name := range append([]string{segmentName(a.Timeline, 0) + ".gz", segmentName(a.Timeline, 3*segmentBytes) + ".gz", "base-0.tar.gz", "base-2.tar.gz.partial"}, stay...) {
		must(t, os.WriteFile(filepath.Join(cp.archiveDir(a.ID), name), []byte("x"), 0o600))
	}
	must(t, cp.tidyArchive(a))
	var left []string
	files, err := os.ReadDir(cp.archiveDir(a.ID))
	must(t, err)
	for _, f := range files {
		left = append(left, f.Name())
	}
	if !slices.Equal(left, stay) {
		t.Errorf("left are %v, want %v", left, stay)
	}
	if n, err := cp.archiveBytes(a); n != 3 || err != nil {
		t.Errorf("%d bytes are stored, %v", n, err)
	}
}

// TestMomentsOfAnArchive: which moments can be gone back to, and why others can't.
func TestMomentsOfAnArchive(t *testing.T) {
	cp := &ControlPlane{Options: Options{Now: func() time.Time { return archiveHour(5) }}}
	for _, c := range []struct {
		engine string
		every  int64
		kinds  string
		at     float64
		want   string
	}{
		{"postgres", 3600, "vv", 0, ""},
		{"postgres", 3600, "vv", 5, ""},
		{"postgres", 3600, "fv", 0.5, `invalid: cannot restore database "new": 2026-01-01T00:30:00Z is too early: database "d" can be brought back to what it was from 2026-01-01T01:00:00Z to 2026-01-01T02:00:00Z`},
		{"postgres", 3600, "vv", -3, `invalid: cannot restore database "new": 2025-12-31T21:00:00Z is too early: database "d" was made at 2025-12-31T23:00:00Z`},
		{"postgres", 3600, "vv", 6, `invalid: cannot restore database "new": 2026-01-01T06:00:00Z is in the future`},
		{"postgres", 3600, ".", 1, `conflict: cannot restore database "new": there is no copy of database "d" yet from which its log can be replayed; nuage database show d says when there is`},
		{"postgres", 0, "vv", 1, `conflict: cannot restore database "new": the log of database "d" is archived only with scheduled backups; nuage database update d --backup 24h begins that`},
		{"redis", 3600, "", 1, `unsupported: cannot restore database "new": database "d" runs redis, of which backups alone can be restored`},
	} {
		e, err := databaseEngineOf(c.engine)
		must(t, err)
		d := api.Database{Meta: api.Meta{Name: "d", CreatedAt: archiveHour(-1)}, Spec: api.DatabaseSpec{Engine: c.engine, BackupSeconds: c.every}}
		got := ""
		if err := cp.reachable(d, e, basesOf(c.kinds), api.Database{Meta: api.Meta{Name: "new"}}, archiveHour(c.at)); err != nil {
			got = fmt.Sprintf("%s: %s", api.CodeOf(err), textOf(err))
		}
		if got != c.want {
			t.Errorf("%s every %d s with %q to %v: %s, want %s", c.engine, c.every, c.kinds, c.at, got, c.want)
		}
	}
}
