package controlplane

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"

	"nuage/compute"
)

const redisPort = 6379

// redisAsk asks the server as its administrator, whose password only the server's own user can read.
const redisAsk = `set -euo pipefail
export REDISCLI_AUTH=$(cat /run/redis/admin)
ask() { redis-cli -e --user platform -s /run/redis/redis.sock "$@"; }
`

// redisDump has the server write its data anew as commands, in a child that sees one moment; writes are held for that moment (milliseconds), in which
// the keys are counted. What was written is checked against that number on its way, and counted by database and type.
const redisDump = redisAsk + `trap 'ask CONFIG SET aof-use-rdb-preamble yes >/dev/null' EXIT
for try in $(seq 300); do
	ask CONFIG SET aof-use-rdb-preamble no >/dev/null
	begun=$(printf '%s\n' 'CLIENT PAUSE 5000 WRITE' 'INFO keyspace' 'BGREWRITEAOF' 'CLIENT UNPAUSE' | redis-cli --user platform -s /run/redis/redis.sock)
	if [[ $begun = *'rewriting started'* ]]; then break; fi
	[ "$try" -lt 300 ] || { echo "the server does not begin to write its data anew: $begun" >&2; exit 1; }
	sleep 0.2
done
keys=$(awk -F '[=,]' '/^db/ { n += $2 } END { print n + 0 }' <<<"$begun")
while [ "$(ask INFO persistence | grep -c '^aof_rewrite_in_progress:1')" = 1 ]; do sleep 0.1; done
ask INFO persistence | grep -q '^aof_last_bgrewrite_status:ok' || { echo 'the server could not write its data anew: is its disk full?' >&2; exit 1; }
cd /var/lib/redis/appendonlydir
perl -e "$COUNT" "$keys" <"$(awk '$6 == "b" { print $2 }' appendonly.aof.manifest)" | gzip -6
echo dumped >&2
`

// redisCount reads commands, passes them on and counts the keys that they make, by database and type. Those of one key come one after
// the other. It fails where there are not as many as it is told. With WITHHOLD it passes commands that let keys expire to that file instead.
const redisCount = `use strict; use warnings;
my %type = (SET => "string", RPUSH => "list", SADD => "set", ZADD => "zset", HMSET => "hash", XADD => "stream", XGROUP => "stream");
my ($keys, $db, $last, %n) = (0, 0, "");
my $late;
if ($ENV{WITHHOLD}) { open $late, ">:raw", $ENV{WITHHOLD} or die "$!" }
binmode STDIN; binmode STDOUT;
while (defined(my $head = <STDIN>)) {
	my ($words) = $head =~ /^\*(\d+)\r\n$/ or die "what the server wrote is no command: $head";
	my ($raw, @w) = $head;
	for my $i (1 .. $words) {
		my $size = <STDIN>;
		my ($bytes) = $size =~ /^\$(\d+)\r\n$/ or die "what the server wrote breaks off\n";
		read(STDIN, my $word, $bytes + 2) == $bytes + 2 or die "what the server wrote breaks off\n";
		$raw .= $size . $word;
		push @w, substr($word, 0, $bytes) if $i <= 3;
	}
	my $verb = uc $w[0];
	if ($late and $verb eq "PEXPIREAT" || $verb eq "SELECT") { print $late $raw or die "$!" }
	print $raw or die "$!" unless $late and $verb eq "PEXPIREAT";
	if ($verb eq "SELECT") { $db = $w[1]; $last = ""; next }
	if ($verb eq "FUNCTION") { $n{"functions"}++; next }
	my $type = $type{$verb} or next;
	my $key = $verb eq "XGROUP" ? $w[2] : $w[1];
	next if $last eq "=$key";
	$last = "=$key";
	$n{$db ? "db$db $type" : $type}++;
	$keys++;
}
close STDOUT or die "$!";
if ($late) { close $late or die "$!"; exit 0 }
die "what the server wrote has $keys keys, and there were $ARGV[0]\n" if $keys != $ARGV[0];
print STDERR "count|$_|$n{$_}\n" for sort keys %n;
`

// redisKeys counts what a server has, in the words of redisCount.
const redisKeys = redisAsk + `functions=$(ask FUNCTION LIST | grep -c '^library_name$' || true)
[ "$functions" = 0 ] || echo "count|functions|$functions"
for db in $(ask INFO keyspace | sed -n 's/^db\([0-9]*\):.*/\1/p'); do
	ask -n "$db" EVAL "$TYPES" 0 | sed "s/^/count|db$db /; s/|db0 /|/"
done
`

// redisTypes counts the keys of one database by type, in Lua.
const redisTypes = `local n, lines, cursor = {}, {}, '0'
repeat
	local page = redis.call('SCAN', cursor, 'COUNT', 1000)
	cursor = page[1]
	for _, key in ipairs(page[2]) do
		local kind = redis.call('TYPE', key).ok
		n[kind] = (n[kind] or 0) + 1
	end
until cursor == '0'
for kind, count in pairs(n) do lines[#lines + 1] = kind .. '|' .. count end
return lines
`

// redisLoad has the customer's own user run the commands of a dump. What lets keys expire waits for redisExpire: a key whose time has
// come since would be missing when they are counted.
const redisLoad = `set -euo pipefail
gzip -dc | WITHHOLD=/tmp/expire perl -e "$COUNT" | redis-cli --user "$REDISCLI_USER" --pipe >/dev/null`

const redisExpire = `set -euo pipefail
redis-cli --user "$REDISCLI_USER" --pipe </tmp/expire >/dev/null
rm -f /tmp/expire`

// redisOpen lets a login in that may do what the owner may.
const redisOpen = redisAsk + `mapfile -t rules < <(sed -n "s/^user $OWNER //p" /var/lib/redis/users.acl | tr ' ' '\n' | grep -v '^#\|^on$\|^off$')
ask ACL SETUSER "$LOGIN" reset on "#$HASH" "${rules[@]}"
ask ACL SAVE
`

// redisShut lets a login in no more and ends its sessions.
const redisShut = redisAsk + `ask ACL SETUSER "$LOGIN" off resetpass
ask ACL SAVE
ask CLIENT KILL USER "$LOGIN"
`

// asRedisAbout runs a script about a login. Of its password the server is told a sum.
func asRedisAbout(l login, owner, script string) compute.Process {
	p := asRedis(script)
	p.Env = append(p.Env, "LOGIN="+l.user, "OWNER="+owner, fmt.Sprintf("HASH=%x", sha256.Sum256([]byte(l.password))))
	return p
}

func asRedis(script string) compute.Process {
	return compute.Process{Command: []string{"bash", "-c", script}, User: "redis", Env: []string{"COUNT=" + redisCount, "TYPES=" + redisTypes}}
}

// asRedisCustomer lets a command in as the customer's own user.
func (l login) asRedisCustomer(command ...string) compute.Process {
	return compute.Process{Command: command, User: "nobody", Env: []string{"REDISCLI_AUTH=" + l.password, "REDISCLI_USER=" + l.user,
		"COUNT=" + redisCount, "REDISCLI_HISTFILE=/dev/null", "HOME=/nonexistent"}}
}

// redis is how Redis is run and kept. All its databases, 0 to 15, are the customer's.
func redis() databaseEngine {
	return databaseEngine{
		name: "redis", image: "redis", port: redisPort, data: "/var/lib/redis", variable: "REDIS_URL", inMemory: true,
		things: "types", entries: "keys", probe: probeRedis,
		database: func(string) string { return "0" },
		url:      func(l login, address string) string { return l.url("redis", address, "") },
		env: func(l login) map[string]string {
			return map[string]string{"REDIS_USER": l.user, "REDIS_PASSWORD": l.password}
		},
		shell: func(l login, arguments []string) compute.Process {
			return l.asRedisCustomer(append([]string{"redis-cli", "--user", l.user}, arguments...)...)
		},
		scratch: []string{"redis-server", "--appendonly", "no"},
		ready: func(l login) compute.Process {
			return l.asRedisCustomer("redis-cli", "-e", "--user", l.user, "PING")
		},
		dump:   func(login) compute.Process { return asRedis(redisDump) },
		empty:  func(login) compute.Process { return asRedis(redisAsk + "ask FLUSHALL; ask FUNCTION FLUSH") },
		load:   func(l login) compute.Process { return l.asRedisCustomer("bash", "-c", redisLoad) },
		count:  func(login) compute.Process { return asRedis(redisKeys) },
		open:   func(l login, owner string) compute.Process { return asRedisAbout(l, owner, redisOpen) },
		shut:   func(l login, owner string) compute.Process { return asRedisAbout(l, owner, redisShut) },
		finish: func(l login) compute.Process { return l.asRedisCustomer("bash", "-c", redisExpire) },
	}
}

// probeRedis asks as the customer does.
func probeRedis(ctx context.Context, address string) probe {
	text, err := redisInfo(ctx, address)
	if err != nil {
		return probe{reason: "the server does not accept connections yet"}
	}
	if strings.HasPrefix(text, "-LOADING") {
		return probe{reason: "the server is reading its data"}
	}
	facts := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			facts[name] = value
		}
	}
	number := func(name string) int64 {
		n, err := strconv.ParseInt(facts[name], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	if facts["redis_version"] == "" {
		return probe{reason: "the server does not answer queries yet"}
	}
	return probe{ok: true, version: facts["redis_version"], bytes: number("used_memory_dataset"), clients: max(0, int(number("connected_clients"))-1), most: int(number("maxclients"))}
}

// redisInfo logs in and returns what INFO says, or the error that the server answers.
func redisInfo(ctx context.Context, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	password, _ := u.User.Password()
	if _, err := io.WriteString(conn, redisCommand("AUTH", u.User.Username(), password)+redisCommand("INFO")); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	if answer, err := redisAnswer(in); err != nil || answer != "+OK" {
		return answer, err
	}
	return redisAnswer(in)
}

// redisCommand is a command as it is sent.
func redisCommand(words ...string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&out, "$%d\r\n%s\r\n", len(w), w)
	}
	return out.String()
}

// redisAnswer reads one answer: a string, or a line with the sign that it begins with.
func redisAnswer(in *bufio.Reader) (string, error) {
	const most = 1 << 20
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	size, isString := strings.CutPrefix(line, "$")
	if !isString {
		return line, nil
	}
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 || n > most {
		return "", fmt.Errorf("an answer of %q bytes", size)
	}
	text := make([]byte, n+2)
	if _, err := io.ReadFull(in, text); err != nil {
		return "", err
	}
	return string(text[:n]), nil
}
