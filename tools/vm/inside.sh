#!/usr/bin/env bash
# Runs in the virtual machine: pytest in an environment of what test.sh shipped.
set -euo pipefail
cd "$HOME"
bash src/tools/vm/environment.sh
export MCP_TEST_PROGRAMS="$HOME/programs"
cd src
../venv/bin/python -m pytest -n 2 -p no:cacheprovider --timeout 240 "$@"
