import subprocess
import sys

CODE = """
import sys
before = set(sys.modules)  # an installation may import what it likes at start-up
import mcp_client.manifest.model, mcp_client.manifest.entrypoint, mcp_client.manifest.expand
import mcp_client.manifest.constraint
names = "pydantic pydantic_core yaml ipaddress dataclasses pathlib asyncio subprocess".split()
names += ["mcp_client.manifest.schema"]
print(*(name for name in names if name in set(sys.modules) - before))
"""


def test_a_remembered_manifest_needs_no_checker():
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_a_pull_checks_without_the_classes_of_pydantic():
    code = "import sys, mcp_client.registry.https, mcp_client.manifest.parse; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = run.stdout.split()
    assert "pydantic_core" in modules
    assert "pydantic" not in modules
