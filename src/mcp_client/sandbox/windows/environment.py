"""The environment of a server on Windows: what was given, and a base without which no program starts."""

import os
from collections.abc import Mapping

from mcp_client.errors import MCPError, printable

# Found by DLLs, sockets and runtimes; they name the system, and nobody.
_SYSTEM = (
    "ALLUSERSPROFILE",
    "COMMONPROGRAMFILES",
    "COMMONPROGRAMFILES(X86)",
    "COMMONPROGRAMW6432",
    "COMSPEC",
    "NUMBER_OF_PROCESSORS",
    "OS",
    "PATHEXT",
    "PROCESSOR_ARCHITECTURE",
    "PROGRAMDATA",
    "PROGRAMFILES",
    "PROGRAMFILES(X86)",
    "PROGRAMW6432",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "WINDIR",
)


def base_environment(
    host: Mapping[str, str], *, system: str, home: str, programs: tuple[str, ...]
) -> dict[str, str]:
    """What every server gets. ``system`` is System32, ``home`` its own folder, ``programs`` lead its PATH."""
    found = {name: host[name] for name in _SYSTEM if name in host}
    temporary = os.path.join(home, "Temp")
    roaming, local = os.path.join(home, "AppData", "Roaming"), os.path.join(home, "AppData", "Local")
    drive, tail = os.path.splitdrive(home)
    return {
        **found,
        "APPDATA": roaming,
        "HOME": home,
        "HOMEDRIVE": drive,
        "HOMEPATH": tail,
        "LOCALAPPDATA": local,
        "PATH": os.pathsep.join(dict.fromkeys((*programs, system, os.path.dirname(system)))),
        # On a pipe Python would speak the machine's code page, and MCP is UTF-8.
        "PYTHONUTF8": "1",
        "TEMP": temporary,
        "TMP": temporary,
        "TMPDIR": temporary,
        "USERNAME": "mcp",
        "USERPROFILE": home,
    }


def merge(base: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """``given`` over ``base``; names are the same whatever their case."""
    merged = {name.upper(): (name, value) for name, value in base.items()}
    merged.update({name.upper(): (name, value) for name, value in given.items()})
    return dict(merged.values())


def environment_block(environment: Mapping[str, str]) -> str:
    """Name=value, each ended by NUL and all by another one, sorted as the system expects them.

    Raises ``env-refused`` for what would become another variable.
    """
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise MCPError(
                "env-refused",
                f"not a variable: {printable(name, 60)!r}",
                hint="leave it out of the environment",
            )
    ordered = sorted(environment.items(), key=lambda item: item[0].upper())
    return "".join(f"{name}={value}\0" for name, value in ordered) + "\0"
