"""Choose the host runtime a server needs, and what of the host must be visible for it to run."""

from __future__ import annotations

import os

from mcp_client.errors import EXIT_NOT_FOUND, MCPError, printable
from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.manifest.constraint import matches
from mcp_client.plainjson import dumps, loads
from mcp_client.private import private_place, read_private, write_private
from mcp_client.runtimes.places import candidates, is_runtime

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_LARGEST_MEMO = 1 << 20


class Runtime(NamedTuple):
    """An installed program: the path to execute, its version, and the paths it needs beside /usr.

    ``identity`` is another one when another program is there: times, size, inode and real path of the file.
    """

    executable: str
    version: tuple[int, ...]
    paths: tuple[str, ...]
    identity: str = ""


class Host(NamedTuple):
    """What the search may look at: configured paths by name, the environment, and a file for its memory.

    A runtime that could only be shown together with one of the ``private`` places is passed over.
    """

    configured: Mapping[str, str]
    environ: Mapping[str, str]
    memo: str
    private: tuple[str, ...] = ()


def find_runtime(name: str, constraint: str | None, host: Host) -> Runtime:
    """The first installation of ``name`` that satisfies ``constraint`` (``>=3.11,<3.12``).

    Raises ``runtime-missing`` or ``runtime-version``, both with run status 127.
    """
    configured = host.configured.get(name)
    if configured is not None and not is_runtime(configured):
        raise MCPError(
            "runtime-missing",
            f"runtimes.{name} in the configuration is not an executable: {configured}",
            hint="name the real interpreter, not a shim",
            run_status=EXIT_NOT_FOUND,
        )
    found = []
    for path in (configured,) if configured else candidates(name, host.environ):
        runtime = _examine(path, name, host)
        if runtime is None:
            continue
        if constraint is None or matches(runtime.version, constraint):
            return runtime
        found.append(f"{path} is {'.'.join(map(str, runtime.version)) or 'of unknown version'}")
    if found:
        raise MCPError(
            "runtime-version",
            f"the package needs {name} {constraint}; " + "; ".join(found[:5]),
            hint=f"install a matching one, or name it in the configuration: runtimes: {{{name}: /path}}",
            run_status=EXIT_NOT_FOUND,
        )
    shown = printable(name)
    raise MCPError(
        "runtime-missing",
        f"the package needs the host's {shown}, and there is none",
        hint=f"install {shown}, or name it in the configuration: runtimes: {{{shown}: /path}}",
        run_status=EXIT_NOT_FOUND,
    )


def _examine(path: str, name: str, host: Host) -> Runtime | None:
    """Version and needs of the program at ``path``, remembered by the file's identity; None if it fails."""
    status = os.stat(path)
    identity = [status.st_mtime_ns, status.st_size, status.st_ino, os.path.realpath(path)]
    memory = _read_memo(host.memo)
    known = memory.get(path)
    if isinstance(known, dict) and known.get("identity") == identity:
        answer = known["answer"]
    else:
        from mcp_client.runtimes.examine import examine

        answer = examine(path, name, host.environ)
        memory[path] = {"identity": identity, "answer": answer}
        write_private(host.memo, dumps(memory).encode())
    if answer is None or any(private_place(place, host.private) for place in answer["paths"]):
        return None
    named = " ".join(map(str, identity))
    return Runtime(answer["executable"], tuple(answer["version"]), tuple(answer["paths"]), named)


def _read_memo(path: str) -> dict[str, Any]:
    try:
        memory = loads(read_private(path, _LARGEST_MEMO) or b"{}")
    except ValueError:
        return {}
    return memory if isinstance(memory, dict) else {}
