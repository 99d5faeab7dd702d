"""The official clients, each driven by a small script that knows nothing of this project."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kit.build import built, npm_install, virtual_environment

SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients")
NAMES = ("python-1", "python-2", "typescript-1", "typescript-2")


class Session(NamedTuple):
    """What a client reported, and how each process it spawned ended.

    ``seen`` counts what the server sent beside its answers: progress, sampled, elicited.
    """

    revision: str
    server: str
    tools: list[str]
    results: list[Any]  # one a call: {"text": str, "error": bool}
    seen: dict[str, int]
    statuses: list[int]
    stderr: str


def drive(
    name: str,
    command: Sequence[str],
    calls: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    env: Mapping[str, str],
    status_file: str,
) -> Session:
    """Connect the client ``name`` to ``command``, list the tools, make the calls, close.

    ``env`` is the complete environment of the command. The exit status of each process the client spawned is
    observed by ``clients/status.py`` between the two, which passes signals on.
    """
    observer = [sys.executable, "-I", "-S", os.path.join(SCRIPTS, "status.py"), status_file]
    report = _run(name, {"command": [*observer, *command], "calls": list(calls), "env": dict(env)})
    with open(status_file) as opened:
        statuses = [int(line) for line in opened]
    return report._replace(statuses=statuses)


def visit(
    name: str, url: str, calls: Sequence[tuple[str, Mapping[str, Any]]], *, token: str | None = None
) -> Session:
    """The same over streamable HTTP; at the end the client ends its session, where there is one."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return _run(name, {"url": url, "headers": headers, "calls": list(calls)})


def _run(name: str, task: Mapping[str, Any]) -> Session:
    done = subprocess.run(
        _client(name), input=json.dumps(task), capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise AssertionError(f"{name} failed with {done.returncode}:\n{done.stderr[-6000:]}")
    return Session(**json.loads(done.stdout), statuses=[], stderr=done.stderr)


def _client(name: str) -> list[str]:
    """The command of one driver script; builds the SDK's home when it is not there."""
    if name.startswith("python"):
        requirement = {"python-1": "mcp>=1.20,<2", "python-2": "mcp>=2.3,<3"}[name]
        home = built(f"sdk-{name}", [requirement], lambda folder: virtual_environment(folder, requirement))
        return [f"{home}/bin/python", f"{SCRIPTS}/{name.replace('-', '_')}.py"]
    packages = {
        "typescript-1": "@modelcontextprotocol/sdk@1",
        "typescript-2": "@modelcontextprotocol/client@2",
    }
    home = built(f"sdk-{name}", [packages[name]], lambda folder: npm_install(folder, packages[name]))
    # Node looks for packages beside the script, not in NODE_PATH, when the script is a module.
    return ["node", f"{SCRIPTS}/{name.replace('-', '_')}.mjs", home]
