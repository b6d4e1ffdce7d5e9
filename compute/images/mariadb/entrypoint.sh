#!/bin/bash
# PID 1 of a managed MariaDB. Environment: MARIADB_USER, MARIADB_PASSWORD, MARIADB_DATABASE.
#
# A first start copies the server's own tables, which the image brings, to data.new and renames that when it is
# on disk, so a kill at any moment leaves either nothing or a whole data directory. The user of the environment is made
# before the port opens first; what becomes of it afterwards, as another password, stays. It has all rights on its
# database and none beside it. The server's administrator is who runs as its own system user, over the socket; nobody else.
set -euo pipefail

readonly mount=/var/lib/mysql
readonly data=$mount/data fresh=$mount/data.new run=/run/mysqld
readonly series=10.11

say() { echo "nuage-mariadb: $*" >&2; }
die() { say "$*"; exit 1; }

# as_mysql goes on as uid mysql; only the ownership of the volume needs root.
as_mysql() {
	[ "$(id -u)" = 0 ] || return 0
	mkdir -p "$mount" "$run"
	if [ "$(stat -c %u "$mount")" != "$(id -u mysql)" ]; then
		chown -R mysql:mysql "$mount"
	fi
	chown mysql:mysql "$run" 2>/dev/null || true
	exec setpriv --reuid=mysql --regid=mysql --init-groups --inh-caps=-all --no-new-privs "$0" "$@"
}

# seed makes a data directory at $1 with nothing but the server's own tables, and one account: who runs as uid mysql.
seed() {
	local small=(--no-defaults --datadir="$1" --innodb-log-file-size=4M --innodb-buffer-pool-size=16M --innodb-use-native-aio=OFF --skip-name-resolve)
	mariadb-install-db "${small[@]}" --auth-root-authentication-method=socket --auth-root-socket-user=mysql --skip-test-db >/dev/null
	mariadbd "${small[@]}" --skip-networking --socket="$run/seed.sock" --pid-file="$run/seed.pid" &
	until mariadb-admin --no-defaults --socket="$run/seed.sock" ping >/dev/null 2>&1; do
		kill -0 $! || die "cannot start a server to make the seed"
		sleep 0.2
	done
	mariadb-tzinfo-to-sql --skip-write-binlog /usr/share/zoneinfo 2>/dev/null | mariadb --no-defaults --socket="$run/seed.sock" mysql
	mariadb --no-defaults --socket="$run/seed.sock" --execute "DROP USER 'root'@'localhost'"
	mariadb-admin --no-defaults --socket="$run/seed.sock" shutdown
	wait $!
	echo "$series" >"$1/nuage.series"
}

# limit_mb is the container's memory limit in MB; 512 without one.
limit_mb() {
	local limit
	limit=$(cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null) || true
	if [[ $limit =~ ^[0-9]+$ ]] && [ "$limit" -lt 1000000000000 ]; then
		echo $((limit / 1048576))
	else
		echo 512
	fi
}

# pool_mb: a third of a limit of $1 MB for InnoDB's buffer pool; clients, each with buffers of its own, take the rest.
pool_mb() { echo $(($1 / 3 < 48 ? 48 : $1 / 3)); }

# most_clients are let in with a limit of $1 MB.
most_clients() { echo $(($1 / 8 < 16 ? 16 : $1 / 8 > 256 ? 256 : $1 / 8)); }

# lock_volume keeps a second container off the data for as long as this one lives.
lock_volume() {
	exec 8>"$mount/.lock"
	flock -w 10 8 || die "cannot use $mount: another container serves it; stop that one first"
}

make_data() {
	say "making a new data directory"
	rm -rf "$fresh"
	cp -R --sparse=always /usr/share/nuage-mariadb/seed "$fresh"
	sync -f "$fresh"
	mv -T "$fresh" "$data"
	sync "$mount"
}

prepare() {
	if [ ! -e "$data" ]; then
		make_data
	elif [ "$(cat "$data/nuage.series" 2>/dev/null)" != "$series" ]; then
		die "cannot use $data: it is no data directory of MariaDB $series; restore a backup into a new database instead"
	fi
	rm -rf "$mount/tmp"
	mkdir -p "$mount/tmp"
}

# quoted prints $1 as a string of SQL.
quoted() {
	local text=${1//\\/\\\\}
	printf "'%s'" "${text//\'/\'\'}"
}

# let_in prints what the server runs before it opens its port: it makes the environment's user, unless there is one.
let_in() {
	local user database
	user=$(quoted "$MARIADB_USER")@\'%\'
	database=\`${MARIADB_DATABASE//\`/\`\`}\`
	cat <<-SQL
		SET sql_mode = '';
		CREATE DATABASE IF NOT EXISTS $database;
		CREATE USER IF NOT EXISTS $user IDENTIFIED BY $(quoted "$MARIADB_PASSWORD");
		GRANT ALL ON ${database//_/\\_}.* TO $user;
	SQL
}

serve() {
	local server status=0 limit
	limit=$(limit_mb)
	(umask 077 && let_in >"$run/init.sql")
	rm -f "$run"/mysqld.*
	"$1" --no-defaults --datadir="$data" --tmpdir="$mount/tmp" --socket="$run/mysqld.sock" --pid-file="$run/mysqld.pid" --init-file="$run/init.sql" \
		--port=3306 --bind-address='*' --skip-name-resolve --skip-symbolic-links --local-infile=OFF --secure-file-priv="$mount/tmp" \
		--character-set-server=utf8mb4 --collation-server=utf8mb4_general_ci \
		--innodb-buffer-pool-size="$(pool_mb "$limit")M" --max-connections="$(most_clients "$limit")" \
		--innodb-log-file-size=48M --innodb-log-buffer-size=8M --innodb-use-native-aio=OFF --innodb-flush-log-at-trx-commit=1 \
		--key-buffer-size=1M --aria-pagecache-buffer-size=8M --max-allowed-packet=64M --table-open-cache=400 \
		--enforce-storage-engine=InnoDB --sql-mode=STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER "${@:2}" &
	server=$!
	trap 'kill -TERM "$server" 2>/dev/null || true' TERM INT
	fit "$server" "$limit" &
	wait "$server" || status=$?
	while kill -0 "$server" 2>/dev/null; do
		status=0
		wait "$server" || status=$?
	done
	exit "$status"
}

# fit has the running server $1 use what it may when the container's limit, $2 at its start, changes.
fit() {
	local limit=$2 now
	while sleep 2 && kill -0 "$1" 2>/dev/null; do
		now=$(limit_mb)
		[ "$now" != "$limit" ] || continue
		mariadb --no-defaults --socket="$run/mysqld.sock" --execute \
			"SET GLOBAL innodb_buffer_pool_size = $(pool_mb "$now") * 1048576; SET GLOBAL max_connections = $(most_clients "$now")" || continue
		limit=$now
	done
}

case ${1:-mariadbd} in
seed) seed "$2"; exit ;;
-*) set -- mariadbd "$@" ;;
mariadbd) ;;
*) exec "$@" ;;
esac

for name in MARIADB_USER MARIADB_PASSWORD MARIADB_DATABASE; do
	[ -n "${!name:-}" ] || die "cannot start without $name"
done
as_mysql "$@"
trap 'exit 143' TERM INT
lock_volume
prepare
serve "$@"
