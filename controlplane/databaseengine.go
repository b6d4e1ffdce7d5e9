package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"nuage/api"
	"nuage/compute"
)

// databaseEngine is how one kind of server is run, backed up and restored. Its commands run in the server's container.
type databaseEngine struct {
	name, image, data string // as users say; as setup.sh names it; where the data lies
	port              int
	variable          string                               // what a bound program gets its address as besides DATABASE_URL; "" for nothing
	reserved          []string                             // names that no database of a customer can have
	database          func(name string) string             // what the server calls it
	url               func(l login, address string) string // for clients; the address is host:port
	env               func(login) map[string]string
	probe             func(ctx context.Context, url string) probe       // asks it from outside how it does
	shell             func(l login, arguments []string) compute.Process // the client that api.DatabaseClient names
	things, entries   string                                            // what is counted in a backup, as tables and rows
	inMemory          bool                                              // what it holds is in its memory, so a scratch server needs as much
	scratch           []string                                          // command of a server whose data need not last
	ready             func(login) compute.Process                       // succeeds once clients are let in
	dump              func(login) compute.Process                       // stdout: the dump; stderr: what count prints, of the same moment, and "dumped" when it is whole
	empty             func(login) compute.Process                       // leaves nothing in the database
	load              func(login) compute.Process                       // reads a dump, into an empty database
	finish            func(login) compute.Process                       // does what load left to be done after the count; nil: nothing
	count             func(login) compute.Process                       // prints lines count|WHAT|HOW MANY
	archived          bool                                              // its log is archived, and replayed to any moment
	open              func(l login, owner string) compute.Process       // lets a login in that acts as the owner; nil: there is one login only
	shut              func(l login, owner string) compute.Process       // lets it in no more, ends its sessions
}

// databaseEngineOf finds an engine by its name. Invalid.
func databaseEngineOf(name string) (databaseEngine, error) {
	switch name {
	case "postgres":
		return postgres(), nil
	case "mariadb":
		return mariadb(), nil
	case "redis":
		return redis(), nil
	}
	return databaseEngine{}, api.Errorf(api.Invalid, "cannot run a database with engine %q: postgres, mariadb and redis are what there is", name)
}

// underscored is a name as SQL takes it without quotes.
func underscored(name string) string { return strings.ReplaceAll(name, "-", "_") }

// command runs one to its end beside a server, and returns what it printed where that is not taken by p. Unavailable: the server does not
// run. Internal: it failed; the message has its last words.
func (cp *ControlPlane) command(ctx context.Context, id, what string, p compute.Process) (out, messages string, err error) {
	engine, ok := cp.Engine.(compute.Execer)
	if !ok {
		return "", "", api.Errorf(api.Unsupported, "cannot %s: the engine runs no commands", what)
	}
	var stdout, stderr bytes.Buffer
	if p.Stdout == nil {
		p.Stdout = &stdout
	}
	p.Stderr = &stderr
	status, err := engine.Exec(ctx, id, p)
	switch {
	case ctx.Err() != nil:
		return "", "", api.Errorf(api.Unavailable, "cannot %s: %w", what, ctx.Err())
	case err != nil && (api.CodeOf(err) == api.Conflict || api.CodeOf(err) == api.NotFound):
		return "", "", api.Errorf(api.Unavailable, "cannot %s: the server does not run", what)
	case err != nil:
		return "", "", err
	case status != 0:
		return "", "", api.Errorf(api.Internal, "cannot %s: status %d: %s", what, status, clip(lastWords(stderr.String())))
	}
	return stdout.String(), stderr.String(), nil
}

// lastWords are the last lines of what a command complained of, without its counts.
func lastWords(text string) string {
	var said []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "count|") {
			said = append(said, line)
		}
	}
	return strings.Join(said[max(0, len(said)-3):], "; ")
}

// contents is what is in a database: rows by table, one line each, in order.
type contents []string

// readContents takes the counts out of what a command printed.
func readContents(text string) contents {
	var c contents
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "count|"); ok {
			c = append(c, rest)
		}
	}
	slices.Sort(c)
	return c
}

// totalsText says how much there is, as "2 tables, 12 rows".
func totalsText(engine string, c contents) string {
	tables, rows := c.totals()
	return amountText(engine, tables, rows)
}

// amountText says it in the words of an engine.
func amountText(engine string, tables int, rows int64) string {
	e, err := databaseEngineOf(engine)
	if err != nil {
		e.things, e.entries = "tables", "rows"
	}
	return fmt.Sprintf("%d %s, %d %s", tables, e.things, rows, e.entries)
}

// totals are the tables and the rows in all of them.
func (c contents) totals() (tables int, rows int64) {
	for _, line := range c {
		name, count, _ := strings.Cut(line, "|")
		n, err := strconv.ParseInt(count[strings.LastIndexByte(count, '|')+1:], 10, 64)
		if err != nil || name == "large objects" || name == "functions" {
			continue
		}
		tables, rows = tables+1, rows+n
	}
	return tables, rows
}

// differs names the first line that is in one of both only; "" for none.
func (c contents) differs(other contents) string {
	for _, line := range c {
		if !slices.Contains(other, line) {
			return strings.Replace(line, "|", ": ", 1)
		}
	}
	if len(other) > len(c) {
		return strconv.Itoa(len(other)-len(c)) + " more than there were"
	}
	return ""
}

// loadDump fills an empty database with a dump and tells whether it then holds what the dump was made of. Invalid: it does not.
func (cp *ControlPlane) loadDump(ctx context.Context, id string, e databaseEngine, l login, dump io.Reader, want contents) error {
	load := e.load(l)
	load.Stdin = dump
	if _, _, err := cp.command(ctx, id, "restore the dump", load); err != nil {
		return err
	}
	out, _, err := cp.command(ctx, id, "count what was restored", e.count(l))
	if err != nil {
		return err
	}
	if d := want.differs(readContents(out)); d != "" {
		return api.Errorf(api.Invalid, "cannot rely on the dump: restored, it lacks %s", d)
	}
	if e.finish == nil {
		return nil
	}
	_, _, err = cp.command(ctx, id, "finish the restore", e.finish(l))
	return err
}
