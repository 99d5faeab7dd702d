"""What a server may use of the host where nothing can be mounted: each path is itself, with fewer rights.

An allowlist like that of the full sandbox. Of /proc it holds single files, the server's own ("self") and
harmless ones of the machine: a folder would bring the tables of the host's network and mounts with it.
"""

import os
from collections.abc import Iterable

from mcp_client.errors import MCPError
from mcp_client.policy.model import Folder
from mcp_client.sandbox.linux import layout
from mcp_client.sandbox.spec import Bind

_ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf")
_PROC = (
    *("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version"),
    *("sys/kernel/ngroups_max", "sys/kernel/osrelease", "sys/vm/overcommit_memory"),
    *("self/auxv", "self/cgroup", "self/cmdline", "self/comm", "self/environ", "self/fd", "self/fdinfo"),
    *("self/io", "self/limits", "self/maps", "self/schedstat", "self/smaps", "self/smaps_rollup"),
    *("self/stat", "self/statm", "self/status"),
)


def plan_access(
    *,
    tree: str,
    data: str | None,
    scratch: str,
    runtimes: Iterable[str],
    folders: Iterable[Folder],
    executable_scratch: bool,
    compiled: str | None = None,
) -> tuple[Bind, ...]:
    """Everything with a path that the server may use; ``source`` and ``target`` are the same.

    ``scratch`` does not exist yet. Raises ``mount-refused`` for a folder that is to appear elsewhere.
    """
    places = (*layout.system(), *layout.host_etc(), *layout.devices())
    writable = [scratch] if data is None else [scratch, data]
    paths = (*_ACCOUNTS, *(f"/proc/{name}" for name in _PROC))
    return (
        # What is a link there is one here, and leads to a place that is named as well.
        *(place for place in places if isinstance(place, Bind)),
        *(Bind(path, path, executable=False) for path in paths if os.path.exists(path)),
        Bind(tree, tree),
        *([] if compiled is None else [Bind(compiled, compiled, executable=False)]),
        *(Bind(path, path, writable=True, executable=executable_scratch) for path in writable),
        *(Bind(path, path) for path in runtimes),
        *(_granted(folder, executable=executable_scratch) for folder in folders),
    )


def _granted(folder: Folder, *, executable: bool) -> Bind:
    layout.check_target(folder.inside)
    if os.path.realpath(folder.inside) != os.path.realpath(folder.host):
        raise MCPError(
            "mount-refused",
            f"{folder.host} cannot appear at {folder.inside}: the weaker sandbox cannot rename folders",
            hint=f"mount it where it is: {folder.host}:{folder.host}",
        )
    return Bind(
        folder.host,
        folder.inside,
        folder.writable,
        executable or not folder.writable,
        granted=True,
        identity=folder.identity,
    )
