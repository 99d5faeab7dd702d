#!/usr/bin/env bash
# bench.sh FOLDER [ARGUMENT...]: the benchmarks in the virtual machine, as uid 1000 in a session of systemd's. Their JSON
# comes back as FOLDER/bench.json. The machine is emulated: only ratios mean something.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
site=$(bash tools/vm/site.sh)
compiler=$(command -v musl-gcc || command -v gcc)
"$compiler" -static -O2 -o "$work/server" tests/benchmarks/programs/server.c
tar -cf "$work/files.tar" --owner=1000 --group=1000 --exclude=__pycache__ --transform='s|^|src/|' src tests tools pyproject.toml
tar -rf "$work/files.tar" --owner=1000 --group=1000 -C "$site" --transform='s|^\.|site|' .
tar -rf "$work/files.tar" --owner=1000 --group=1000 -C "$work" server
# shellcheck disable=SC2016 # it is expanded in the machine
bash tools/vm/run.sh -t "${MCP_VM_SECONDS:-600}" -o "$out" "$work/files.tar" bash -c 'set -e
    bash src/tools/vm/environment.sh
    mkdir -p out
    MCP_BENCH_COMPILED=$HOME/server venv/bin/python src/tests/benchmarks "$@" --json >out/bench.json' bench "$@" >&2
