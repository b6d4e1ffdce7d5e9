package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// TestDatabases drives managed databases over a real engine: what they hold survives what happens to them.
func TestDatabases(t *testing.T) {
	needEngine(t)
	c := startCloud(t, buildProgram(t))
	c.do(t, "database", "create", "often", "--engine", "postgres", "--size", "nano", "--backup", "60s", "--keep", "1")
	c.do(t, "database", "create", "orders", "--engine", "postgres", "--size", "small")
	t.Run("backup", func(t *testing.T) { testBackup(t, c) })
	t.Run("kill", func(t *testing.T) { testBackupSurvivesKill(t, c) })
	t.Run("tampered", func(t *testing.T) { testTamperedBackup(t, c) })
	t.Run("last", func(t *testing.T) { testLastBackup(t, c) })
	t.Run("pgbench", func(t *testing.T) { testPgbench(t, c) })
	t.Run("rotation", func(t *testing.T) { testRotation(t, c) })
	t.Run("servers", func(t *testing.T) { testServers(t, c) })
	t.Run("schedule", func(t *testing.T) { testSchedule(t, c) })
	t.Run("moment", func(t *testing.T) { testMoment(t, c) })
}

// sql runs SQL by nuage database psql and returns what it prints, without blanks around.
func (c *liveCloud) sql(t *testing.T, database, text string) string {
	t.Helper()
	return strings.TrimSpace(c.do(t, "database", "psql", database, "--", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", text))
}

// backupsOf lists the backups of a database, or with "" of all.
func (c *liveCloud) backupsOf(t *testing.T, database string) []api.Backup {
	t.Helper()
	var list api.List[api.Backup]
	c.decode(t, &list, append([]string{"database", "backups", "-o", "json"}, strings.Fields(database)...)...)
	return list.Items
}

// testBackup: a backup holds one moment while rows are being added, and a restore has exactly those.
func testBackup(t *testing.T, c *liveCloud) {
	c.sql(t, "orders", `CREATE EXTENSION pg_trgm; CREATE TABLE entry (id serial PRIMARY KEY, line text);
		CREATE INDEX ON entry USING gin (line gin_trgm_ops); CREATE TABLE "odd | name" (a int); CREATE MATERIALIZED VIEW long AS SELECT * FROM entry; CREATE VIEW seen AS SELECT * FROM long;
		CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1'; CREATE INDEX ON entry (twice(id));
		INSERT INTO entry (line) SELECT md5(i::text) FROM generate_series(1, 20000) i`)
	done, busy := make(chan struct{}), make(chan outcome, 1)
	go func() {
		defer close(busy)
		for {
			select {
			case <-done:
				return
			default:
				busy <- c.try("database", "psql", "orders", "--", "-qc", "INSERT INTO entry (line) SELECT 'more' FROM generate_series(1, 100)")
				<-busy
			}
		}
	}()
	var b api.Backup
	c.decode(t, &b, "database", "backup", "orders", "--name", "first", "-o", "json")
	close(done)
	if !b.Status.Verified || b.Status.Tables != 2 || b.Status.Rows < 20000 || b.Status.TakenAt == nil || b.Status.Trigger != "manual" {
		t.Errorf("the backup is %+v", b.Status)
	}
	blob, err := os.Stat(filepath.Join(c.home, "blobs", "backups", b.ID+".dump"))
	if err != nil || blob.Size() != b.Status.SizeBytes || blob.Mode().Perm() != 0o600 {
		t.Errorf("stored is %+v, %v, of %d bytes", blob, err, b.Status.SizeBytes)
	}
	c.do(t, "database", "restore", "orders", "--as", "copy", "--size", "small")
	if got, want := c.sql(t, "copy", "SELECT count(*), max(twice(id)) FROM entry"), fmt.Sprintf("%d|%d", b.Status.Rows, 2*b.Status.Rows); got != want {
		t.Errorf("restored are %s rows, want %s", got, want)
	}
	var of, restored api.Credentials
	c.decode(t, &of, "database", "credentials", "orders", "-o", "json")
	c.decode(t, &restored, "database", "credentials", "copy", "-o", "json")
	if of.Password == restored.Password {
		t.Error("the copy has the password of the original")
	}
	c.do(t, "database", "delete", "copy")
}

// testBackupSurvivesKill: a control plane that is killed while a backup is made has made it in the end, and nothing else is there.
func testBackupSurvivesKill(t *testing.T, c *liveCloud) {
	for n := range 2 {
		name := fmt.Sprintf("killed-%d", n)
		c.do(t, "database", "backup", "orders", "--name", name, "--no-wait")
		time.Sleep(time.Duration(100+2500*n) * time.Millisecond) // the blow falls in the dump, and in the verification
		c.kill()
		c.up(t)
		eventually(t, 60*time.Second, name+" is verified", func() error {
			for _, b := range c.backupsOf(t, "orders") {
				if b.Name == name && b.Status.Verified {
					return nil
				}
			}
			return errors.New("not yet")
		})
	}
	files, err := os.ReadDir(filepath.Join(c.home, "blobs", "backups"))
	if all := c.backupsOf(t, ""); err != nil || len(files) != len(all) {
		t.Errorf("there are %d files of %d backups, %v", len(files), len(all), err)
	}
	eventually(t, 20*time.Second, "no scratch server is left", func() error {
		if left := c.containers(t, "nuage.kind=helper"); len(left) > 0 {
			return fmt.Errorf("%v", left)
		}
		return nil
	})
}

// testTamperedBackup: what was changed in the blob store is not taken for a backup.
func testTamperedBackup(t *testing.T, c *liveCloud) {
	at := len(c.backupsOf(t, "orders"))
	var b api.Backup
	c.decode(t, &b, "database", "backup", "orders", "--name", "changed", "-o", "json")
	path := filepath.Join(c.home, "blobs", "backups", b.ID+".dump")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 0x55
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	c.refused(t, 1, "database", "restore", "orders", "--as", "bad", "--backup", "changed")
	c.refused(t, 1, "database", "backups", "--delete", "changed") // it is in use
	c.do(t, "database", "delete", "bad")
	c.do(t, "database", "backups", "--delete", "changed")
	if left := len(c.backupsOf(t, "orders")); left != at {
		t.Errorf("%d backups are left, want %d", left, at)
	}
}

// testLastBackup: the deletion of a database keeps what it held.
func testLastBackup(t *testing.T, c *liveCloud) {
	c.sql(t, "orders", "CREATE TABLE late (a int); INSERT INTO late VALUES (7)")
	c.do(t, "app", "deploy", "user", "--source", rowsApp, "--size", "nano", "--health", "/health", "--database", "orders")
	if said := c.refused(t, 1, "database", "delete", "orders"); !strings.Contains(said, `app "user" is bound to it`) {
		t.Errorf("the deletion of a bound database says %q", said)
	}
	c.do(t, "app", "delete", "user")
	c.do(t, "database", "delete", "orders")
	c.refused(t, 1, "database", "show", "orders")
	all := c.backupsOf(t, "orders")
	if last := all[len(all)-1]; last.Status.Trigger != "deletion" && all[0].Status.Trigger != "deletion" {
		t.Errorf("the backups left are %+v", all)
	}
	c.do(t, "database", "restore", "orders", "--as", "orders")
	if got := c.sql(t, "orders", "SELECT a FROM late"); got != "7" {
		t.Errorf("restored is %q, want 7", got)
	}
}

// testSchedule: a backup is made when it is due, by the platform.
func testSchedule(t *testing.T, c *liveCloud) {
	eventually(t, 90*time.Second, "a scheduled backup is verified", func() error {
		all := c.backupsOf(t, "often")
		if len(all) == 0 || !all[0].Status.Verified || all[0].Status.Trigger != "schedule" {
			return fmt.Errorf("%+v", all)
		}
		return nil
	})
	made := c.do(t, "activity", "list", "--layer", "data", "--actor", "platform")
	for _, want := range []string{"on schedule", "the last one before its deletion", "restored into a scratch server"} {
		if !strings.Contains(made, want) {
			t.Errorf("the record does not have %q:\n%s", want, made)
		}
	}
}
