#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the kernel half for both machines. Needs clang (14 or newer) and llvm-strip only.
# Usage: generate.sh [OUTDIR]   (default: beside this file)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
for pair in x86:amd64 arm64:arm64; do
	target=${pair%%:*} goarch=${pair##*:}
	(cd "$here/bpf" && clang -O2 -g -target bpf -mcpu=v3 "-D__TARGET_ARCH_$target" \
		-Wall -Werror -Wno-unused-function -fdebug-compilation-dir=. \
		-c kernel.bpf.c -o "$out/kernel_$goarch.o")
	llvm-strip -g "$out/kernel_$goarch.o"
done
