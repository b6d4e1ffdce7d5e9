#!/bin/bash
# Sees to a Docker engine and to the base images. Idempotent; safe when two runs race.
#
#   setup.sh            engine and images            setup.sh engine     the engine only
#   setup.sh images     images only                  setup.sh recipes    prints "IMAGE HASH" lines
#   setup.sh nodejs     that image, which is not made before its first use
#
# Environment: DOCKER_HOST (an engine elsewhere: nothing is installed then),
# NUAGE_REQUIRE_ENGINE=1 (no engine is an error), XDG_CACHE_HOME (the Debian root is kept there).
# Exit status: 0 all is there; 1 failed; 3 no engine can be had here, so go on with the simulator.
set -euo pipefail
umask 022
PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly base_image=debian:bookworm-slim
readonly recipes=(debian-12 python postgres tiny)
readonly on_first_use=(nodejs mariadb redis nginx)
readonly engine_log=${NUAGE_ENGINE_LOG:-/var/log/nuage-dockerd.log}
readonly engine_wait=${NUAGE_ENGINE_WAIT:-60}
readonly started=$SECONDS

# ---- what is said ----------------------------------------------------------------------

# step prints one finished step and the seconds it took since $1 (a value of SECONDS).
step() { printf '%-62s %3d s\n' "$2" "$((SECONDS - $1))"; }

fail() {
	printf 'setup: %s\n' "$*" >&2
	exit 1
}

# no_engine says in one paragraph why there is none and what to install, and ends the run.
no_engine() {
	printf 'No Docker engine: %s Without an engine nuage goes on with its simulator: the API, the bill and wasm functions work, instances, apps and databases are imitated.\n' "$1" | fold -s -w 100 >&2
	if [ "${NUAGE_REQUIRE_ENGINE:-}" = 1 ]; then
		echo 'NUAGE_REQUIRE_ENGINE=1 is set, so this is a failure.' >&2
		exit 1
	fi
	exit 3
}

# ---- the engine ------------------------------------------------------------------------

answers() { command -v docker >/dev/null && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

is_root() { [ "$(id -u)" = 0 ]; }

on_debian() { command -v apt-get >/dev/null && [ -r /etc/debian_version ]; }

# wait_for SECONDS until the engine answers.
wait_for() {
	local deadline=$((SECONDS + $1))
	until answers; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.2
	done
}

# apt_install installs those of the packages that this distribution has.
apt_install() {
	local package wanted=()
	for package; do
		if apt-cache show "$package" >/dev/null 2>&1; then wanted+=("$package"); fi
	done
	DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get install -q -y --no-install-recommends \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "${wanted[@]}" >>"$log" 2>&1 9>&-
}

apt_update() { apt-get update -q -o DPkg::Lock::Timeout=300 >>"$log" 2>&1 9>&-; }

# install_packages installs what is missing of an engine and of what makes a Debian root.
install_packages() {
	local from=$SECONDS missing=()
	command -v dockerd >/dev/null || missing+=(docker.io iptables ca-certificates)
	# Where the kernel confines by AppArmor, no container starts without its parser.
	if [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ] && ! command -v apparmor_parser >/dev/null; then missing+=(apparmor); fi
	command -v docker >/dev/null || missing+=(docker-cli)
	command -v mmdebstrap >/dev/null || missing+=(mmdebstrap debian-archive-keyring)
	[ ${#missing[@]} -gt 0 ] || return 0
	echo "installing ${missing[*]} ..."
	apt_update || no_engine "apt-get update failed ($(last_line "$log")). Repair the machine's package sources, or install Docker by hand (package docker.io), then run this again."
	apt_install "${missing[@]}" || no_engine "apt-get install docker.io mmdebstrap failed ($(last_line "$log")). Install Docker by hand, then run this again."
	command -v dockerd >/dev/null || no_engine "the machine's package sources have no docker.io. Add them (on Ubuntu: component universe) or install Docker by hand, then run this again."
	step "$from" "installed ${missing[*]}"
}

last_line() { grep -v '^$' "$1" 2>/dev/null | tail -n 1 | cut -c 1-200; }

# start_by_service asks the machine's service manager, where one runs, and tells whether it did.
start_by_service() {
	if [ -d /run/systemd/system ]; then
		systemctl start docker >>"$log" 2>&1 9>&-
	elif [ "$(cat /proc/1/comm)" = init ] && [ -x /etc/init.d/docker ]; then
		service docker start >>"$log" 2>&1 9>&-
	else
		return 1
	fi
}

# mount_cgroups does what a service manager would have done at boot.
mount_cgroups() {
	[ "$(stat -f -c %T /sys/fs/cgroup 2>/dev/null)" != sysfs ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup
}

# iptables_path is PATH, with the older iptables first where the kernel only knows that one.
iptables_path() {
	local tool shims=/run/nuage-iptables
	if iptables -w -t nat -n -L >/dev/null 2>&1 || ! iptables-legacy -w -t nat -n -L >/dev/null 2>&1; then
		echo "$PATH"
		return
	fi
	mkdir -p "$shims"
	for tool in iptables ip6tables iptables-save iptables-restore ip6tables-save ip6tables-restore; do
		ln -sf "$(command -v "${tool/tables/tables-legacy}")" "$shims/$tool"
	done
	echo "$shims:$PATH"
}

# start_by_hand runs dockerd in a session of its own: it outlives this shell.
start_by_hand() {
	mount_cgroups
	PATH=$(iptables_path) setsid -f dockerd >>"$engine_log" 2>&1 </dev/null 9>&-
}

start_engine() {
	local from=$SECONDS
	if start_by_service && wait_for 30; then
		step "$from" "started Docker (service docker)"
		return
	fi
	start_by_hand
	wait_for "$engine_wait" || no_engine "dockerd does not answer after $engine_wait s ($(last_line "$engine_log")); its log is $engine_log."
	step "$from" "started dockerd, log in $engine_log"
}

see_to_engine() {
	if answers; then return; fi
	if [ -n "${DOCKER_HOST:-}" ]; then
		if ! command -v docker >/dev/null; then
			no_engine "DOCKER_HOST is $DOCKER_HOST, but there is no docker command to talk to it. Install one (package docker-cli, or docker.io on older releases)."
		fi
		no_engine "DOCKER_HOST is $DOCKER_HOST, but nothing answers there. Start that engine, or unset DOCKER_HOST to use this machine's."
	fi
	if [ -S /var/run/docker.sock ] && ! [ -w /var/run/docker.sock ]; then
		no_engine "user $(id -un) may not use /var/run/docker.sock. Run 'sudo usermod -aG docker $(id -un)', log in again, then run this again."
	fi
	if ! on_debian; then
		no_engine "none answers, and this is no Debian or Ubuntu. Install and start Docker (https://docs.docker.com/engine/install), then run this again."
	fi
	if ! is_root; then
		no_engine "none answers, and user $(id -un) may not install one. Run 'sudo apt-get install docker.io mmdebstrap && sudo usermod -aG docker $(id -un)', log in again, then run this again."
	fi
	install_packages
	if ! answers; then start_engine; fi
}

# ---- recipes ---------------------------------------------------------------------------

tag_of() {
	case $1 in
	postgres) echo nuage/postgres:15 ;;
	mariadb) echo nuage/mariadb:10.11 ;;
	redis) echo nuage/redis:7.0 ;;
	*) echo "nuage/$1:1" ;;
	esac
}

# recipe_hash is the SHA-256 over "HASH  PATH" of every file of the base and of recipe $1.
recipe_hash() {
	(cd "$here" && find base "$1" -type f ! -name '.*' | LC_ALL=C sort -u | xargs sha256sum | sha256sum | cut -d ' ' -f 1)
}

print_recipes() {
	local recipe
	echo "$base_image $(recipe_hash base)"
	for recipe in "${recipes[@]}" "${on_first_use[@]}"; do echo "$(tag_of "$recipe") $(recipe_hash "$recipe")"; done
}

# label_of prints the recipe label of image $1, "none" when it has none; fails when there is no such image.
label_of() {
	docker image inspect --format '{{with index .Config.Labels "nuage.recipe"}}{{.}}{{else}}none{{end}}' "$1" 2>/dev/null
}

# id_of prints the id of image $1, nothing when there is no such image.
id_of() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null || true; }

# ---- the base image --------------------------------------------------------------------

cache_dir() {
	local dir=${XDG_CACHE_HOME:-${HOME:-/var/cache}/.cache}/nuage
	mkdir -p "$dir"
	echo "$dir"
}

# pull_base pulls the base where an image registry answers within 3 seconds; the pull
# itself may take longer. It goes through the engine, so the engine's mirrors and proxies count.
pull_base() {
	local pid deadline=$((SECONDS + 3)) out=$work/pull
	timeout 300 docker pull "$base_image" >"$out" 2>&1 9>&- &
	pid=$!
	while kill -0 "$pid" 2>/dev/null && ! grep -q 'Pulling from' "$out"; do
		if [ "$SECONDS" -gt "$deadline" ]; then
			kill "$pid" 2>/dev/null || true
			break
		fi
		sleep 0.1
	done
	wait "$pid" 2>/dev/null
}

# mirror prints the URI of the machine's own Debian mirror whose suite matches $1, or $2.
mirror() {
	local uri=
	uri=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Identifier: Packages' 'Origin: Debian' 2>/dev/null |
		awk -v suite="$1" '$3 == "main" && $2 ~ suite {print $1; exit}') || true
	echo "${uri:-$2}"
}

# make_base makes the Debian root from packages, or takes the one in the cache.
make_base() {
	local hash=$1 tar partial
	tar=$(cache_dir)/bookworm-slim-$hash.tar
	partial=$(cache_dir)/partial-$$.tar
	if ! [ -s "$tar" ]; then
		command -v mmdebstrap >/dev/null || fail "cannot make $base_image: no image registry answers and mmdebstrap is missing; run 'sudo apt-get install mmdebstrap debian-archive-keyring', then this again, or run this once as root"
		rm -rf "$(cache_dir)"/bookworm-slim-*.tar "$(cache_dir)"/partial-*.tar
		bash "$here/base/build.sh" "$partial" \
			"$(mirror '^[a-z]+$' http://deb.debian.org/debian)" \
			"$(mirror '-security$' http://deb.debian.org/debian-security)" >>"$log" 2>&1 9>&- ||
			{ rm -rf "$partial"; fail "cannot make $base_image from Debian packages (it needs root, or user namespaces): $(last_line "$log")"; }
		mv "$partial" "$tar"
	fi
	docker import --change 'CMD ["bash"]' --change "LABEL nuage.recipe=$hash" "$tar" "$base_image" >>"$log" 2>&1 9>&- ||
		fail "cannot import $base_image: $(last_line "$log")"
}

see_to_base() {
	local from=$SECONDS hash label
	hash=$(recipe_hash base)
	label=$(label_of "$base_image") || label=missing
	case $label in
	"$hash" | none) return ;;
	missing)
		if pull_base; then
			step "$from" "pulled $base_image"
			return
		fi
		echo "no image registry answers: making the images from Debian packages ..."
		;;
	esac
	if is_root && on_debian && ! command -v mmdebstrap >/dev/null; then install_packages; fi
	make_base "$hash"
	step "$from" "made $base_image"
}

# ---- the images on top of it -----------------------------------------------------------

# proxy_args passes the machine's own proxy for packages on to a build, and on to nothing else.
proxy_args() {
	local PROXY=${http_proxy:-}
	if [ -z "$PROXY" ] && command -v apt-config >/dev/null; then
		eval "$(apt-config shell PROXY Acquire::http::Proxy)"
	fi
	case $PROXY in
	'' | DIRECT) return ;;
	*://localhost* | *://127.* | *://\[::1\]*) printf '%s\n' --network=host ;;
	esac
	printf '%s\n' --build-arg "http_proxy=$PROXY"
}

# build_image builds recipe $1 with the classic builder, which needs no plugin. The
# context is packed here, so that modes and times are the same everywhere.
build_image() {
	local recipe=$1 from=$SECONDS tag hash old out args
	tag=$(tag_of "$recipe") hash=$(recipe_hash "$recipe") out=$work/$recipe.log
	old=$(id_of "$tag")
	mapfile -t args < <(proxy_args)
	if ! tar -C "$here/$recipe" --sort=name --mtime=@0 --owner=0 --group=0 --mode=0755 -cf - . |
		DOCKER_BUILDKIT=0 docker build --rm --force-rm ${args[@]+"${args[@]}"} --label "nuage.recipe=$hash" --tag "$tag" - >"$out" 2>&1 9>&-; then
		cat "$out" >>"$log"
		{
			echo "cannot build $tag; the last lines of the build:"
			tail -n 15 "$out"
		} >&2
		return 1
	fi
	remove_unused "$old"
	step "$from" "built $tag"
}

# remove_unused removes image $1, the former holder of a tag, if nobody gave it another name.
# The engine itself refuses to remove one that a container or another image needs.
remove_unused() {
	[ -n "$1" ] || return 0
	[ "$(docker image inspect --format '{{len .RepoTags}}' "$1" 2>/dev/null)" = 0 ] || return 0
	docker image rm "$1" >>"$log" 2>&1 || true
}

# remove_stages removes what builds in several stages leave untagged.
remove_stages() {
	local ids
	mapfile -t ids < <(docker image ls --quiet --filter dangling=true --filter label=nuage.stage)
	[ ${#ids[@]} = 0 ] || docker image rm "${ids[@]}" >>"$log" 2>&1 || true
}

# see_to_images sees to the base and to the images of recipes $@ on top of it.
see_to_images() {
	local recipe pid pids=() failed=0 old
	old=$(id_of "$base_image")
	see_to_base
	for recipe; do
		if [ "$(label_of "$(tag_of "$recipe")")" != "$(recipe_hash "$recipe")" ]; then
			build_image "$recipe" &
			pids+=($!)
		fi
	done
	for pid in ${pids[@]+"${pids[@]}"}; do wait "$pid" || failed=1; done
	remove_stages
	if [ "$old" != "$(id_of "$base_image")" ]; then remove_unused "$old"; fi
	[ "$failed" = 0 ] || fail "some images are missing; containers under construction must reach the Debian mirror; the whole log is $log"
}

# ---- main ------------------------------------------------------------------------------

# only_one waits for another run of this user to end.
only_one() {
	exec 9>"$(cache_dir)/setup.lock"
	flock -n 9 && return
	echo "another set-up is running, waiting for it ..."
	flock -w 600 9 || fail "another set-up holds $(cache_dir)/setup.lock for 10 minutes; end it and run this again"
}

main() {
	local what=${1:-all} wanted=("${recipes[@]}")
	case $what in
	recipes) print_recipes && return ;;
	all | engine | images) ;;
	*)
		[[ " ${on_first_use[*]} " = *" $what "* ]] || fail "cannot do '$what': want engine, images, recipes, one of ${on_first_use[*]}, or nothing"
		wanted=("$what")
		;;
	esac
	only_one
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	log=$(cache_dir)/setup.log
	: >"$log"
	see_to_engine
	if [ "$what" != engine ]; then see_to_images "${wanted[@]}"; fi
	[ "${wanted[*]}" = "${recipes[*]}" ] || return 0
	step "$started" "engine ready: Docker $(docker version --format '{{.Server.Version}}')"
}

main "$@"
