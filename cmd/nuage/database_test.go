package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
)

// TestDatabaseSpecs: what command lines ask of the cloud.
func TestDatabaseSpecs(t *testing.T) {
	moment := time.Date(2026, 1, 31, 12, 0, 0, 5e8, time.UTC)
	for _, c := range []struct {
		line []string
		want api.DatabaseSpec
	}{
		{[]string{"create", "b", "--engine", "postgres", "--backup", "24h", "--keep", "3", "--storage", "2GiB"},
			api.DatabaseSpec{Engine: "postgres", Size: "micro", StorageBytes: 2 << 30, BackupSeconds: 86400, Keep: 3}},
		{[]string{"restore", "a", "--as", "b"}, api.DatabaseSpec{Size: "micro", Restore: &api.Restore{Database: "a"}}},
		{[]string{"restore", "a", "--as", "b", "--backup", "monday", "--size", "small"}, api.DatabaseSpec{Size: "small", Restore: &api.Restore{Backup: "monday"}}},
		{[]string{"restore", "a", "--as", "b", "--time", "2026-01-31T14:00:00.5+02:00"}, api.DatabaseSpec{Size: "micro", Restore: &api.Restore{Database: "a", Time: &moment}}},
	} {
		w := newWorld(t, "")
		w.check(t, "b\n", append(append([]string{"database"}, c.line...), "-o", "name")...)
		if d := cmp.Diff(c.want, w.databases.items["b"].Spec); d != "" {
			t.Errorf("%q: %s", c.line, d)
		}
	}
}

// TestDatabaseUpdateKeepsWhatIsNotGiven and forgets how many backups stay when none are made any more.
func TestDatabaseUpdateKeepsWhatIsNotGiven(t *testing.T) {
	w := newWorld(t, "")
	w.run("database", "create", "b", "--engine", "postgres", "--backup", "1h", "--keep", "3")
	spec := api.DatabaseSpec{Engine: "postgres", Size: "small", BackupSeconds: 3600, Keep: 3}
	w.check(t, "b\n", "database", "update", "b", "--size", "small", "-o", "name")
	if d := cmp.Diff(spec, w.databases.items["b"].Spec); d != "" {
		t.Error(d)
	}
	spec.BackupSeconds, spec.Keep = 0, 0
	w.check(t, "b\n", "database", "update", "b", "--backup", "0s", "-o", "name")
	if d := cmp.Diff(spec, w.databases.items["b"].Spec); d != "" {
		t.Error(d)
	}
	w.check(t, "! nuage: cannot use --backup 1.5s: give whole seconds, as 10s; see nuage database update --help\nexit 2\n", "database", "update", "b", "--backup", "1500ms")
}

// TestBackupsOfOneDatabase: the name of a backup is the database's and the time, and a list can be of one database.
func TestBackupsOfOneDatabase(t *testing.T) {
	w := newWorld(t, "")
	w.check(t, "a-20260102-030405\n", "database", "backup", "a", "-o", "name")
	w.check(t, "monday\n", "database", "backup", "b", "--name", "monday", "-o", "name")
	if d := cmp.Diff(api.BackupSpec{Database: "a"}, w.backups.items["a-20260102-030405"].Spec); d != "" {
		t.Error(d)
	}
	w.check(t, "monday\n", "database", "backups", "b", "-o", "name")
	w.check(t, "a-20260102-030405\nmonday\n", "database", "backups", "-o", "name")
	w.check(t, "deleted backup monday\n! backup \"monday\" deleting\n", "database", "backups", "--delete", "monday")
	w.check(t, "a-20260102-030405\n", "database", "backups", "-o", "name")
}

// TestRotationPrintsTheNewCredentials and waits until those before are closed, or says who is in the way.
func TestRotationPrintsTheNewCredentials(t *testing.T) {
	w := newWorld(t, "")
	w.run("database", "create", "b", "--engine", "postgres")
	w.check(t, "nuage_b\n", "database", "credentials", "b", "--rotate", "-o", "name")
	b := w.databases.items["b"]
	b.Status.Rotation = &api.Rotation{Waiting: []string{`app "web" has moved (release 2 is being deployed)`, `function "f" has moved (it did not start; deploy it again)`}, Stuck: true}
	w.databases.items["b"] = b
	w.check(t, "nuage_b\n! nuage: cannot close the former credentials of database \"b\": they stay valid until app \"web\" has moved (release 2 is being deployed), "+
		"and function \"f\" has moved (it did not start; deploy it again)\nexit 1\n", "database", "credentials", "b", "--rotate", "-o", "name")
	w.check(t, "nuage_b\n", "database", "credentials", "b", "--rotate", "--no-wait", "-o", "name")
}
