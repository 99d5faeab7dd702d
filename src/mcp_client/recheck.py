"""The process that revalidate.py starts: asks the registry about one package, notes the answer, ends.

It has seen nothing of the session, and whatever happens to it, the session goes on. Only an answer that will
refuse the next run is told; trouble with the network is a matter for the debug log.
"""

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from mcp_client.app import App
from mcp_client.audit import events
from mcp_client.errors import MCPError
from mcp_client.reference import PackageReference, parse_reference
from mcp_client.standing import weigh

_MOST_SECONDS = 90
_MOST_MEMORY = 512 << 20
_NICER = 5


def main(given: Mapping[str, Any]) -> None:
    """Settle down as a process of its own, and ask."""
    _settle(given["parent"])
    app = App(given["overrides"])
    try:
        recheck(app, parse_reference(given["reference"]), given["run_id"])
    except Exception as error:  # noqa: BLE001  nobody waits for it
        _tell(app, error)


def recheck(app: App, reference: PackageReference, run_id: str) -> None:
    """Ask the registry about a known package; tell and record what will refuse its next run.

    Raises MCPError for everything else that goes wrong.
    """
    try:
        weigh(app.cache.resolutions, app.registry.resolve(reference))
    except MCPError as error:
        if error.code not in {"version-moved", "package-revoked"}:
            raise
        app.log.warning(f"{error.message}; the server runs on, and the next run is refused")
        app.audit.append(
            events.status(
                run_id,
                reference=str(reference),
                registry=app.registry_url,
                code=error.code,
                message=error.message,
            )
        )


def _settle(parent: int) -> None:
    """Hold nothing of the session but standard error, die with the parent, and never take long."""
    if sys.platform == "win32":
        from mcp_client.windows.processes import leave_with_parent

        leave_with_parent(_MOST_SECONDS)
        return
    import resource

    if sys.platform == "linux":
        from mcp_client.sandbox.linux import libc

        libc.close_all_but(0, 1, 2)
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    for number in (signal.SIGINT, signal.SIGALRM):
        # Silent: an interrupted interpreter would print where it was.
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.alarm(_MOST_SECONDS)
    os.nice(_NICER)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hard == resource.RLIM_INFINITY or hard > _MOST_MEMORY:
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
    if os.getppid() != parent:
        # It ended before its death could be heard of.
        sys.exit(0)


def _tell(app: App, error: Exception) -> None:
    try:
        app.log.debug("the registry could not be asked about the package", error=str(error))
    except Exception:  # noqa: BLE001  not even the settings can be read
        return
