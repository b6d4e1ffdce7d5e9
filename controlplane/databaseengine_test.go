package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
)

// TestWhatAClientOfADatabaseGets: the address in the words of each engine's clients, and how the server is told.
func TestWhatAClientOfADatabaseGets(t *testing.T) {
	for engine, want := range map[string]string{
		"postgres": "psql; DATABASE_URL=postgres://nuage:p%2Fw@my-shop.db.internal:5432/my_shop?sslmode=disable; POSTGRES_DB=my_shop POSTGRES_PASSWORD=p/w POSTGRES_USER=nuage",
		"mariadb": "mariadb; DATABASE_URL=mysql://nuage:p%2Fw@my-shop.db.internal:3306/my_shop MYSQL_URL=mysql://nuage:p%2Fw@my-shop.db.internal:3306/my_shop; " +
			"MARIADB_DATABASE=my_shop MARIADB_PASSWORD=p/w MARIADB_USER=nuage",
		"redis": "redis-cli; DATABASE_URL=redis://nuage:p%2Fw@my-shop.db.internal:6379/0 REDIS_URL=redis://nuage:p%2Fw@my-shop.db.internal:6379/0; REDIS_PASSWORD=p/w REDIS_USER=nuage",
	} {
		e, err := databaseEngineOf(engine)
		must(t, err)
		d := api.Database{Meta: api.Meta{Name: "my-shop"}, Spec: api.DatabaseSpec{Engine: engine}}
		l := login{user: "nuage", password: "p/w", database: e.database(d.Name)}
		shell := e.shell(l, []string{"--version"})
		got := shell.Command[0] + "; " + inOrder(databaseEnv(d, l)) + "; " + inOrder(e.env(l))
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", engine, got, want)
		}
		if shell.Command[0] != api.DatabaseClient(engine) || shell.User != "nobody" || slices.ContainsFunc(shell.Command, func(w string) bool { return strings.Contains(w, l.password) }) {
			t.Errorf("%s: the shell is %q as %q", engine, shell.Command, shell.User)
		}
	}
	if _, err := databaseEngineOf("valkey"); !errors.Is(err, api.Invalid) {
		t.Errorf("an unknown engine: %v", err)
	}
}

func inOrder(env map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return strings.Join(out, " ")
}

// TestNamesOfTheServersOwn: a customer's database is none of those that a server keeps its accounts in.
func TestNamesOfTheServersOwn(t *testing.T) {
	p := newPlane(t, setup{})
	for name, engine := range map[string]string{"mysql": "mariadb", "information-schema": "mariadb", "sys": "mariadb", "template1": "postgres"} {
		_, err := p.cloud.Databases.Create(asCustomer(), "default", name, api.DatabaseSpec{Engine: engine})
		want := fmt.Sprintf("cannot create database %q: a %s server has one of its own by that name; take another", name, engine)
		if textOf(err) != want || !errors.Is(err, api.Invalid) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	_, err := p.cloud.Databases.Create(asCustomer(), "default", "mysql", api.DatabaseSpec{Engine: "redis"})
	must(t, err)
}

// TestADatabaseWaitsForItsImage where that is made on first use, and says so.
func TestADatabaseWaitsForItsImage(t *testing.T) {
	of := func(engine string, change func(*world)) string {
		w := sample()
		w.real, w.observed = true, map[string]compute.Observed{}
		w.databases[0].Spec.Engine = engine
		change(w)
		s := w.databaseStatus(w.databases[0])
		return fmt.Sprintf("%s: %s", s.Phase, s.Reason)
	}
	busy := func(w *world) { w.inFlight = map[string]bool{"image/nuage/redis:7.0": true} }
	fails := func(attempts int) func(*world) {
		return func(w *world) {
			w.trouble = map[string]trouble{"image/nuage/redis:7.0": {err: api.Errorf(api.Internal, "no mirror"), attempts: attempts}}
		}
	}
	there := func(w *world) {
		busy(w)
		w.observed["db-1"] = compute.Observed{State: compute.StateRunning, Limits: w.planDatabase(w.databases[0])[0].Limits}
	}
	for _, c := range []struct{ name, engine, want, got string }{
		{"being made", "redis", "pending: making image nuage/redis:7.0 from Debian packages, once on this machine: about half a minute", of("redis", busy)},
		{"failed", "redis", "pending: no mirror", of("redis", fails(1))},
		{"failed for good", "redis", "failed: no mirror", of("redis", fails(5))},
		{"of another", "postgres", "pending: making the server", of("postgres", busy)},
		{"there", "redis", "pending: waiting for the server to accept connections", of("redis", there)},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.name, c.got, c.want)
		}
	}
}

// TestProbeOfARedis against a server that says what it is told to.
func TestProbeOfARedis(t *testing.T) {
	info := "# Server\r\nredis_version:7.0.15\r\n# Clients\r\nconnected_clients:4\r\nmaxclients:1000\r\nused_memory_dataset:4096\r\n"
	bulk := func(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }
	for answers, want := range map[string]probe{
		"+OK\r\n" + bulk(info): {ok: true, version: "7.0.15", bytes: 4096, clients: 3, most: 1000},
		"-WRONGPASS no\r\n":    {reason: "the server does not answer queries yet"},
		"-LOADING Redis is loading the dataset in memory\r\n": {reason: "the server is reading its data"},
		"+OK\r\n$99999999999\r\n":                             {reason: "the server does not accept connections yet"},
		"+OK\r\n$100\r\nbreaks off":                           {reason: "the server does not accept connections yet"},
		"":                                                    {reason: "the server does not accept connections yet"},
	} {
		address, asked := answering(t, answers)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if got := probeRedis(ctx, "redis://nuage:secret@"+address+"/0"); got != want {
			t.Errorf("%q: %+v, want %+v", answers, got, want)
		}
		cancel()
		if got, want := <-asked, "*3\r\n$4\r\nAUTH\r\n$5\r\nnuage\r\n$6\r\nsecret\r\n*1\r\n$4\r\nINFO\r\n"; got != want {
			t.Errorf("asked %q, want %q", got, want)
		}
	}
}

// answering serves one connection and tells what it was asked.
func answering(t *testing.T, answers string) (address string, asked <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	said := make(chan string, 1)
	go func() {
		defer close(said)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		var got strings.Builder
		for range 10 { // lines of the two commands
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			got.WriteString(line)
		}
		if _, err := io.WriteString(conn, answers); err != nil {
			return
		}
		said <- got.String()
	}()
	return l.Addr().String(), said
}

// TestCountOfRedisCommands runs the script that counts what a server wrote, where there is perl.
func TestCountOfRedisCommands(t *testing.T) {
	if _, err := exec.LookPath("perl"); err != nil {
		t.Skip("no perl here; the integration tests run it in the image")
	}
	lines := func(commands ...[]string) string {
		var out strings.Builder
		for _, c := range commands {
			out.WriteString(redisCommand(c...))
		}
		return out.String()
	}
	data := lines([]string{"SELECT", "0"}, []string{"SET", "a\r\n*1\r\n", "\x00"}, []string{"PEXPIREAT", "a\r\n*1\r\n", "7"}, []string{"RPUSH", "l", "1", "2"}, []string{"RPUSH", "l", "3"},
		[]string{"XGROUP", "CREATE", "st", "g", "0"}, []string{"SELECT", "3"}, []string{"SET", "a", "b"}, []string{"FUNCTION", "LOAD", "code"})
	for _, c := range []struct{ name, keys, data, want string }{
		{"as many", "4", data, "count|db3 string|1;count|functions|1;count|list|1;count|stream|1;count|string|1;"},
		{"one too few", "5", data, "what the server wrote has 4 keys, and there were 5;"},
		{"cut off", "4", data[:len(data)-3], "what the server wrote breaks off;"},
	} {
		out, said := runPerl(t, c.data, nil, c.keys)
		if said != c.want || c.name == "as many" && out != data {
			t.Errorf("%s: %q, want %q; passed on %d of %d bytes", c.name, said, c.want, len(out), len(data))
		}
	}
	late := filepath.Join(t.TempDir(), "late")
	now, said := runPerl(t, data, []string{"WITHHOLD=" + late})
	if strings.Contains(now, "PEXPIREAT") || said != "" {
		t.Errorf("at once: %q, %s", now, said)
	}
	held, err := os.ReadFile(late)
	if want := lines([]string{"SELECT", "0"}, []string{"PEXPIREAT", "a\r\n*1\r\n", "7"}, []string{"SELECT", "3"}); err != nil || string(held) != want {
		t.Errorf("withheld %q, %v, want %q", held, err, want)
	}
}

func runPerl(t *testing.T, input string, env []string, args ...string) (out, said string) {
	t.Helper()
	cmd := exec.Command("perl", append([]string{"-e", redisCount}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil && stderr.Len() == 0 {
		t.Fatal(err)
	}
	return stdout.String(), strings.ReplaceAll(stderr.String(), "\n", ";")
}
