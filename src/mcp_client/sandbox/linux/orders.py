"""What a launch is to build: known when its processes are forked, or sent to them by a pipe afterwards.

The pipe leads from a process to its own child and to nobody else, so what comes out of it is what was put in.
"""

from __future__ import annotations

import marshal
import os

from mcp_client.light import NamedTuple
from mcp_client.policy.model import Limits
from mcp_client.sandbox.linux.filters import Filters
from mcp_client.sandbox.spec import Bind, File, Freeze, Link, Proc, SandboxSpec, Sysctl, Tmpfs, Way

_OPERATIONS = (Bind, Tmpfs, Proc, File, Link, Sysctl, Freeze)
_CHUNK = 1 << 16


class Orders(NamedTuple):
    """Both values, or the descriptor that they will come from and what is ``likely`` to be in them.

    ``passages`` are init's ends of what leads out and in, where it was not known before the fork whether
    anything does.
    """

    spec: SandboxSpec | None = None
    filters: Filters | None = None
    source: int | None = None
    likely: tuple[Bind, ...] = ()
    passages: tuple[int, int] | None = None

    def await_complete(self) -> tuple[SandboxSpec, Filters]:
        """Both values. The process ends when nobody is left to send them."""
        if self.spec is not None and self.filters is not None:
            return self.spec, self.filters
        data = b""
        while chunk := os.read(-1 if self.source is None else self.source, _CHUNK):
            data += chunk
        if not data:
            os._exit(1)
        return _unpack(data)


def write_orders(target: int, spec: SandboxSpec, filters: Filters) -> None:
    """Send both to the child that holds the other end; it reads until ``target`` is closed.

    A child that is gone has left a message on its setup pipe, which is read next.
    """
    left = memoryview(_pack(spec, filters))
    try:
        while left:
            left = left[os.write(target, left) :]
    except BrokenPipeError:
        return


def _pack(spec: SandboxSpec, filters: Filters) -> bytes:
    mounts = tuple((_OPERATIONS.index(type(operation)), tuple(operation)) for operation in spec.mounts)
    world = (tuple(spec.argv), dict(spec.environment), spec.directory, mounts, tuple(spec.limits))
    way = None if spec.way is None else (tuple(spec.way.names), tuple(spec.way.networks))
    return marshal.dumps((*world, spec.subprocess, way, spec.port, tuple(filters)))


def _unpack(data: bytes) -> tuple[SandboxSpec, Filters]:
    argv, environment, directory, mounts, limits, subprocess, way, port, filters = marshal.loads(data)  # noqa: S302
    return SandboxSpec(
        argv=argv,
        environment=environment,
        directory=directory,
        mounts=tuple(_OPERATIONS[kind](*fields) for kind, fields in mounts),
        limits=Limits(*limits),
        subprocess=subprocess,
        way=None if way is None else Way(*way),
        port=port,
    ), Filters(*filters)
