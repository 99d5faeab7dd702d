import subprocess
import sys

CODE = """
import sys
before = set(sys.modules)  # an installation may import what it likes at start-up
import mcp_client.manifest.model, mcp_client.manifest.entrypoint, mcp_client.manifest.expand
import mcp_client.manifest.constraint
names = "pydantic yaml ipaddress dataclasses pathlib asyncio subprocess mcp_client.manifest.schema".split()
print(*(name for name in names if name in set(sys.modules) - before))
"""


def test_a_remembered_manifest_needs_no_checker():
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
