package controlplane

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"nuage/compute"
)

const (
	postgresPort  = 5432
	postgresImage = "postgres-15"
	postgresData  = "/var/lib/postgresql/data"
)

// What runs beside a server is one command of the engine's own tools. What is asked of postgres itself comes over the socket
// that lets nobody else in; what a customer's dump may contain is run with the customer's own rights. Passwords go by environment.

// postgresCounts lists the tables of a database that a dump holds, each with its rows, as count|NAME|ROWS. What is made from them
// by a restore, as materialized views, may be newer than it was.
const postgresCounts = `SELECT format('SELECT %L, count(*) FROM ONLY %I.%I', 'count|' || format('%I.%I', n.nspname, c.relname), n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY n.nspname, c.relname \gexec
SELECT 'count|large objects', count(*) FROM pg_largeobject_metadata;
`

// postgresDump writes a dump to stdout, and to stderr what is in it, of one moment: both are of one snapshot.
const postgresDump = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT pg_export_snapshot() AS snapshot \gset
\setenv SNAPSHOT :snapshot
\o |cat >&2
` + postgresCounts + `\o
\! pg_dump --format=custom --compress=6 --snapshot="$SNAPSHOT" && echo dumped >&2
COMMIT;
`

// postgresEmpty makes the database anew, with nothing in it.
const postgresEmpty = `SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', :'database') \gexec
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'owner') \gexec
`

// postgresOpen lets a login in that acts as the owner, so that what it makes is the owner's.
const postgresOpen = `\getenv password NEW_PASSWORD
SET log_min_error_statement = panic;
SELECT format('CREATE ROLE %I', :'user') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
SELECT format('ALTER ROLE %I RESET ALL', :'user') \gexec
SELECT format('ALTER ROLE %I SET role = %L', :'user', :'owner') \gexec
SELECT format('GRANT %I TO %I', :'owner', :'user') \gexec
SELECT format('ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS LOGIN PASSWORD %L', :'user', :'password') \gexec
`

// postgresShut lets a login in no more and ends its sessions, twice for one that was just coming in. What it made without acting as
// the owner, as after DISCARD ALL, becomes the owner's.
const postgresShut = `SELECT format('ALTER ROLE %I NOLOGIN PASSWORD NULL', :'user') WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = :'user';
SELECT pg_sleep(0.1);
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = :'user';
SELECT format('REASSIGN OWNED BY %I TO %I', :'user', :'owner') WHERE :'user' <> :'owner' AND EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
`

// trusted are the settings of what runs as the server's own user: without them those of a database, which are its owner's, would say
// whose functions are called.
const trusted = "PGOPTIONS=-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c search_path=pg_catalog -c role=none"

// asPostgres runs psql as the server's own user with a script.
func asPostgres(database, script string, settings ...string) compute.Process {
	command := []string{"psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", "--file=-"}
	for _, s := range settings {
		command = append(command, "--set="+s)
	}
	return compute.Process{Command: command, User: "postgres", Stdin: strings.NewReader(script),
		Env: []string{"PGUSER=postgres", "PGDATABASE=" + database, trusted}}
}

// asCustomer lets a command in as the customer's own role.
func (l login) asCustomer(command ...string) compute.Process {
	return compute.Process{Command: command, User: "nobody",
		Env: []string{"PGHOST=127.0.0.1", "PGUSER=" + l.user, "PGDATABASE=" + l.database, "PGPASSWORD=" + l.password}}
}

// postgres is how PostgreSQL is run and kept.
func postgres() databaseEngine {
	return databaseEngine{
		name: "postgres", image: postgresImage, port: postgresPort, data: postgresData,
		reserved: []string{"postgres", "template0", "template1"}, archived: true, things: "tables", entries: "rows", database: underscored, probe: probePostgres,
		url: func(l login, address string) string { return l.url("postgres", address, "sslmode=disable") },
		shell: func(l login, arguments []string) compute.Process {
			return l.asCustomer(append([]string{"psql"}, arguments...)...)
		},
		env: func(l login) map[string]string {
			return map[string]string{"POSTGRES_USER": l.user, "POSTGRES_PASSWORD": l.password, "POSTGRES_DB": l.database}
		},
		scratch: []string{"postgres", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "autovacuum=off"},
		ready: func(l login) compute.Process {
			return l.asCustomer("psql", "--no-psqlrc", "--quiet", "--command=select")
		},
		dump: func(l login) compute.Process { return asPostgres(l.database, postgresDump) },
		empty: func(l login) compute.Process {
			return asPostgres("postgres", postgresEmpty, "database="+l.database, "owner="+l.user)
		},
		load: func(l login) compute.Process {
			return l.asCustomer("pg_restore", "--exit-on-error", "--no-owner", "--dbname="+l.database)
		},
		count: func(l login) compute.Process { return asPostgres(l.database, postgresCounts) },
		open: func(l login, owner string) compute.Process {
			p := asPostgres("postgres", postgresOpen, "user="+l.user, "owner="+owner)
			p.Env = append(p.Env, "NEW_PASSWORD="+l.password)
			return p
		},
		shut: func(l login, owner string) compute.Process {
			return asPostgres(l.database, postgresShut, "user="+l.user, "owner="+owner)
		},
	}
}

func probePostgres(ctx context.Context, url string) probe {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return probe{reason: "the server does not accept connections yet"}
	}
	defer conn.Close(context.WithoutCancel(ctx))
	p := probe{ok: true}
	err = conn.QueryRow(ctx, `select current_setting('server_version'), pg_database_size(current_database()), current_setting('max_connections')::int,
		(select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid())`).Scan(&p.version, &p.bytes, &p.most, &p.clients)
	if err != nil {
		return probe{reason: "the server does not answer queries yet"}
	}
	return p
}
