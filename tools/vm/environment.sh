#!/usr/bin/env bash
# Runs in the virtual machine: makes ~/venv, an environment like .venv, from the folders src and site.
set -euo pipefail
cd "$HOME"
python3 -m venv --without-pip venv
printf '%s\n' "$HOME/src/src" "$HOME/site" >"$(echo venv/lib/python3*/site-packages)/shipped.pth"
for name in mcp mcp-client; do
    printf '#!%s\nimport sys\nfrom mcp_client.cli.main import main\nsys.exit(main())\n' "$HOME/venv/bin/python" >"venv/bin/$name"
    chmod +x "venv/bin/$name"
done
