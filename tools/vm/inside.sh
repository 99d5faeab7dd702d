#!/usr/bin/env bash
# Runs in the virtual machine: an environment like .venv from what test.sh shipped, and pytest in it.
set -euo pipefail
cd "$HOME"
python3 -m venv --without-pip venv
printf '%s\n' "$HOME/src/src" "$HOME/site" >"$(echo venv/lib/python3*/site-packages)/shipped.pth"
for name in mcp mcp-client; do
    printf '#!%s\nimport sys\nfrom mcp_client.cli.main import main\nsys.exit(main())\n' "$HOME/venv/bin/python" >"venv/bin/$name"
    chmod +x "venv/bin/$name"
done
export MCP_TEST_PROGRAMS="$HOME/programs"
cd src
../venv/bin/python -m pytest -n 2 -p no:cacheprovider --timeout 240 "$@"
