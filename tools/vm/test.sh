#!/usr/bin/env bash
# test.sh [PYTEST ARGUMENT...]: the security suite and the acceptance of the limits, in a virtual machine, as uid 1000.
# Ships this tree, its dependencies for the machine's Python, and the attack programs, which need a compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
say() { printf 'vm: %s\n' "$*" >&2; }
(($#)) || set -- tests/security tests/vm

build=.build/vm
mkdir -p "$build"
site=$build/site-$(sha256sum pyproject.toml | cut -c1-16)
if [[ ! -d "$site" ]]; then
    say "fetching the dependencies for the machine's Python ..."
    mapfile -t packages < <(.venv/bin/python tools/vm/requirements.py)
    rm -rf "$site.new"
    .venv/bin/python -m pip install -qq --target "$site.new" --only-binary :all: --implementation cp \
        --python-version 3.11 --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 "${packages[@]}"
    mv "$site.new" "$site"
fi
programs=$build/programs
rm -rf "$programs"
.venv/bin/python tests/security/arena/programs.py --into "$programs"
tar -cf "$build/files.tar" --owner=1000 --group=1000 --exclude=__pycache__ --transform='s|^|src/|' \
    src tests docs tools pyproject.toml README.md Makefile
tar -rf "$build/files.tar" --owner=1000 --group=1000 -C "$site" --transform='s|^\.|site|' .
tar -rf "$build/files.tar" --owner=1000 --group=1000 -C "$programs" --transform='s|^\.|programs|' .
bash tools/vm/run.sh -t "${MCP_VM_SECONDS:-1500}" "$build/files.tar" bash src/tools/vm/inside.sh "$@"
