"""Call ``mcp`` again and again in forked children, each with its own fault. Runs with the shim preloaded.

Standard input has one job a line, standard output one answer a line, both JSON. A job: ``environment``,
``arguments``, and ``folder``, ``at``, ``action``, ``sticky`` for the shim. An answer: ``status`` (negative
for a signal), ``count`` of the calls the shim saw (None after a kill), ``stdout`` and ``stderr``.
"""

import ctypes
import importlib
import json
import os
import sys
import tempfile
from typing import Any

# Imported once here, not in each child.
MODULES = (
    "app cli.cache cli.pull cli.run cli.verify cache.evict cache.heal cache.inventory cache.publish logs "
    "manifest.parse pipeline registry.client registry.directory config.file"
)


def main() -> None:
    """Answer jobs until there are no more."""
    for name in MODULES.split():
        try:
            importlib.import_module(f"mcp_client.{name}")
        except ImportError:
            continue
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as told:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.environ.update(job["environment"])
            status = call(job, told.fileno())
            os._exit(status)
        _, waited = os.waitpid(child, 0)
        read = [os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace") for file in (out, err, told)]
    return {
        "status": os.waitstatus_to_exitcode(waited),
        "count": int(read[2]) if read[2] else None,
        "stdout": read[0],
        "stderr": read[1],
    }


def call(job: dict[str, Any], told: int) -> int:
    """``mcp`` with a fault, as its console script would call it."""
    from mcp_client.cli.main import main as mcp

    sys.stdin = open(os.devnull)  # noqa: SIM115
    shim = ctypes.CDLL(None)
    sys.argv = ["mcp", *job["arguments"]]
    shim.fault_arm(job["folder"].encode(), ctypes.c_long(job["at"]), job["action"], job["sticky"])
    try:
        status = mcp(job["arguments"])
    except BaseException:  # noqa: BLE001
        import traceback

        traceback.print_exc()
        status = 255
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(told, str(shim.fault_count()).encode())
    return status


if __name__ == "__main__":
    main()
