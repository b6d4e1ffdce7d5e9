package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"nuage/api"
)

// testServers: what is promised of a PostgreSQL holds for a MariaDB and a Redis.
func testServers(t *testing.T, c *liveCloud) {
	together(t, map[string]func(*testing.T){
		"mariadb": func(t *testing.T) { testMariaDB(t, c) },
		"redis":   func(t *testing.T) { testRedis(t, c) },
	})
	t.Run("apart", func(t *testing.T) { testServersApart(t, c) })
}

// killed has write note promises while a database's server is killed as kill -9 does, twice, and returns how many there are. The login that
// it had before lets nobody in afterwards.
// write goes on after the last promise until ctx ends or the server is gone, and returns the new last one.
func (c *liveCloud) killed(t *testing.T, database string, write func(ctx context.Context, url string, last int) int) int {
	t.Helper()
	var former, login api.Credentials
	c.decode(t, &former, "database", "credentials", database, "-o", "json")
	c.decode(t, &login, "database", "credentials", database, "--rotate", "-o", "json")
	last := 0
	for round := range 2 {
		eventually(t, 60*time.Second, database+" takes promises", func() error {
			now := write(shortly(t), login.URL, last)
			if now == last {
				return errors.New("not yet")
			}
			last = now
			return nil
		})
		before, wrote := last, make(chan int, 1)
		go func() { wrote <- write(t.Context(), login.URL, before) }()
		time.Sleep(time.Duration(500+300*round) * time.Millisecond) // writing must be under way; when the blow falls is all the same
		dockerCLI(t, "kill", "--signal=KILL", c.only(t, show[api.Database](t, c, "database", database).ID).ID)
		if last = <-wrote; last == before {
			t.Errorf("round %d: nothing was written before the blow", round)
		}
	}
	eventually(t, 60*time.Second, database+" is back", func() error {
		if d := show[api.Database](t, c, "database", database); d.Status.Phase != api.Running || d.Status.Restarts != 2 || d.Status.Rotation != nil {
			return fmt.Errorf("%+v", d.Status)
		}
		return nil
	})
	if now := write(shortly(t), former.URL, last); now != last {
		t.Errorf("the former credentials %s let somebody in", former.User)
	}
	return last
}

// shortly is time enough for a few promises.
func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func testMariaDB(t *testing.T, c *liveCloud) {
	c.do(t, "database", "create", "ledger", "--engine", "mariadb", "--size", "small")
	ask := func(database, text string) string {
		return strings.TrimSpace(c.do(t, "database", "psql", database, "--", "--skip-column-names", "--execute", text))
	}
	ask("ledger", `CREATE TABLE promised (n INT PRIMARY KEY) ENGINE=MyISAM; CREATE TABLE `+"`odd | name`"+` (a INT, b BLOB, c TEXT, twice INT AS (2 * a) STORED);
		INSERT INTO `+"`odd | name`"+` (a, b, c) VALUES (7, x'00ff0a28', 'one\n(two,'); CREATE TABLE none (a INT); CREATE VIEW seen AS SELECT * FROM promised;
		CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN 2 * n; CREATE TRIGGER later BEFORE INSERT ON none FOR EACH ROW SET NEW.a = twice(NEW.a)`)
	last := c.killed(t, "ledger", promiseRows)
	if got := ask("ledger", fmt.Sprintf("SELECT COUNT(*) FROM promised WHERE n <= %d", last)); got != fmt.Sprint(last) {
		t.Errorf("of %d promised rows are left %s", last, got)
	}
	ask("ledger", "CREATE VIEW again AS SELECT * FROM seen") // by another user than the one that restores it
	var b api.Backup
	c.decode(t, &b, "database", "backup", "ledger", "-o", "json")
	if rows, _ := strconv.ParseInt(ask("ledger", "SELECT COUNT(*) + 1 FROM promised"), 10, 64); !b.Status.Verified || b.Status.Tables != 3 || b.Status.Rows != rows {
		t.Errorf("the backup is %+v, want 3 tables, %d rows", b.Status, rows)
	}
	c.do(t, "database", "restore", "ledger", "--as", "ledger-2", "--size", "nano")
	want := fmt.Sprint(b.Status.Rows-1) + "\n00FF0A28\tone\\n(two,\t14\n6"
	if got := ask("ledger-2", "SELECT COUNT(*) FROM again; SELECT HEX(b), c, twice FROM `odd | name`; INSERT INTO none VALUES (3); SELECT a FROM none"); got != want {
		t.Errorf("restored is %q, want %q", got, want)
	}
	for _, forbidden := range []string{"CREATE DATABASE other", "SELECT * FROM mysql.user", "SHUTDOWN", "SET GLOBAL max_connections = 1", "CREATE USER other", "GRANT ALL ON *.* TO nuage",
		"SELECT 1 INTO OUTFILE '/var/lib/mysql/tmp/x'", "INSTALL SONAME 'x'", "KILL 1; SHOW GRANTS FOR mysql@localhost"} {
		if said := c.refused(t, 1, "database", "psql", "ledger-2", "--", "--execute", forbidden); !strings.Contains(said, "denied") && !strings.Contains(said, "Unknown thread") {
			t.Errorf("%s: %s", forbidden, said)
		}
	}
	c.checkDatabaseSeries(t, "ledger")
}

// promiseRows is keepPromises for a MariaDB.
func promiseRows(ctx context.Context, address string, last int) int {
	u, err := url.Parse(address)
	if err != nil {
		return last
	}
	password, _ := u.User.Password()
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User, config.Passwd, config.DBName, config.Logger = "tcp", u.Host, u.User.Username(), password, u.Path[1:], &mysql.NopLogger{}
	config.Timeout = 2 * time.Second
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return last
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return last
	}
	defer conn.Close()
	for {
		if _, err := conn.ExecContext(ctx, "INSERT IGNORE INTO promised VALUES (?)", last+1); err != nil {
			return last
		}
		last++
	}
}

func testRedis(t *testing.T, c *liveCloud) {
	c.do(t, "database", "create", "keys", "--engine", "redis", "--size", "micro")
	ask := func(database string, words ...string) string {
		return strings.TrimSpace(c.do(t, append([]string{"database", "psql", database, "--"}, words...)...))
	}
	last := c.killed(t, "keys", promiseKeys)
	if n, _ := strconv.Atoi(ask("keys", "EVAL", "local n = 0 while redis.call('EXISTS', 'promised:' .. (n + 1)) == 1 do n = n + 1 end return n", "0")); n < last {
		t.Errorf("of %d promised keys are left %d", last, n)
	}
	keys, _ := strconv.ParseInt(ask("keys", "DBSIZE"), 10, 64)
	for _, line := range []string{"RPUSH list a b", "SADD set a b", "ZADD zset 1 a", "HSET hash f v", "XADD stream * f v", "-n 3 SET other x EX 9000"} {
		ask("keys", strings.Fields(line)...)
	}
	c.do(t, "app", "deploy", "counter", "--source", "testdata/keys", "--size", "nano", "--health", "/health", "--database", "keys")
	if a, err := c.visit("GET", appHost("counter"), "/", ""); err != nil || a.body != ":1" {
		t.Errorf("the first visit: %q, %v", a.body, err)
	}
	ask("keys", "SET", "short", "x", "PX", "3000")
	var b api.Backup
	c.decode(t, &b, "database", "backup", "keys", "-o", "json")
	if least := keys + 7; !b.Status.Verified || b.Status.Rows < least || b.Status.Rows > least+1 || b.Status.Tables != 7 {
		t.Errorf("the backup is %+v, want about %d keys of 7 types", b.Status, least)
	}
	time.Sleep(3 * time.Second) // the key that is to be gone is, wherever it is restored
	c.do(t, "database", "restore", "keys", "--as", "keys-2", "--size", "micro")
	if got, want := ask("keys-2", "EVAL", "return table.concat({redis.call('LLEN', 'list'), redis.call('EXISTS', 'short'), redis.call('GET', 'visits')}, ' ')", "0"), "2 0 1"; got != want {
		t.Errorf("restored is %q, want %q", got, want)
	}
	if seconds, _ := strconv.Atoi(ask("keys-2", "-n", "3", "TTL", "other")); seconds < 1 || seconds > 9000 {
		t.Errorf("what was to expire in 9000 s does in %d s", seconds)
	}
	testRedisRights(t, c, ask)
	c.checkDatabaseSeries(t, "keys")
}

// testRedisRights: the customer does what it likes with the data, and nothing to the server, which grows with its size.
func testRedisRights(t *testing.T, c *liveCloud, ask func(string, ...string) string) {
	for _, line := range []string{"CONFIG GET dir", "SHUTDOWN", "DEBUG SLEEP 0", "MODULE LIST", "ACL LIST", "REPLICAOF 127.0.0.1 1", "BGREWRITEAOF", "CLIENT LIST", "MONITOR", "MIGRATE 127.0.0.1 1 a 0 1"} {
		if said := ask("keys-2", strings.Fields(line)...); !strings.HasPrefix(said, "NOPERM") && !strings.HasPrefix(said, "ERR DEBUG command not allowed") {
			t.Errorf("%s: %s", line, said)
		}
	}
	ask("keys-2", "FLUSHDB")
	if got := ask("keys-2", "DBSIZE"); got != "0" {
		t.Errorf("flushed there are %s keys", got)
	}
	for size, want := range map[string]string{"micro": "maxmemory:321912832", "small": "maxmemory:643825664"} {
		c.do(t, "database", "update", "keys-2", "--size", size)
		eventually(t, 30*time.Second, "a server of size "+size, func() error {
			if info := ask("keys-2", "INFO", "memory"); !strings.Contains(info, want+"\r\n") && !strings.Contains(info, want+"\n") || !strings.Contains(info, "maxmemory_policy:noeviction") {
				return errors.New(info)
			}
			return nil
		})
	}
}

// promiseKeys is keepPromises for a Redis.
func promiseKeys(ctx context.Context, address string, last int) int {
	u, err := url.Parse(address)
	if err != nil {
		return last
	}
	conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return last
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	password, _ := u.User.Password()
	in := bufio.NewReader(conn)
	ask := func(line string) bool {
		if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
			return false
		}
		answer, err := in.ReadString('\n')
		return err == nil && answer == "+OK\r\n"
	}
	if !ask("AUTH " + u.User.Username() + " " + password) {
		return last
	}
	for ask(fmt.Sprintf("SET promised:%d x", last+1)) {
		last++
	}
	return last
}

// testServersApart: a server is reached from its own project, and from no other.
func testServersApart(t *testing.T, c *liveCloud) {
	c.do(t, "project", "create", "elsewhere")
	c.do(t, "database", "create", "keys", "--engine", "redis", "--size", "nano", "--project", "elsewhere")
	var abroad api.Database
	c.decode(t, &abroad, "database", "show", "keys", "--project", "elsewhere", "-o", "json")
	ledger, keys := show[api.Database](t, c, "database", "ledger"), show[api.Database](t, c, "database", "keys")
	reaches := func(from, to api.Database) bool {
		place := fmt.Sprintf("%s/%d", c.only(t, to.ID).address(), to.Status.InternalPort)
		// What the firewall refuses is dropped: a shorter wait is taken for a no on a busy machine, a longer one makes each no longer.
		said := dockerCLI(t, "exec", "--user", "nobody", c.only(t, from.ID).ID, "bash", "-c", "timeout 8 bash -c '</dev/tcp/"+place+"' 2>/dev/null && echo yes || echo no")
		return said == "yes"
	}
	for _, w := range []struct {
		from, to api.Database
		want     bool
	}{{keys, ledger, true}, {ledger, keys, true}, {abroad, ledger, false}, {abroad, keys, false}, {keys, abroad, false}} {
		if got := reaches(w.from, w.to); got != w.want {
			t.Errorf("from %s/%s to %s/%s: %t, want %t", w.from.Project, w.from.Name, w.to.Project, w.to.Name, got, w.want)
		}
	}
}
