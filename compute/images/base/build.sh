#!/bin/bash
# Makes a minimal Debian root as a tar file, from packages: build.sh OUT MIRROR SECURITY_MIRROR
set -euo pipefail
out=$1 mirror=$2 security=$3
cd "$(dirname "${BASH_SOURCE[0]}")"

options=()
case $mirror$security in *https:*) options+=(--include=ca-certificates) ;; esac

# With the merged-/usr hook the root needs no usrmerge, which would bring perl.
hooks=/usr/share/mmdebstrap/hooks/merged-usr
[ ! -d "$hooks" ] || options+=(--hook-dir="$hooks" --include=usr-is-merged)

mmdebstrap --quiet --variant=minbase ${options[@]+"${options[@]}"} \
	--aptopt='Acquire::Languages "none"' --dpkgopt=dpkg.cfg \
	--customize-hook='upload apt.conf /etc/apt/apt.conf.d/90image' \
	--customize-hook='chmod 0644 "$1/etc/apt/apt.conf.d/90image"' \
	--customize-hook='rm -f "$1/etc/resolv.conf" "$1/etc/hostname"' \
	bookworm "$out" \
	"deb $mirror bookworm main" "deb $mirror bookworm-updates main" "deb $security bookworm-security main"

# mmdebstrap has a policy-rc.d of its own and removes it at the end, so ours comes after.
tar --append --file "$out" --transform 's,^,./usr/sbin/,' --owner=0 --group=0 --mode=0755 policy-rc.d
