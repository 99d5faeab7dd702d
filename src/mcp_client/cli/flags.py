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
    # It takes a number from 0 to this.
    most: int | None = None


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
    port: int | None = None
    host: str | None = None
    token: bool = False
    token_file: str | None = None
    origins: Sequence[str] = ()
    stdio: bool = False
    json: bool = False

    @property
    def listens(self) -> bool:
        """Whether anything is said about where to listen, and for whom."""
        told = (self.host, self.port, self.token_file)
        return self.token or bool(self.origins) or any(one is not None for one in told)


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
    Flag("--port", "port", "Listen there (HTTP servers).", "N", most=65535),
    Flag("--host", "host", "Listen at this address instead of 127.0.0.1.", "ADDRESS"),
    Flag("--token", "token", "Ask clients for a bearer token, and print a new one."),
    Flag("--token-file", "token_file", "Ask for this one (or set MCP_HTTP_TOKEN).", "FILE|-"),
    Flag("--allow-origin", "origins", "Let web pages use it.", "ORIGIN", multiple=True),
    Flag("--stdio", "stdio", "Offer an HTTP server on standard input and output."),
    Flag("--json", "json", "Print a server's URL, or the plan (--dry-run), as JSON."),
)
