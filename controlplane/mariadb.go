package controlplane

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"

	"nuage/compute"
)

const mariadbPort = 3306

// mariadbDump writes a dump of one moment, and counts the rows in it by table: MariaDB lends its snapshots to nobody, so what is
// compared with the restored is what the dump has. Each row is a line of its own that begins with a bracket; what routines and triggers say
// is left out. Whoever made these, the owner has them where they are restored.
const mariadbDump = `set -euo pipefail
mariadb-dump --no-defaults --single-transaction --quick --routines --events --triggers --hex-blob --skip-comments --skip-lock-tables "$DATABASE" |
	awk '/^\/\*!50|^CREATE DEFINER=/ { sub(/DEFINER=\x60[^\x60]*\x60@\x60%\x60/, "DEFINER=CURRENT_USER") }
		{ print }
		/^DELIMITER ;;$/ { code = 1 }
		/^DELIMITER ;$/ { code = 0 }
		code { next }
		/^CREATE TABLE \x60/ { name = substr($0, 14, length($0) - 15); rows[name] += 0; next }
		/^INSERT INTO \x60/ { name = substr($0, 13); sub(/ VALUES$/, "", name); next }
		/^\(/ { rows[name]++ }
		END { for (name in rows) print "count|" name "|" rows[name] > "/dev/stderr" }' |
	gzip -6
echo dumped >&2
`

// mariadbCount lists the tables of a database with their rows, named as in a dump.
const mariadbCount = `set -euo pipefail
ask() { mariadb --no-defaults --skip-column-names --raw "$DATABASE"; }
ask <<'SQL' | ask
SET SESSION sql_mode = '';
SELECT CONCAT('SELECT CONCAT(', QUOTE(CONCAT('count|', name, '|')), ', COUNT(*)) FROM ', name, ';')
  FROM (SELECT CONCAT('\x60', REPLACE(table_name, '\x60', '\x60\x60'), '\x60') AS name
          FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE') AS tables;
SQL
`

// mariadbEmpty makes the database anew, with nothing in it.
const mariadbEmpty = `mariadb --no-defaults --execute "DROP DATABASE IF EXISTS \\x60$DATABASE\\x60; CREATE DATABASE \\x60$DATABASE\\x60"`

// mariadbOpen lets a login in that has the owner's rights. What it makes is its own, and works on when it is shut.
func mariadbOpen(l login) string {
	return fmt.Sprintf("CREATE USER IF NOT EXISTS '%[1]s'@'%%' ACCOUNT LOCK; GRANT ALL ON `%[3]s`.* TO '%[1]s'@'%%'; ALTER USER '%[1]s'@'%%' IDENTIFIED BY '%[2]s' ACCOUNT UNLOCK;\n",
		l.user, l.password, strings.ReplaceAll(l.database, "_", `\_`))
}

// mariadbShut lets a login in no more and ends its sessions, twice for one that was just coming in.
func mariadbShut(l login) string {
	return fmt.Sprintf("ALTER USER IF EXISTS '%[1]s'@'%%' ACCOUNT LOCK; KILL USER '%[1]s'@'%%'; DO SLEEP(0.1); KILL USER '%[1]s'@'%%';\n", l.user)
}

// backticked puts in what a raw string of Go cannot hold.
func backticked(script string) string { return strings.ReplaceAll(script, `\x60`, "`") }

// asMariaDB runs a script as the server's own user, whom the server knows for its administrator.
func asMariaDB(l login, script string) compute.Process {
	return compute.Process{Command: []string{"bash", "-c", script}, User: "mysql",
		Env: []string{"MYSQL_UNIX_PORT=/run/mysqld/mysqld.sock", "DATABASE=" + l.database}}
}

// asMariaDBAdmin runs SQL so, of which no other program on the server sees anything.
func asMariaDBAdmin(l login, text string) compute.Process {
	p := asMariaDB(l, "exec mariadb --no-defaults")
	p.Stdin = strings.NewReader(text)
	return p
}

// asMariaDBCustomer lets a command in as the customer's own user.
func (l login) asMariaDBCustomer(command ...string) compute.Process {
	return compute.Process{Command: command, User: "nobody", Env: []string{"MYSQL_HOST=127.0.0.1", "USER=" + l.user, "MYSQL_PWD=" + l.password,
		"DATABASE=" + l.database, "HOME=/nonexistent", "MYSQL_HISTFILE=/dev/null"}}
}

// mariadbClient begins a command of the client: it takes user and host from nowhere else.
func mariadbClient(l login, arguments ...string) []string {
	return append([]string{"mariadb", "--no-defaults", "--host=127.0.0.1", "--user=" + l.user, "--database=" + l.database}, arguments...)
}

// mariadb is how MariaDB is run and kept. Its events are kept in backups and not run: in a copy they would change what is compared.
func mariadb() databaseEngine {
	return databaseEngine{
		name: "mariadb", image: "mariadb", port: mariadbPort, data: "/var/lib/mysql", variable: "MYSQL_URL",
		reserved: []string{"mysql", "sys", "information-schema", "performance-schema"}, things: "tables", entries: "rows", database: underscored, probe: probeMariaDB,
		url: func(l login, address string) string { return l.url("mysql", address, "") },
		env: func(l login) map[string]string {
			return map[string]string{"MARIADB_USER": l.user, "MARIADB_PASSWORD": l.password, "MARIADB_DATABASE": l.database}
		},
		shell: func(l login, arguments []string) compute.Process {
			return l.asMariaDBCustomer(mariadbClient(l, arguments...)...)
		},
		scratch: []string{"mariadbd", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF"},
		ready: func(l login) compute.Process {
			return l.asMariaDBCustomer(mariadbClient(l, "--execute=DO 0")...)
		},
		dump:  func(l login) compute.Process { return asMariaDB(l, backticked(mariadbDump)) },
		empty: func(l login) compute.Process { return asMariaDB(l, backticked(mariadbEmpty)) },
		load: func(l login) compute.Process {
			load := append([]string{"bash", "-c", `set -o pipefail; gzip -dc | "$@"`, "load"}, mariadbClient(l)...)
			return l.asMariaDBCustomer(load...)
		},
		count: func(l login) compute.Process { return asMariaDB(l, backticked(mariadbCount)) },
		open:  func(l login, _ string) compute.Process { return asMariaDBAdmin(l, mariadbOpen(l)) },
		shut:  func(l login, _ string) compute.Process { return asMariaDBAdmin(l, mariadbShut(l)) },
	}
}

// probeMariaDB asks as the customer does: it sees its own connections and its own database.
func probeMariaDB(ctx context.Context, address string) probe {
	config, err := mariadbConfig(address)
	if err != nil {
		return probe{reason: err.Error()}
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return probe{reason: err.Error()}
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return probe{reason: "the server does not accept connections yet"}
	}
	defer conn.Close()
	p := probe{ok: true}
	err = conn.QueryRowContext(ctx, `SELECT VERSION(), @@max_connections,
		(SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables WHERE table_schema = DATABASE()),
		(SELECT COUNT(*) - 1 FROM information_schema.processlist)`).Scan(&p.version, &p.most, &p.bytes, &p.clients)
	if err != nil {
		return probe{reason: "the server does not answer queries yet"}
	}
	return p
}

// mariadbConfig reads a URL of ours.
func mariadbConfig(address string) (*mysql.Config, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User, config.DBName = "tcp", u.Host, u.User.Username(), strings.TrimPrefix(u.Path, "/")
	config.Passwd, _ = u.User.Password()
	config.Logger = &mysql.NopLogger{} // what goes wrong is in the probe's result
	return config, nil
}
