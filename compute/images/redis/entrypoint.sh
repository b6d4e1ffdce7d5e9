#!/bin/bash
# PID 1 of a managed Redis. Environment: REDIS_USER, REDIS_PASSWORD.
#
# Every write is in the append-only file, on disk, before it is answered (appendfsync always), and what does not fit in the
# memory is refused, never evicted: this is a database. The customer's user, made at the first start and kept on the volume
# with others that come, may do all with the data and nothing to the server. The administrator's password is made at each
# start and lies in /run/redis/admin, which only the server's own system user can read. There is no user without a password.
set -euo pipefail

readonly data=/var/lib/redis run=/run/redis
readonly users=$data/users.acl

say() { echo "nuage-redis: $*" >&2; }
die() { say "$*"; exit 1; }

# as_redis goes on as uid redis; only the ownership of the volume needs root.
as_redis() {
	[ "$(id -u)" = 0 ] || return 0
	mkdir -p "$data" "$run"
	if [ "$(stat -c %u "$data")" != "$(id -u redis)" ]; then
		chown -R redis:redis "$data"
	fi
	chown redis:redis "$run" 2>/dev/null || true
	exec setpriv --reuid=redis --regid=redis --init-groups --inh-caps=-all --no-new-privs "$0" "$@"
}

# memory_mb is what data may take: 60 % of the container's limit, for a rewrite of the file copies what changes meanwhile.
memory_mb() {
	local limit
	limit=$(cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null) || true
	if [[ $limit =~ ^[0-9]+$ ]] && [ "$limit" -lt 1000000000000 ]; then
		echo $((limit / 1048576 * 6 / 10))
	else
		echo 256
	fi
}

# lock_volume keeps a second container off the data for as long as this one lives.
lock_volume() {
	exec 8>"$data/.lock"
	flock -w 10 8 || die "cannot use $data: another container serves it; stop that one first"
}

hashed() { printf %s "$1" | sha256sum | cut -d' ' -f1; }

# keep_users writes the users: the administrator with password $1, and the customer's as they are.
keep_users() {
	local customers
	customers=$(grep -v '^user default \|^user platform ' "$users" 2>/dev/null) ||
		customers="user $REDIS_USER on #$(hashed "$REDIS_PASSWORD") ~* &* +@all -@admin -@dangerous +flushdb +flushall +keys +info +sort +sort_ro +swapdb +restore +role"
	(umask 077 && printf '%s\n' "user default off resetpass -@all" "user platform on #$(hashed "$1") ~* &* +@all" "$customers" >"$users.new")
	sync "$users.new"
	mv -T "$users.new" "$users"
}

# settings print the configuration, with a memory of $1 MB.
settings() {
	cat <<-CONF
		bind * -::*
		protected-mode no
		port 6379
		unixsocket $run/redis.sock
		unixsocketperm 700
		dir $data
		save ""
		appendonly yes
		appendfsync always
		maxmemory $1mb
		maxmemory-policy noeviction
		maxmemory-clients 20%
		maxclients 1000
		tcp-keepalive 60
		enable-debug-command no
		enable-module-command no
		enable-protected-configs no
		aclfile $users
	CONF
}

serve() {
	local server status=0 admin memory
	admin=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
	memory=$(memory_mb)
	rm -f "$run"/*
	keep_users "$admin"
	(umask 077 && echo "$admin" >"$run/admin" && settings "$memory" >"$run/redis.conf")
	"$1" "$run/redis.conf" "${@:2}" &
	server=$!
	trap 'kill -TERM "$server" 2>/dev/null || true' TERM INT
	fit "$server" "$memory" &
	wait "$server" || status=$?
	while kill -0 "$server" 2>/dev/null; do
		status=0
		wait "$server" || status=$?
	done
	exit "$status"
}

# fit has the running server $1 use what it may when the container's limit changes; $2 MB it has at its start.
fit() {
	local memory=$2 now
	while sleep 2 && kill -0 "$1" 2>/dev/null; do
		now=$(memory_mb)
		[ "$now" != "$memory" ] || continue
		[ "$(REDISCLI_AUTH=$(cat "$run/admin") redis-cli --user platform -s "$run/redis.sock" config set maxmemory "${now}mb")" = OK ] || continue
		memory=$now
	done
}

case ${1:-redis-server} in
-*) set -- redis-server "$@" ;;
redis-server) ;;
*) exec "$@" ;;
esac

for name in REDIS_USER REDIS_PASSWORD; do
	[ -n "${!name:-}" ] || die "cannot start without $name"
done
as_redis "$@"
trap 'exit 143' TERM INT
lock_volume
serve "$@"
