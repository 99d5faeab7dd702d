"""Settings, as the rest of the program sees them: complete, typed and absolute.

``None`` means "no limit" for a limit, "never" for a time, and the embedded registry for ``registry.url``.
The defaults here are the documented ones; ``docs/config.example.yaml`` repeats them.
"""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_client.choices import LogFormat, LogLevel, OnMissing


LOG_LEVELS: tuple[LogLevel, ...] = ("debug", "info", "warning", "error")


class RegistrySettings(NamedTuple):
    """Where packages come from: times in seconds, sizes in bytes.

    ``timeout`` is for each read, and ``download_timeout`` for a whole artifact with all tries. ``token`` is
    the environment's and belongs to ``configured``, the registry that environment and file name, whatever a
    flag or a lock file says. ``revalidate`` are the seconds after which a running ``mcp`` asks again how a
    package stands.
    """

    url: str | None = None
    connect_timeout: float = 10.0
    timeout: float = 30.0
    download_timeout: float = 1800.0
    configured: str | None = None
    token: str | None = None
    ca_file: str | None = None
    insecure: bool = False
    offline: bool = False
    revalidate: float | None = 86_400.0
    max_manifest: int = 10_000_000
    max_bundle: int = 100_000_000

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{k}={v!r}" for k, v in self._replace(token=self.token and "***")._asdict().items()
        )
        return f"RegistrySettings({shown})"


class CacheSettings(NamedTuple):
    """The content store. Sizes in bytes; ``ttl`` in seconds since the last use."""

    dir: str
    max_size: int = 10_000_000_000
    ttl: float | None = None
    max_unpacked: int = 1_000_000_000
    max_entries: int = 100_000


class ExecutorSettings(NamedTuple):
    """Caps on every server: seconds, bytes, thousandths of a core, counts; ``grace`` before a SIGKILL.

    A server that listens has ``start_timeout`` to answer, and is ended when it was idle for ``idle_timeout``.
    ``compile`` is whether packages are compiled beside their first run.
    """

    default_timeout: float | None = None
    max_memory: int | None = None
    max_cpu: int | None = None
    max_processes: int | None = None
    max_fds: int | None = None
    grace: float = 5.0
    start_timeout: float = 60.0
    idle_timeout: float | None = None
    compile: bool = True


class PolicySettings(NamedTuple):
    """What the operator withholds: names of variables (globs), child processes, hosts.

    ``network_allow`` is what manifests may ask for, ``"*"`` for every name and every public address;
    ``network_bound`` is the same list of the machine's policy file, which binds grants as well.
    """

    environment_deny: tuple[str, ...] = ()
    subprocess: bool = True
    network_allow: tuple[str, ...] = ("*",)
    network_deny: tuple[str, ...] = ()
    network_bound: tuple[str, ...] | None = None


class SandboxSettings(NamedTuple):
    """What happens on a host that cannot enforce a wall of the sandbox."""

    on_missing: OnMissing = "refuse"


class AuditSettings(NamedTuple):
    """The audit log: rotated before it would exceed ``max_size`` bytes, ``keep`` old files stay."""

    file: str
    max_size: int = 10_000_000
    keep: int = 5


class LogSettings(NamedTuple):
    """What the program says on stderr."""

    level: LogLevel = "warning"
    format: LogFormat = "text"


class Settings(NamedTuple):
    """Everything; ``config_file`` is the file that was read, ``runtimes`` maps names to absolute paths."""

    home: str
    config_file: str | None
    registry: RegistrySettings
    cache: CacheSettings
    executor: ExecutorSettings
    policy: PolicySettings
    sandbox: SandboxSettings
    audit: AuditSettings
    log: LogSettings
    runtimes: Mapping[str, str]
