#!/usr/bin/env bash
# Installs the Debian packages that tests need and a region's own set-up does not.
set -euo pipefail
packages=(bzip2 chromium-headless-shell debian-archive-keyring gcc libc6-dev make postgresql haproxy nftables iproute2 mmdebstrap libseccomp-dev pkg-config)
missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing ${missing[*]}"
apt-get update -qq
# RUNLEVEL=1: the packages' services stay stopped, tests start their own.
RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
