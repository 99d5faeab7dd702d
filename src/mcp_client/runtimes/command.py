"""From an entrypoint to the exact program, arguments and host paths it takes."""

from __future__ import annotations

import os
import stat

from mcp_client import system
from mcp_client.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, MCPError, printable
from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.private import lies_in
from mcp_client.runtimes.find import find_runtime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_client.manifest.model import Entrypoint
    from mcp_client.runtimes.find import Host, Runtime

_SHEBANG_SIZE = 256


class Command(NamedTuple):
    """``argv`` as seen inside the sandbox, host ``paths`` to show, and folders for the server's PATH."""

    argv: tuple[str, ...]
    paths: tuple[str, ...]
    programs: tuple[str, ...]


class Interpreter(NamedTuple):
    """The host's program, known by ``name``, that runs a server's code, and the ``arguments`` of its line."""

    name: str
    runtime: Runtime
    arguments: tuple[str, ...] = ()


def find_interpreter(
    entrypoint: Entrypoint, constraints: Mapping[str, str], *, tree: str, host: Host
) -> Interpreter | None:
    """What runs ``entrypoint``; None for a program that the bundle, unpacked as ``tree``, brings itself.

    Raises ``runtime-*`` and ``entrypoint-*``.
    """
    name, arguments = entrypoint.command, tuple[str, ...]()
    if "/" in entrypoint.command:
        named, arguments = _interpreter(check_file(tree, entrypoint.command))
        if named is None:
            return None
        name = named
    return Interpreter(name, find_runtime(name, _constraint(name, constraints), host), arguments)


def resolve_command(
    entrypoint: Entrypoint,
    required: tuple[str, ...],
    interpreter: Interpreter | None,
    *,
    bundle: str,
    host: Host,
) -> Command:
    """The command of ``entrypoint``, by its ``interpreter``; ``bundle`` is the path where the server sees it.

    Raises ``command-missing``.
    """
    runtimes = [] if interpreter is None else [interpreter.runtime]
    runtimes += [_required(name, host) for name in required]
    argv = () if interpreter is None else (interpreter.runtime.executable, *interpreter.arguments)
    if "/" in entrypoint.command:
        argv = (*argv, os.path.normpath(os.path.join(bundle, entrypoint.command)))
    return Command(
        argv=(*argv, *entrypoint.args),
        paths=tuple(dict.fromkeys(path for runtime in runtimes for path in runtime.paths)),
        programs=tuple(dict.fromkeys(os.path.dirname(runtime.executable) for runtime in runtimes)),
    )


def check_file(tree: str, command: str) -> str:
    """The host path of a program in the bundle; it must exist, be a file, be executable and stay inside."""
    path = os.path.normpath(os.path.join(tree, command))
    real, root = os.path.realpath(path), os.path.realpath(tree)
    if not lies_in(real, root):
        raise MCPError(
            "entrypoint-unsafe",
            f"the entrypoint {printable(command)} leads out of the bundle",
            hint="nothing was run; tell the package's author",
            run_status=EXIT_NOT_EXECUTABLE,
        )
    try:
        mode = os.stat(real).st_mode
    except OSError:
        raise MCPError(
            "entrypoint-missing",
            f"the bundle has no file {printable(command)}",
            hint="tell the package's author: manifest and bundle do not agree",
            run_status=EXIT_NOT_FOUND,
        ) from None
    if not stat.S_ISREG(mode) or (system.KEEPS_MODES and not mode & 0o111):
        raise MCPError(
            "entrypoint-not-executable",
            f"{printable(command)} in the bundle is not an executable file",
            hint="tell the package's author: its mode in the archive lacks the execute bit",
            run_status=EXIT_NOT_EXECUTABLE,
        )
    return real


def _interpreter(file: str) -> tuple[str | None, tuple[str, ...]]:
    """The program behind ``#!/usr/bin/env NAME``: found on the host, not on the sandbox's small PATH."""
    with open(file, "rb") as script:
        line, _, _ = script.read(_SHEBANG_SIZE).partition(b"\n")
    if not line.startswith(b"#!"):
        return None, ()
    words = line[2:].decode(errors="replace").split()
    if not words or os.path.basename(words[0]) != "env":
        return None, ()
    words = [word for word in words[1:] if word != "-S"]
    return (words[0], tuple(words[1:])) if words and "/" not in words[0] else (None, ())


def _constraint(name: str, constraints: Mapping[str, str]) -> str | None:
    """``python3`` and ``python3.12`` are constrained under ``python``, unless named themselves."""
    return constraints.get(name) or constraints.get(name.rstrip("0123456789."))


def _required(name: str, host: Host) -> Runtime:
    try:
        return find_runtime(name, None, host)
    except MCPError as error:
        raise MCPError(
            "command-missing",
            f"the package needs the command {printable(name)}, and this host has none",
            hint=error.hint,
            run_status=EXIT_NOT_FOUND,
        ) from None
