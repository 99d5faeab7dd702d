"""What ``mcp doctor`` looks at beside the sandbox: the machine, the user's files, the registry."""

import errno
import os
import platform
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mcp_client import platforms, system
from mcp_client.app import EMBEDDED_REGISTRY, App
from mcp_client.config.units import format_size
from mcp_client.errors import MCPError, printable
from mcp_client.reference import parse_reference

# So that a registry that hangs does not make the doctor hang.
_REGISTRY_SECONDS = 5.0
_LEAST_SPACE = 1_000_000_000
_RUNTIMES = ("python3", "node")
# A reference nobody can publish at a real registry; being told so is the answer we look for.
_NOBODY = "mcp-client/doctor@0.0.0"
_REACHED = frozenset({"package-not-found", "registry-rejected"})


class Probe(NamedTuple):
    """What was looked at, whether it works, what was seen, what mends it, and whether every run needs it."""

    control: str
    works: bool
    detail: str
    mend: str | None
    required: bool


def check_machine() -> Iterator[Probe]:
    """Checks that need no settings."""
    yield Probe("python", True, f"{platform.python_version()} at {sys.executable}", None, required=True)
    yield Probe("platform", True, f"{platforms.current()}, {platform.release()}", None, required=True)


def check_settings(app: App) -> Probe:
    """Whether the configuration is valid; the other checks need it."""

    def look() -> str:
        return app.settings.config_file or "no file; the defaults hold"

    return _attempt("configuration", look)


def check_user(app: App) -> Iterator[Probe]:
    """Checks of the user's files, the registry and the runtimes; each really tries."""
    settings = app.settings
    yield _home(settings.home)
    yield _attempt("cache", lambda: _writable_folder(settings.cache.dir))
    yield _space(settings.cache.dir)
    yield _attempt("audit log", lambda: _audit_file(settings.audit.file))
    yield _audit_chain(app)
    yield _attempt("credentials", lambda: _credentials(app))
    yield _registry(app)
    names = dict.fromkeys((*_RUNTIMES, *settings.runtimes))
    yield from (_runtime(app, name) for name in names)


def _attempt(control: str, look: Callable[[], str]) -> Probe:
    """``look`` answers what was seen, or raises what is wrong."""
    try:
        return Probe(control, True, look(), None, required=True)
    except MCPError as error:
        return Probe(control, False, error.message, error.hint, required=True)
    except OSError as error:
        detail = f"{printable(str(error.filename or ''))}: {error.strerror}"
        return Probe(control, False, detail, "mend its permissions or the disk", required=True)


def _home(home: str) -> Probe:
    probe = _attempt("home folder", lambda: _writable_folder(home))
    if not probe.works or not os.path.isdir(home):
        return probe
    folder = system.open_fd(home, os.O_RDONLY | system.O_CLOEXEC)
    own, exposed = system.is_own(folder), system.exposure(folder)
    os.close(folder)
    if not own:
        detail, mend = f"{home} belongs to another user", "set MCP_HOME to a folder of your own"
        return Probe("home folder", False, detail, mend, required=True)
    if exposed & 2:
        detail, mend = f"{home} can be changed by other users", f"chmod go-w {home}"
        return Probe("home folder", False, detail, mend, required=True)
    return probe


def _writable_folder(folder: str) -> str:
    """Write a file there, or where the folder would be made."""
    there = folder
    while not os.path.isdir(there):
        if os.path.lexists(there):
            raise MCPError("cache-unwritable", f"{there} is not a folder", hint=f"move {there} away")
        there = os.path.dirname(there)
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".mcp-doctor-"):
            return folder if there == folder else f"{folder} will be made"
    except OSError as error:
        raise MCPError(
            "cache-unwritable",
            f"{there} cannot be written: {error.strerror}",
            hint=f"make {there} writable for you, or name another folder",
        ) from error


def _space(folder: str) -> Probe:
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    free = shutil.disk_usage(folder).free
    works = free >= _LEAST_SPACE
    mend = None if works else "free some, or name another folder as cache.dir"
    return Probe("free space", works, f"{format_size(free)} for the cache", mend, required=False)


def _audit_file(path: str) -> str:
    _writable_folder(os.path.dirname(path))
    if os.path.lexists(path):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        # Opened to append and closed again: no record is made of a look.
        os.close(system.open_fd(path, os.O_WRONLY | os.O_APPEND | system.O_NOFOLLOW))
    return path


def _audit_chain(app: App) -> Probe:
    if os.path.lexists(app.settings.audit.file) and not os.path.isfile(app.settings.audit.file):
        return Probe("audit chain", False, "no file", "name a file as audit.file", required=False)
    chain = app.audit.verify()
    if not chain.problems:
        return Probe("audit chain", True, f"{chain.records} records, intact", None, required=False)
    more = f", and {len(chain.problems) - 1} more" if len(chain.problems) > 1 else ""
    mend = "find out who changed it; move the file away to begin a new chain"
    return Probe("audit chain", False, printable(chain.problems[0]) + more, mend, required=False)


def _credentials(app: App) -> str:
    origins = app.credentials.origins()
    return f"tokens for {printable(', '.join(origins))}" if origins else "none stored"


def _registry(app: App) -> Probe:
    url = app.registry_url
    shown = "the embedded one" if url == EMBEDDED_REGISTRY else printable(url)
    try:
        _ask_registry(app, url)
    except MCPError as error:
        if error.code not in _REACHED:
            # What is cached runs without it.
            return Probe("registry", False, error.message, error.hint, required=False)
    return Probe("registry", True, shown, None, required=False)


def _ask_registry(app: App, url: str) -> None:
    from mcp_client.registry.client import open_registry

    limits = app.settings.registry
    client = open_registry(
        url,
        settings=limits._replace(timeout=min(_REGISTRY_SECONDS, limits.timeout)),
        credentials=app.credentials,
        dialect=None,
        on_dialect=lambda _dialect: None,
    )
    client.resolve(parse_reference(_NOBODY))


def _runtime(app: App, name: str) -> Probe:
    from mcp_client.runtimes.find import Host, find_runtime

    memo = os.path.join(app.settings.cache.dir, "runtimes.memo")
    try:
        runtime = find_runtime(name, None, Host(app.settings.runtimes, os.environ, memo))
    except MCPError as error:
        # Only packages that use it need it.
        return Probe(f"runtime {name}", False, error.message, error.hint, required=False)
    version = ".".join(map(str, runtime.version)) or "of unknown version"
    return Probe(f"runtime {name}", True, f"{version} at {runtime.executable}", None, required=False)
