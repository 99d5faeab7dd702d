#!/usr/bin/env bash
# Prints a folder with what the project and its tests need, for the virtual machine's Python; it is fetched once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
site=.build/vm/site-$(sha256sum pyproject.toml | cut -c1-16)
if [[ ! -d "$site" ]]; then
    mkdir -p .build/vm
    echo "vm: fetching the dependencies for the machine's Python ..." >&2
    mapfile -t packages < <(.venv/bin/python tools/vm/requirements.py)
    rm -rf "$site.new"
    .venv/bin/python -m pip install -qq --target "$site.new" --only-binary :all: --implementation cp \
        --python-version 3.11 --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 "${packages[@]}"
    mv "$site.new" "$site"
fi
echo "$site"
