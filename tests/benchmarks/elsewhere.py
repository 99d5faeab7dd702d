"""The same measurements where a user has a session of systemd's: in the virtual machine of the tests.

The machine is emulated, so times are long and only their ratios mean something.
"""

import json
import os
import subprocess
import tempfile

from kit.build import PROJECT
from measure import Scale
from peers import Found
from subjects import World
from table import Table

# Not memory: an ordinary user may not see that of a sandbox's init.
_PARTS = ("warm",)
_TURNS = 5
_SECONDS = 600
_NO_REPORT = 125


def measure_elsewhere(world: World, found: Found, scale: Scale) -> list[Table]:
    """The tables of the machine, or one that says why there are none."""
    script = os.path.join(PROJECT, "tools", "vm", "bench.sh")
    turns = str(_TURNS if scale.share == 1 else 2)
    with tempfile.TemporaryDirectory() as folder:
        command = ["bash", script, folder, *_PARTS, "--servers", "C,Python", "--turns", turns]
        env = {**os.environ, "MCP_VM_SECONDS": str(_SECONDS)}
        try:
            done = subprocess.run(
                command, env=env, capture_output=True, text=True, check=False, timeout=_SECONDS + 300
            )
            with open(os.path.join(folder, "bench.json"), encoding="utf-8") as file:
                answer = json.load(file)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            reason = f"it did not report within {_SECONDS} s"
            if not isinstance(error, subprocess.TimeoutExpired) and done.returncode != _NO_REPORT:
                reason = (done.stderr.strip().splitlines() or [type(error).__name__])[-1]
            return [Table("In a virtual machine", f"Not measured: {reason}", ("by",), [])]
    facts = answer["machine"]
    missing = "; ".join(f"{name}: {reason}" for name, reason in answer["missing"].items())
    tables = []
    for found_table in answer["tables"]:
        table = Table(**found_table)
        note = (
            f"{table.note} Linux {facts['kernel'].split()[1]} with systemd, emulated, as an ordinary user in "
            f"a login session: only the ratios mean something. Left out: {missing}."
        )
        tables.append(table._replace(title=f"{table.title}, in a virtual machine", note=note))
    return tables
