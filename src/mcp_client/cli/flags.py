"""The options of ``mcp run``, as data: one table for click, which explains them, and for the quick reader."""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCK_FILE = "mcp.lock"


class Flag(NamedTuple):
    """One option: ``field`` of RunFlags that it fills; a switch has no ``metavar``."""

    name: str
    field: str
    help: str
    metavar: str | None = None
    multiple: bool = False
    short: str | None = None
    # What a switch stands for.
    value: str | bool = True
    # Known before a wrong reference is explained.
    early: bool = False


class RunFlags(NamedTuple):
    """What stood on the command line, unparsed."""

    reference: str
    arguments: Sequence[str] = ()
    environment: Sequence[str] = ()
    environment_files: Sequence[str] = ()
    mounts: Sequence[str] = ()
    network: Sequence[str] = ()
    options: Sequence[str] = ()
    timeout: str | None = None
    registry: str | None = None
    offline: str | None = None
    locked: bool = False
    lock: str | None = None
    allow_degraded: bool = False
    timings: bool = False
    verbose: bool = False


RUN_FLAGS = (
    Flag("--env", "environment", "Give a variable.", "KEY=VALUE|KEY", multiple=True),
    Flag("--env-file", "environment_files", "Give those of a file.", "FILE", multiple=True),
    Flag("--mount", "mounts", "Show a file or folder.", "HOST:INSIDE[:ro|rw]", multiple=True),
    Flag("--allow-net", "network", "Open host[:port] or a network.", "RULE", multiple=True),
    Flag("--set", "options", "Set an option of the package.", "NAME=VALUE", multiple=True),
    Flag("--timeout", "timeout", "Stop the server after this time (30s, 5m, 1h).", "TIME"),
    Flag("--registry", "registry", "Resolve at this registry.", "URL", early=True),
    Flag("--offline", "offline", "Use the cache only.", value="on", early=True),
    Flag("--locked", "locked", f"Use exactly what ./{LOCK_FILE} names, and ask no registry."),
    Flag("--lock", "lock", f"Use exactly what FILE names, not ./{LOCK_FILE}.", "FILE"),
    Flag("--allow-degraded", "allow_degraded", "Run even where a wall of the sandbox cannot be enforced."),
    Flag("--timings", "timings", "Tell at the end how long each stage took until the server answered."),
    Flag("--verbose", "verbose", "Tell on standard error what happens.", short="-v"),
)
