#!/bin/bash
# Makes a minimal Debian root as a tar file, from packages: build.sh OUT MIRROR SECURITY_MIRROR
set -euo pipefail
out=$1 mirror=$2 security=$3
cd "$(dirname "${BASH_SOURCE[0]}")"

include=()
case $mirror$security in *https:*) include=(--include=ca-certificates) ;; esac

mmdebstrap --quiet --variant=minbase ${include[@]+"${include[@]}"} \
	--aptopt='Acquire::Languages "none"' --dpkgopt=dpkg.cfg \
	--customize-hook='upload apt.conf /etc/apt/apt.conf.d/90image' \
	--customize-hook='chmod 0644 "$1/etc/apt/apt.conf.d/90image"' \
	--customize-hook='rm -f "$1/etc/resolv.conf" "$1/etc/hostname"' \
	bookworm "$out" \
	"deb $mirror bookworm main" "deb $mirror bookworm-updates main" "deb $security bookworm-security main"

# mmdebstrap has a policy-rc.d of its own and removes it at the end, so ours comes after.
tar --append --file "$out" --transform 's,^,./usr/sbin/,' --owner=0 --group=0 --mode=0755 policy-rc.d
