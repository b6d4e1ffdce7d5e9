#!/bin/sh
# Starts Prometheus in the background, on 127.0.0.1:9494: start.sh ADDRESS-OF-THE-CLOUD, as 127.0.0.1:7070
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=${TMPDIR:-/tmp}/nuage-lab-metrics
mkdir -p "$data"
sed "s/TARGET/$1/" "$here/prometheus.yml" >"$data/prometheus.yml"
prometheus --config.file "$data/prometheus.yml" --storage.tsdb.path "$data/tsdb" --web.listen-address 127.0.0.1:9494 >"$data/log" 2>&1 &
echo $! >"$data/pid"
for _ in $(seq 100); do
	curl -fs http://127.0.0.1:9494/-/ready >/dev/null 2>&1 && exit 0
	sleep 0.2
done
tail -n 5 "$data/log" >&2
exit 1
