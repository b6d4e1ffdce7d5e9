#!/usr/bin/env bash
# The comparison: the same guestbook on a machine (IaaS), as an app (PaaS) and as a function (FaaS), with the commands a
# student would type. `make demo` builds bin/nuage first. A run begins anew: what an earlier run left in project demo goes.
#
# NUAGE_HOME says which cloud (default ~/.nuage), NUAGE_DEMO_UP adds flags to `nuage up`, as "--engine sim".
set -euo pipefail
[ -z "${NUAGE_HOME:-}" ] || export NUAGE_HOME=$(realpath -m "$NUAGE_HOME")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PATH=$PWD/bin:$PATH NUAGE_PROJECT=demo NUAGE_PROGRESS=plain
unset NUAGE_URL NUAGE_TOKEN

readonly samples=controlplane/labs/guestbook
readonly watch=2 # seconds between two looks of the customer at their program on the machine
work=$(mktemp -d)
readonly work
background= # pid of a measurement under way

# ---- what is said ----------------------------------------------------------------------

bold='' dim='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; fi

# chapter prints a heading with the seconds since the demo began.
chapter() { printf '\n%s== %s%s %s(%d s)%s\n' "$bold" "$1" "$plain" "$dim" "$SECONDS" "$plain"; }

say() { printf '%s\n' "$*" | fold -s -w 118 | sed 's/ *$//'; }

# note is say, a line below what was printed before.
note() { echo && say "$*"; }

# words prints a command so that it can be typed again.
words() {
	local word line=''
	for word; do
		case $word in
		'' | *[!A-Za-z0-9_./:@%+=,-]*) word="'${word//\'/\'\\\'\'}'" ;;
		esac
		line+=" $word"
	done
	printf '%s' "${line# }"
}

# run shows a command and runs it.
run() {
	printf '\n%s$ %s%s\n' "$bold" "$(words "$@")" "$plain"
	"$@"
}

# run_briefly is run for commands with long output: progress is a line for each that begins with $1. Where the command
# fails its last lines are shown.
run_briefly() {
	local mark=$1 log=$work/long.log status=0
	shift
	printf '\n%s$ %s%s\n' "$bold" "$(words "$@")" "$plain"
	"$@" 2>&1 | tee "$log" | sed -un "s/^$mark/  &/p" || status=$?
	[ "$status" = 0 ] || tail -n 15 "$log" >&2
	return "$status"
}

# call shows and makes a call of a function: its answer, and the receipt on a line of its own.
call() {
	printf '\n%s$ %s%s\n' "$bold" "$(words "$@")" "$plain"
	local answer status=0
	answer=$("$@" 2>"$work/receipt") || status=$?
	printf '%s\n' "$answer"
	cat "$work/receipt"
	return "$status"
}

leave() {
	local status=$?
	[ -z "$background" ] || kill "$background" 2>/dev/null || true
	rm -rf "$work"
	[ "$status" = 0 ] || printf '\nThe demo stopped after %d s: the command above says why. The cloud is left as it is; see `nuage status`.\n' "$SECONDS" >&2
	exit "$status"
}
trap leave EXIT

# ---- what it needs ---------------------------------------------------------------------

# see_to_tools installs the clients a student would have.
see_to_tools() {
	local missing=()
	command -v curl >/dev/null || missing+=(curl)
	command -v ssh >/dev/null && command -v scp >/dev/null || missing+=(openssh-client)
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "installing ${missing[*]} ..."
		apt-get update -q >"$work/apt.log" 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
			-o DPkg::Lock::Timeout=300 "${missing[@]}" >>"$work/apt.log" 2>&1 || tail -n 5 "$work/apt.log" >&2
	fi
	command -v curl >/dev/null && command -v ssh >/dev/null && command -v scp >/dev/null ||
		{ echo "The demo needs ${missing[*]}: install that, then run it again." >&2 && return 1; }
}

# see_to_engine sets up Docker and the base images where it may. Status 3 is no failure: the simulator serves then.
see_to_engine() {
	local status=0
	case ${NUAGE_DEMO_UP:-} in *sim*) return 0 ;; esac
	bash compute/images/setup.sh || status=$?
	[ "$status" = 0 ] || [ "$status" = 3 ]
}

# field prints a text or number from the JSON of a nuage command by its name: the first one there is.
field() {
	local name=$1
	shift
	"$@" -o json | sed -n "s/^ *\"$name\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" | head -n 1
}

start_cloud() {
	if nuage status >/dev/null 2>&1; then
		say "A cloud is up already: it is used."
		[ "$(field version nuage status)" = "$(nuage version | awk '{print $NF}')" ] ||
			say "It was started by another build of nuage. To run this one: nuage down, then make demo."
	else
		# shellcheck disable=SC2086 # several flags
		run nuage up --detach ${NUAGE_DEMO_UP:-}
	fi
	edge=$(field edge nuage status)
	edge_port=${edge##*:}
	cloud=$(field cloudId nuage status)
	engine=$(field engine nuage status)
}

# clean removes what an earlier run left, in an order in which nothing is in use.
clean() {
	local noun name
	nuage project show demo >/dev/null 2>&1 || return 0
	say "Removing what an earlier run left in project demo ..."
	for noun in trigger "instance function app" database "security-group key"; do
		for noun in $noun; do
			for name in $(nuage "$noun" list -o name); do
				[ "$noun/$name" = security-group/default ] || nuage "$noun" delete "$name" >/dev/null 2>&1 &
			done
		done
		wait
	done
	nuage project delete demo >/dev/null
}

# ---- measuring -------------------------------------------------------------------------

# await_first begins to ask a URL in the background, before the work on it is done: so the first answer counts from now.
await_first() {
	printf '\n%s$ nuage compare measure %s --url %s --requests 200 &%s   %s# waits for the first answer from now on%s\n' "$bold" "$1" "$2" "$plain" "$dim" "$plain"
	nuage compare measure "$1" --url "$2" --requests 200 --deadline 5m >"$work/measure" 2>"$work/measure.err" &
	background=$!
}

# measured waits for the measurement under way and shows it.
measured() {
	local status=0
	printf '\n%s$ wait%s\n' "$bold" "$plain"
	wait "$background" || status=$?
	background=
	cat "$work/measure"
	[ "$status" = 0 ] || { cat "$work/measure.err" >&2 && return "$status"; }
}

# recover kills a subject with command $3 and measures how long its URL is without an answer.
recover() { run nuage compare measure "$1" --url "$2" --recovery --kill-cmd "$3"; }

# container prints the engine's id of a workload of this cloud.
container() {
	docker ps -q --filter "label=nuage.cloud=$cloud" --filter "label=nuage.project=demo" --filter "label=nuage.kind=$1" --filter "label=nuage.name=$2" | head -n 1
}

# ---- the three models ------------------------------------------------------------------

iaas() {
	chapter "1. IaaS: a machine. Everything on it is the customer's work."
	run nuage key create demo
	run nuage security-group create web
	run nuage security-group allow web --protocol tcp --port 8000 --from 0.0.0.0/0
	run nuage instance create guestbook-vm --image debian-12 --key demo --security-group default --security-group web
	machine
	await_first guestbook-vm "$vm_url"
	note "OpenSSH as it is everywhere: the address, the key and the host key are in nuage instance show."
	printf 'guestbook-vm %s\n' "$(field hostKey nuage instance show guestbook-vm)" >"$work/known_hosts"
	run scp -q -r -F none -i "$key" -P "$ssh_port" -o HostKeyAlias=guestbook-vm -o UserKnownHostsFile="$work/known_hosts" \
		-o StrictHostKeyChecking=yes "$samples/iaas" "root@$ssh_host:guestbook"
	local status=0
	run_briefly install: nuage ssh guestbook-vm -- sh guestbook/install.sh || status=$?
	if [ "$status" = 3 ]; then
		kill "$background" 2>/dev/null || true
		background=
		note "The machine cannot get its packages: it reaches no Debian mirror. The demo goes on without the guestbook on IaaS."
		return
	fi
	[ "$status" = 0 ] || return "$status"
	iaas_serves=yes
	measured
	sign "$vm_url"
}

# machine finds out where the machine is reached.
machine() {
	local json
	json=$(nuage instance show guestbook-vm -o json | tr -d ' \n')
	ssh_host=$(sed 's/.*"ssh":{"host":"\([^"]*\)".*/\1/' <<<"$json")
	ssh_port=$(sed 's/.*"ssh":{"host":"[^"]*","port":\([0-9]*\).*/\1/' <<<"$json")
	vm_url=http://$(sed 's/.*{"port":8000,"host":"\([^"]*\)","hostPort":\([0-9]*\)}.*/\1:\2/' <<<"$json")/
	key=${NUAGE_HOME:-$HOME/.nuage}/keys/demo-demo
}

# sign adds an entry and reads it back.
sign() {
	run curl -sS --fail -d '{"name": "Ada", "message": "the same program, three times"}' "$1"
	run curl -sS --fail "$1"
}

paas() {
	chapter "2. PaaS: the program and what it needs. The platform builds, runs, routes and heals."
	run nuage database create guestbook-db --engine postgres
	await_first guestbook "$app_url"
	run nuage app deploy guestbook --source $samples/app --database guestbook-db --health /healthz
	measured
	sign "$app_url"
}

faas() {
	chapter "3. FaaS: a function. Nothing runs between calls; each call has a receipt."
	await_first guestbook-fn "$function_url"
	run nuage function deploy guestbook-fn --runtime python --handler main.handler --source $samples/function --database guestbook-db
	note "The first call is cold: it takes a container that waits with Python up, and loads the code. The second finds it warm."
	call nuage function invoke guestbook-fn --data '{"rawPath": "/", "requestContext": {"http": {"method": "GET"}}}'
	call nuage function invoke guestbook-fn --data '{"rawPath": "/", "requestContext": {"http": {"method": "GET"}}}'
	run nuage trigger create guestbook-http --function guestbook-fn --http
	measured
	sign "$function_url"
	greeting
}

# greeting is the same logic's greeting as a wasm function. It needs no engine.
greeting() {
	note "The same logic's greeting as a wasm function, $(wc -c <$samples/greeting/greeting.wasm) bytes. Every call gets a new instance: that takes microseconds, not a container."
	await_first greeting "$greeting_url"
	run nuage function deploy greeting --runtime wasm --source $samples/greeting/greeting.wasm
	call nuage function invoke greeting --data '{"name": "Ada"}'
	call nuage function invoke greeting --data '{"name": "Grace"}'
	run nuage trigger create greeting-http --function greeting --http
	measured
	run curl -sS --fail "$greeting_url?name=Ada"
}

# ---- the kills -------------------------------------------------------------------------

# killer prints a command that kills the guestbook's process on the machine: from outside where this user may, else by SSH.
killer() {
	local pid
	pid=$(docker top "$(container instance guestbook-vm)" -eo pid,args 2>/dev/null | awk '/guestbook\/app.py/ {print $1; exit}') || true
	if [ -n "$pid" ] && grep -qs guestbook/app.py "/proc/$pid/cmdline" && kill -0 "$pid" 2>/dev/null; then
		echo "kill -9 $pid"
	else
		echo "nuage ssh guestbook-vm -- 'kill -9 \$(cat /run/guestbook.pid)'"
	fi
}

kills() {
	chapter "4. A crash: the process, the app's container and the function's container are killed from outside"
	if [ -n "$iaas_serves" ]; then
		say "On the machine nobody starts the process again but the customer. Here they watch it with a loop that asks every $watch seconds, and log in when it does not answer; a person without such a loop needs longer."
		recover guestbook-vm "$vm_url" "(while curl -fs $vm_url >/dev/null; do sleep $watch; done; nuage ssh guestbook-vm -- service guestbook start) & sleep 1; $(killer); wait"
	fi
	if ! command -v docker >/dev/null; then
		say "There is no docker command here, so the containers of the app and of the function are not killed."
		return
	fi
	note "The app's container is started again by the platform."
	recover guestbook "$app_url" "docker kill $(container app guestbook)"
	note "The function's containers are replaced by the platform from those that wait."
	recover guestbook-fn "$function_url" "docker kill \$(docker ps -q --filter label=nuage.cloud=$cloud --filter label=nuage.project=demo --filter label=nuage.kind=function)"
}

# ---- the whole -------------------------------------------------------------------------

# result shows what was recorded of the subjects, and the receipts of those functions that come after "--".
result() {
	chapter "Who did what, how it went, and what it costs"
	local subjects=()
	while [ "$1" != -- ]; do
		subjects+=("$1")
		shift
	done
	shift
	run nuage compare "${subjects[@]}"
	if nuage compare "${subjects[@]}" -o html >bin/compare.html; then
		note "The same as one page, with a chart of cost over load: bin/compare.html. In French: nuage compare ${subjects[*]} -o html --lang fr > compare.html"
	fi
	run nuage bill
	for function; do run nuage bill calls "$function" --last 5; done
}

# simulated is what runs without Docker.
simulated() {
	note "The engine of this cloud is the simulator: machines, apps and databases are records with a clock and a price; nothing runs in them, so there is no SSH, no guestbook and no kill. The API, the record of who did what, the bill and wasm functions are real. For the whole comparison: install Docker (on Debian: apt-get install docker.io), end this cloud with nuage reset --yes, and run this again."
	chapter "1. IaaS, simulated"
	run nuage key create demo
	run nuage instance create guestbook-vm --image debian-12 --key demo
	chapter "2. PaaS, simulated"
	run nuage database create guestbook-db --engine postgres
	run nuage app deploy guestbook --image nuage/tiny:1
	chapter "3. FaaS, real: wasm runs in the cloud's own process"
	greeting
	result guestbook-vm guestbook greeting -- greeting
}

goodbye() {
	chapter "Done"
	say "The cloud stays up:"
	hint "API, and its description at /docs" "http://$(field api nuage status)" "apps and functions" "http://$edge"
	case $engine in docker*) hint "the guestbook" "$app_url" ;; esac
	note "Put $PWD/bin on your PATH and look inside:"
	hint "export NUAGE_PROJECT=demo" "work in the demo's project" "nuage status" "the cloud at a glance" "nuage activity list" "who did what"
	case $engine in
	docker*) hint "nuage ssh guestbook-vm" "log in to the machine" "docker ps --filter label=nuage.cloud=$cloud" "what runs in the engine" ;;
	esac
	hint "nuage down" "stop it all; data stays" "nuage reset --yes" "remove it all"
}

hint() { printf '  %-62s %s\n' "$@"; }

main() {
	chapter "The cloud"
	see_to_tools
	see_to_engine
	start_cloud
	clean
	app_url=http://guestbook.demo.app.localhost:$edge_port/
	function_url=http://guestbook-fn.demo.fn.localhost:$edge_port/
	greeting_url=http://greeting.demo.fn.localhost:$edge_port/
	iaas_serves=
	run nuage project create demo
	printf '\n%s$ export NUAGE_PROJECT=demo%s\n' "$bold" "$plain"
	case $engine in
	docker*)
		iaas
		paas
		faas
		kills
		result guestbook-vm guestbook guestbook-fn -- guestbook-fn greeting
		;;
	*) simulated ;;
	esac
	goodbye
}

main
