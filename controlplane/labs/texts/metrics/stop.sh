#!/bin/sh
# Ends the Prometheus that start.sh has started, and removes what it has collected.
data=${TMPDIR:-/tmp}/nuage-lab-metrics
[ -f "$data/pid" ] || exit 0
kill "$(cat "$data/pid")" 2>/dev/null
for _ in $(seq 50); do
	kill -0 "$(cat "$data/pid")" 2>/dev/null || break
	sleep 0.2
done
rm -rf "$data"
