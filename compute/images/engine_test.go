package images

import (
	"crypto/rand"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// needImage skips the test, loudly, where no engine answers or the image is not made;
// with NUAGE_REQUIRE_ENGINE=1 it fails.
func needImage(t *testing.T, name string) string {
	t.Helper()
	i, ok := Lookup(name)
	if !ok {
		t.Fatalf("no image %q in the catalog", name)
	}
	d := doctor{ask: run, look: exec.LookPath}
	c := d.engine(t.Context())
	if c.OK {
		c = d.image(t.Context(), i)
	}
	if !c.OK {
		missing := t.Skipf
		if os.Getenv("NUAGE_REQUIRE_ENGINE") == "1" {
			missing = t.Fatalf
		}
		missing("SKIPPED, NOT TESTED: %s: %s; run `make engine`", c.Name, c.Detail)
	}
	return i.Ref
}

// docker runs a docker command and returns its trimmed output, both streams.
func docker(args ...string) (string, error) {
	out, err := exec.Command("docker", args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func mustDocker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := docker(args...)
	if err != nil {
		t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// eventually polls until ok, for at most a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func TestImagesWork(t *testing.T) {
	tests := []struct{ image, command, want string }{
		{"tiny", "id -un; busybox wc -l < /etc/passwd; ls -d /tmp /root", "root\n2\n/root\n/tmp"},
		{"debian-12", "ping -c1 -W2 127.0.0.1 | grep -c '1 received'; for c in apt-get curl ip less ps vi; do command -v $c; done",
			"1\n/usr/bin/apt-get\n/usr/bin/curl\n/usr/sbin/ip\n/usr/bin/less\n/usr/bin/ps\n/usr/bin/vi"},
		{"debian-12", "sh /usr/sbin/policy-rc.d && echo services may start", "services may start"},
		{"python", `python -c "import asyncio, http.client, json, psycopg2, ssl, sys, venv; print(sys.version_info[:2])"; pip --version | cut -c 1-4`, "(3, 11)\npip"},
	}
	for _, tt := range tests {
		t.Run(tt.image, func(t *testing.T) {
			ref := needImage(t, tt.image)
			got := mustDocker(t, "run", "--rm", "--cap-drop=NET_RAW", "--network=none", ref, "sh", "-c", tt.command)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// postgres is a managed database under test: one volume, one container at a time.
type postgres struct {
	t           *testing.T
	ref, volume string
	container   string
}

func newPostgres(t *testing.T) *postgres {
	ref := needImage(t, "postgres-15")
	p := &postgres{t: t, ref: ref, volume: "images-test-" + strings.ToLower(rand.Text())}
	mustDocker(t, "volume", "create", p.volume)
	t.Cleanup(func() { mustDocker(t, "volume", "rm", p.volume) })
	return p
}

// run starts a new container with this password on the volume and forgets the one before.
func (p *postgres) run(password string) {
	p.t.Helper()
	p.container = mustDocker(p.t, "run", "--detach", "--network=none", "--cap-drop=NET_RAW", "--memory=256m",
		"--volume", p.volume+":/var/lib/postgresql/data",
		"--env=POSTGRES_USER=student", "--env=POSTGRES_DB=guest book", "--env=POSTGRES_PASSWORD="+password, p.ref)
	id := p.container
	p.t.Cleanup(func() { mustDocker(p.t, "rm", "--force", "--volumes", id) })
}

func (p *postgres) ready() {
	p.t.Helper()
	eventually(p.t, "PostgreSQL answers", func() bool {
		_, err := docker("exec", p.container, "pg_isready", "--quiet", "--host=127.0.0.1")
		return err == nil
	})
}

// query runs SQL over TCP as the customer's role, password and all.
func (p *postgres) query(password, sql string) (string, error) {
	return docker("exec", "--env=PGPASSWORD="+password, p.container,
		"psql", "-v", "ON_ERROR_STOP=1", "-qAt", "--host=127.0.0.1", "--username=student", "--dbname=guest book", "--command", sql)
}

func (p *postgres) mustQuery(password, sql, want string) {
	p.t.Helper()
	if got, err := p.query(password, sql); err != nil || got != want {
		p.t.Errorf("%s = %q (%v), want %q", sql, got, err, want)
	}
}

func (p *postgres) logged(text string) bool {
	return strings.Contains(mustDocker(p.t, "logs", p.container), text)
}

const secret = `it's "a" \secret $PATH`

// A kill during the first start, whenever it comes, leaves nothing that a second start
// would take for a cluster.
func TestPostgresSurvivesKillInFirstStart(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	p.run(secret)
	eventually(t, "a first start", func() bool { return p.logged("making a new cluster") })
	mustDocker(t, "kill", "--signal=KILL", p.container)
	for _, file := range []string{"PG_VERSION", "base/5/PG_VERSION", "postmaster.pid"} {
		mustDocker(t, "start", p.container)
		eventually(t, "the file "+file+" of a first start", func() bool {
			_, err := docker("exec", p.container, "sh", "-c", "test -e $PGDATA.new/"+file+" || test -e $PGDATA")
			return err == nil
		})
		mustDocker(t, "kill", "--signal=KILL", p.container)
	}
	mustDocker(t, "start", p.container)
	p.ready()
	p.mustQuery(secret, "SELECT current_user || ' ' || current_database()", "student guest book")
}

func TestPostgresKeepsCommittedRowsThroughKill(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	p.run(secret)
	p.ready()
	p.mustQuery(secret, "CREATE TABLE entry (line text); INSERT INTO entry VALUES ('kept')", "")
	mustDocker(t, "kill", "--signal=KILL", p.container)
	mustDocker(t, "start", p.container)
	p.ready()
	p.mustQuery(secret, "SELECT line FROM entry", "kept")
	p.mustQuery(secret, "SHOW fsync", "on")
	p.mustQuery(secret, "SHOW shared_buffers", "64MB")
}

func TestPostgresStopsFastWithClients(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	p.run(secret)
	p.ready()
	mustDocker(t, "exec", "--detach", "--user=postgres", p.container, "psql", "--username=postgres", "--command", "SELECT pg_sleep(600)")
	eventually(t, "a client is there", func() bool {
		return mustDocker(t, "exec", "--user=postgres", p.container, "psql", "-At", "--username=postgres", "--command",
			"SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'") == "1"
	})
	began := time.Now()
	mustDocker(t, "stop", "--time=60", p.container)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if got := mustDocker(t, "inspect", "--format={{.State.ExitCode}}", p.container); got != "0" || !p.logged("database system is shut down") {
		t.Errorf("exit status %s", got)
	}
}

func TestPostgresTakesANewPassword(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	p.run(secret)
	p.ready()
	mustDocker(t, "stop", p.container)
	p.run("rotated")
	p.ready()
	p.mustQuery("rotated", "SELECT 1", "1")
	if out, err := p.query(secret, "SELECT 1"); err == nil {
		t.Errorf("the old password still works: %s", out)
	}
	if out, err := p.query("rotated", "COPY (SELECT 1) TO PROGRAM 'true'"); err == nil {
		t.Errorf("the customer's role runs programs: %s", out)
	}
}

// What a customer can run in the container, psql as nobody, is the customer's role and never the server's own.
func TestPostgresLetsNobodyElseBeTheServersUser(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	p.run(secret)
	p.ready()
	for _, way := range [][]string{{"--username=postgres"}, {"--username=student"}, {"--username=postgres", "--host=127.0.0.1"}} {
		line := append([]string{"exec", "--user=nobody", p.container, "psql", "--no-password", "--dbname=guest book", "--command=SELECT 1"}, way...)
		if out, err := docker(line...); err == nil {
			t.Errorf("nobody gets in by %q: %s", way, out)
		}
	}
	for _, sql := range []string{"CREATE ROLE other", "CREATE DATABASE other", "GRANT pg_execute_server_program TO student"} {
		if out, err := p.query(secret, sql); err == nil {
			t.Errorf("the customer's role may %s: %s", sql, out)
		}
	}
}

func TestPostgresRefusesASecondServerOnItsVolume(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	p.run(secret)
	p.ready()
	first := p.container
	p.run(secret)
	eventually(t, "the second container gives up", func() bool {
		return mustDocker(t, "inspect", "--format={{.State.Status}} {{.State.ExitCode}}", p.container) == "exited 1"
	})
	if !p.logged("another container serves it; stop that one first") {
		t.Error(mustDocker(t, "logs", p.container))
	}
	p.container = first
	p.mustQuery(secret, "SELECT 1", "1")
}

func TestPostgresDumpsAndRestores(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	p.run(secret)
	p.ready()
	p.mustQuery(secret, "CREATE TABLE entry (line text); INSERT INTO entry VALUES ('dumped')", "")
	mustDocker(t, "exec", "--user=postgres", p.container, "pg_dump", "--username=postgres", "--format=custom", "--file=/tmp/dump", "guest book")
	p.mustQuery(secret, "DROP TABLE entry", "")
	mustDocker(t, "exec", "--user=postgres", p.container, "pg_restore", "--username=postgres", "--dbname=guest book", "/tmp/dump")
	p.mustQuery(secret, "SELECT line FROM entry", "dumped")
}

func TestPostgresWantsAPassword(t *testing.T) {
	ref := needImage(t, "postgres-15")
	out, err := docker("run", "--rm", "--network=none", ref)
	if want := "nuage-postgres: cannot start without POSTGRES_PASSWORD"; err == nil || out != want {
		t.Errorf("got %q (%v), want %q", out, err, want)
	}
	if out := mustDocker(t, "run", "--rm", "--network=none", "--user=postgres", ref, "sh", "-c", "id -u"); out != "999" {
		t.Errorf("the uid of postgres is %s: volumes made before have 999", out)
	}
}
