package controlplane

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
)

const (
	segmentBytes = 16 << 20 // of a file of PostgreSQL's log, as initdb makes it
	walSlot      = "nuage_archive"
)

// postgresArchive begins the archiving of a server's log: from now on it keeps what is not archived yet, up to 1 GB.
const postgresArchive = `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'nuage_archive' \g /dev/null
ALTER SYSTEM SET max_slot_wal_keep_size = '1GB';
SELECT pg_reload_conf() \g /dev/null
SELECT pg_create_physical_replication_slot('nuage_archive', true) \g /dev/null
`

// postgresUnarchive ends it.
const postgresUnarchive = `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'nuage_archive';
`

// postgresLog lets go of what is archived up to :archived, and says how the log is now.
const postgresLog = `SELECT pg_replication_slot_advance('nuage_archive', :'archived') FROM pg_replication_slots
 WHERE slot_name = 'nuage_archive' AND restart_lsn < :'archived' \g /dev/null
SELECT 'log', (SELECT system_identifier FROM pg_control_system()), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
       pg_snapshot_xmax(pg_current_snapshot()),
       coalesce((SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = 'nuage_archive' AND wal_status <> 'lost'), '0/0'),
       (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
`

// postgresMark commits something after the present moment, so that the log can be replayed to exactly there, and says how far it is on disk.
const postgresMark = `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now \gset
SELECT pg_logical_emit_message(true, 'nuage', '') \g /dev/null
SELECT 'mark', pg_current_wal_flush_lsn(), pg_snapshot_xmax(pg_current_snapshot()), :now;
`

// postgresRecover replays the log up to a moment, or with "" all of it, and lets the server in.
const postgresRecover = `set -e
touch "$PGDATA/recovery.signal"
target=
[ -z "$MOMENT" ] || target="-c recovery_target_time='$MOMENT' -c recovery_target_action=promote"
pg_ctl --pgdata="$PGDATA" --silent --wait --timeout=7000 --log=/tmp/recovery.log -o "-c listen_addresses='' -c fsync=off -c full_page_writes=off \
	-c autovacuum=off -c hot_standby=off -c dynamic_shared_memory_type=sysv -c restore_command=false -c recovery_target_timeline=current $target" start >/dev/null ||
	{ grep -E 'FATAL|PANIC|ERROR' /tmp/recovery.log | tail -n 3 >&2; exit 1; }
`

// walState is how a server's log is.
type walState struct {
	system, timeline string
	xmax             string // the next number of a transaction that writes
	kept             uint64 // from where the server keeps its log for the archive; 0: it does not
	at               time.Time
}

// walMark is a place of the log: all that was committed until at is before it.
type walMark struct {
	place uint64
	xmax  string
	at    time.Time
}

// fieldsOf finds the line of a script's output that begins with a word. Internal.
func fieldsOf(out, word string, n int) ([]string, error) {
	for line := range strings.Lines(out) {
		if f := strings.Split(strings.TrimSpace(line), "|"); f[0] == word && len(f) == n {
			return f[1:], nil
		}
	}
	return nil, api.Errorf(api.Internal, "cannot read the state of the server's log: it says %q", clip(out))
}

func readWalState(out string) (s walState, err error) {
	f, err := fieldsOf(out, "log", 6)
	if err != nil {
		return s, err
	}
	s.system, s.timeline, s.xmax = f[0], f[1], f[2]
	if s.kept, err = readWalPlace(f[3]); err == nil {
		s.at, err = readMicros(f[4])
	}
	return s, err
}

func readWalMark(out string) (m walMark, err error) {
	f, err := fieldsOf(out, "mark", 4)
	if err != nil {
		return m, err
	}
	m.xmax = f[1]
	if m.place, err = readWalPlace(f[0]); err == nil {
		m.at, err = readMicros(f[2])
	}
	return m, err
}

func readMicros(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, api.Errorf(api.Internal, "cannot read the server's clock: it says %q", clip(text))
	}
	return time.UnixMicro(n).UTC(), nil
}

// readWalPlace reads a place of the log as PostgreSQL writes it: two hex numbers. Internal.
func readWalPlace(text string) (uint64, error) {
	high, low, ok := strings.Cut(text, "/")
	h, errH := strconv.ParseUint(high, 16, 32)
	l, errL := strconv.ParseUint(low, 16, 32)
	if !ok || errH != nil || errL != nil {
		return 0, api.Errorf(api.Internal, "cannot read a place of the server's log: it says %q", clip(text))
	}
	return h<<32 | l, nil
}

func placeText(place uint64) string { return fmt.Sprintf("%X/%X", place>>32, place&0xffffffff) }

// segmentName is the file of the log that a place is in.
func segmentName(timeline string, place uint64) string {
	segment := place / segmentBytes
	const each = (1 << 32) / segmentBytes
	return fmt.Sprintf("%s%08X%08X", timeline, segment/each, segment%each)
}

// momentText is a time as PostgreSQL takes it where no time zones are loaded yet.
func momentText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000+00") }

// readLog prints n bytes of the log from a place on, all of one file.
func readLog(timeline string, place, n uint64) compute.Process {
	return compute.Process{User: "postgres", Command: []string{"sh", "-c",
		`exec dd if="$PGDATA/pg_wal/$1" bs=64K iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none`, "sh",
		segmentName(timeline, place), strconv.FormatUint(place%segmentBytes, 10), strconv.FormatUint(n, 10)}}
}

// baseCopy prints a copy of all files of the server, which together with the log from before its beginning on is a server.
func baseCopy() compute.Process {
	return compute.Process{User: "postgres", Env: []string{"PGUSER=postgres"},
		Command: []string{"pg_basebackup", "--pgdata=-", "--format=tar", "--wal-method=none", "--checkpoint=fast", "--no-password"}}
}
