#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches Debian's cloud kernels without installing them: kernels.sh OUTDIR SUITE...
# The mirrors are those of this machine's apt; it keeps its lists in OUTDIR, so that the
# machine's own stay as they are. What is there already is not fetched again. A suite that
# cannot be had is left out and said so; none at all is an error.
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
if ! command -v apt-get >/dev/null; then
	echo "kernels.sh: no apt-get here; put Debian's linux-image-*.deb into $out, each as SUITE_PACKAGE.deb" >&2
	exit 1
fi
key=/usr/share/keyrings/debian-archive-keyring.gpg
mirrors=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' | sort -u)
if [ -z "$mirrors" ]; then
	echo "kernels.sh: apt knows no mirror of Debian; run apt-get update" >&2
	exit 1
fi
fetch() { # SUITE
	mkdir -p "$out/apt/lists/partial" "$out/apt/archives/partial"
	: > "$out/apt/status"
	: > "$out/apt/sources.list"
	for m in $mirrors; do
		case $m in
		*security*) echo "deb [signed-by=$key] $m $1-security main" ;;
		*) echo "deb [signed-by=$key] $m $1 main" ;;
		esac >> "$out/apt/sources.list"
	done
	suite=$1
	set -- -q -o Dir::Etc::sourcelist="$out/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State::lists="$out/apt/lists" -o Dir::State::status="$out/apt/status" \
		-o Dir::Cache="$out/apt" -o Dir::Cache::archives="$out/apt/archives" -o APT::Sandbox::User=root
	apt-get "$@" update || return 1
	package=$(apt-cache "$@" depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2; exit}')
	[ -n "$package" ] || return 1
	(cd "$out/apt" && apt-get "$@" download "$package") || return 1
	mv "$out/apt/$package"_*.deb "$out/${suite}_$package.deb"
}
for suite in "$@"; do
	ls "$out/$suite"_*.deb >/dev/null 2>&1 && continue
	fetch "$suite" || echo "kernels.sh: no kernel of $suite to be had" >&2
done
ls "$out"/*_*.deb
