#!/bin/bash
# PID 1 of a managed PostgreSQL. Environment: POSTGRES_USER (default postgres),
# POSTGRES_PASSWORD (required), POSTGRES_DB (default: the user's name), PGDATA.
#
# A first start makes the cluster in PGDATA.new and renames it into place when it is
# complete and on disk, so a kill at any moment leaves either nothing or a whole cluster.
# The role and its password follow the environment at every start. A role other than
# postgres owns its database and can do nothing else: what it can make is in that database,
# so a dump of it is all there is; and who may make roles may, on 15, become the server's user.
set -euo pipefail

readonly data=$PGDATA fresh=$PGDATA.new
readonly user=${POSTGRES_USER:-postgres}
readonly database=${POSTGRES_DB:-$user}

say() { echo "nuage-postgres: $*" >&2; }
die() { say "$*"; exit 1; }

# as_postgres goes on as uid postgres; only the ownership of the volume needs root.
as_postgres() {
	[ "$(id -u)" = 0 ] || return 0
	local mount
	mount=$(dirname "$data")
	mkdir -p "$mount" /var/run/postgresql
	if [ "$(stat -c %u "$mount")" != "$(id -u postgres)" ]; then
		chown -R postgres:postgres "$mount"
	fi
	chown postgres:postgres /var/run/postgresql 2>/dev/null || true
	exec setpriv --reuid=postgres --regid=postgres --init-groups --inh-caps=-all --no-new-privs "$0" "$@"
}

# buffers is a quarter of the container's memory limit, between 32 MB and 1 GB; 128 MB without a limit.
buffers() {
	local limit mb
	limit=$(cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null) || true
	mb=128
	if [[ $limit =~ ^[0-9]+$ ]] && [ "$limit" -lt 1000000000000 ]; then
		mb=$((limit / 4194304))
		mb=$((mb < 32 ? 32 : mb > 1024 ? 1024 : mb))
	fi
	echo "${mb}MB"
}

# lock_volume keeps a second container off the data for as long as this one lives.
lock_volume() {
	exec 8>"$(dirname "$data")/.lock"
	flock -w 10 8 || die "cannot use $(dirname "$data"): another container serves it; stop that one first"
}

# let_in says who may enter cluster $1: from the network whoever knows a password, and over the
# socket without one only the server's own user. Nothing that a customer runs here is that user.
let_in() {
	printf '%s\n' 'local all postgres peer' 'local replication postgres peer' 'local all all scram-sha-256' \
		'host all postgres all reject' 'host all all all scram-sha-256' >"$1/pg_hba.conf.new"
	mv -T "$1/pg_hba.conf.new" "$1/pg_hba.conf"
}

make_cluster() {
	rm -rf "$fresh"
	say "making a new cluster"
	initdb --pgdata="$fresh" --username=postgres --encoding=UTF8 --locale=C.UTF-8 \
		--auth-local=peer --auth-host=scram-sha-256 --no-sync --no-instructions >/dev/null
	let_in "$fresh"
	apply_environment "$fresh" -F
	initdb --sync-only --pgdata="$fresh" >/dev/null
	mv -T "$fresh" "$data"
	sync "$(dirname "$data")"
}

fingerprint() { printf '%s\n' "2 $1" "$user" "$database" "$POSTGRES_PASSWORD" | sha256sum | cut -d' ' -f1; }

# environment_applied tells whether cluster $1 already has this user, database and password.
environment_applied() {
	local salt sum
	[ -r "$1/nuage.applied" ] || return 1
	read -r salt sum <"$1/nuage.applied"
	[ "$sum" = "$(fingerprint "$salt")" ]
}

remember_environment() {
	local salt
	salt=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	(umask 077 && echo "$salt $(fingerprint "$salt")" >"$1/nuage.applied.new")
	mv -T "$1/nuage.applied.new" "$1/nuage.applied"
}

# apply_environment runs a private server on cluster $1, out of reach of the network,
# and gives it the role, password and database of the environment.
apply_environment() {
	local dir=$1 sockets
	shift
	sockets=$(mktemp -d "$(dirname "$data")/.start.XXXXXX")
	pg_ctl --pgdata="$dir" --silent --wait --timeout=600 -o "$* -c listen_addresses='' -c unix_socket_directories='$sockets'" start >/dev/null
	PGHOST=$sockets psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username=postgres --dbname=postgres \
		-v user="$user" -v database="$database" >/dev/null <<-'SQL'
		\getenv password POSTGRES_PASSWORD
		SET log_min_error_statement = panic;
		SELECT format('CREATE ROLE %I LOGIN', :'user')
		 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec
		SELECT format('ALTER ROLE %I NOCREATEDB NOCREATEROLE PASSWORD %L', :'user', :'password') \gexec
		SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'user')
		 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
	SQL
	pg_ctl --pgdata="$dir" --silent --wait --mode=fast stop >/dev/null
	rm -rf "$sockets"
	remember_environment "$dir"
}

prepare() {
	rm -rf "$(dirname "$data")"/.start.*
	if [ ! -e "$data" ]; then
		make_cluster
	elif [ "$(cat "$data/PG_VERSION" 2>/dev/null)" != 15 ]; then
		die "cannot use $data: it is no PostgreSQL 15 cluster; restore a backup into a new database instead"
	fi
	let_in "$data"
	# Left by a kill, it names a process of another life; the volume's lock is what protects.
	rm -f "$data/postmaster.pid"
	environment_applied "$data" || apply_environment "$data"
}

serve() {
	local server status=0
	"$@" -c listen_addresses='*' -c shared_buffers="$(buffers)" -c unix_socket_directories=/var/run/postgresql \
		-c dynamic_shared_memory_type=sysv &
	server=$!
	# SIGTERM to PostgreSQL waits for every client; SIGINT is its fast shutdown.
	trap 'kill -INT "$server" 2>/dev/null || true' TERM INT
	wait "$server" || status=$?
	while kill -0 "$server" 2>/dev/null; do
		status=0
		wait "$server" || status=$?
	done
	exit "$status"
}

case ${1:-postgres} in
-*) set -- postgres "$@" ;;
postgres) ;;
*) exec "$@" ;;
esac

[ -n "${POSTGRES_PASSWORD:-}" ] || die "cannot start without POSTGRES_PASSWORD"
as_postgres "$@"
trap 'exit 143' TERM INT
lock_volume
prepare
serve "$@"
