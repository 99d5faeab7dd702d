#!/usr/bin/env bash
# test.sh [PYTEST ARGUMENT...]: the security suite and the acceptance of the limits, in a virtual machine, as uid 1000.
# Ships this tree, its dependencies for the machine's Python, and the attack programs, which need a compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
(($#)) || set -- tests/security tests/vm

build=.build/vm
mkdir -p "$build"
site=$(bash tools/vm/site.sh)
programs=$build/programs
rm -rf "$programs"
.venv/bin/python tests/security/arena/programs.py --into "$programs"
tar -cf "$build/files.tar" --owner=1000 --group=1000 --exclude=__pycache__ --transform='s|^|src/|' \
    src tests docs tools pyproject.toml README.md Makefile
tar -rf "$build/files.tar" --owner=1000 --group=1000 -C "$site" --transform='s|^\.|site|' .
tar -rf "$build/files.tar" --owner=1000 --group=1000 -C "$programs" --transform='s|^\.|programs|' .
bash tools/vm/run.sh -t "${MCP_VM_SECONDS:-1500}" "$build/files.tar" bash src/tools/vm/inside.sh "$@"
