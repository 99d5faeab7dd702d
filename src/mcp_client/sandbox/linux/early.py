"""A sandbox that is begun before it is known for whom: it stands ready while we still read and decide.

Making namespaces takes the kernel as long as reading a package's manifest and policy takes us, so both are
done at once. What is to be built follows on a pipe, and until then nothing of it is any server's: it is
dropped where it does not suit, and ends with us.
"""

from __future__ import annotations

import os
import select

from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING
from mcp_client.sandbox.linux import libc
from mcp_client.sandbox.linux.launcher import LinuxProcess
from mcp_client.sandbox.linux.layout import likely_binds
from mcp_client.sandbox.linux.orders import Orders, write_orders
from mcp_client.sandbox.spec import Bind

if TYPE_CHECKING:
    from typing import NoReturn

    from mcp_client.sandbox.channel import Channel
    from mcp_client.sandbox.linux.filters import Filters
    from mcp_client.sandbox.spec import SandboxSpec


class EarlyProcess(LinuxProcess):
    """The processes; build() makes it a server's, and it is a LinuxProcess like any other from then on."""

    def __init__(self) -> None:
        """Fork, and wait for nothing; for a process without threads. Raises OSError."""
        self._source, orders = os.pipe()
        way_out, egress = libc.make_message_sockets()
        way_in, ingress = libc.make_message_sockets()
        self._passages = way_out, way_in
        self._orders = open(orders, "wb", buffering=0)  # noqa: SIM115  closed when they are complete
        self._met = 0
        try:
            self._fork(egress=egress, ingress=ingress)
        except BaseException:
            self._orders.close()
            os.close(egress)
            os.close(ingress)
            raise
        finally:
            for end in (self._source, *self._passages):
                os.close(end)

    def advance(self) -> None:
        """Do our part of what they do, as far as they have come. Raises like build()."""
        if self._met == 0 and self._has_come():
            self._map_porter()
        if self._met == 1 and self._has_come():
            self._meet_init()

    def suits(self, spec: SandboxSpec) -> bool:
        """Not what has folders that root shows as their owner's: such mounts are made before a fork."""
        granted = any(isinstance(operation, Bind) and operation.granted for operation in spec.mounts)
        return not (granted and os.geteuid() == 0)

    def build(self, spec: SandboxSpec, filters: Filters) -> LinuxProcess:
        """Tell what to build. Raises like the constructor of LinuxProcess."""
        self._spec = spec
        if spec.way is None and self.egress is not None:
            os.close(self.egress)
            self.egress = None
        if spec.port is None and self.ingress is not None:
            os.close(self.ingress)
            self.ingress = None
        try:
            if self._met == 0:
                self._map_porter()
            if self._met == 1:
                self._meet_init()
            write_orders(self._orders.fileno(), spec, filters)
            # Only at the end of file they begin to build.
            self._orders.close()
            self._enter_group()
        except BaseException:
            self.drop()
            raise
        return self

    def drop(self) -> None:
        """End them: nobody needs them."""
        self._orders.close()
        self._abandon()

    def _has_come(self) -> bool:
        poll = select.poll()
        poll.register(self._setup, select.POLLIN)
        return bool(poll.poll(0))

    def _map_porter(self) -> None:
        super()._map_porter()
        self._met = 1

    def _meet_init(self) -> None:
        super()._meet_init()
        self._met = 2
        # It goes on to the place where it needs its orders.
        self._say()

    def _run_child(self, channel: Channel, supervisor: int) -> NoReturn:
        self._orders.close()
        # Only here: what the child needs we do not, and two import in the time of one. Whether anything is to
        # lead out or in is not known yet, and once it is, Python's own files may be out of its reach.
        from mcp_client.sandbox.linux import exits, ingress  # noqa: F401
        from mcp_client.sandbox.linux.init import run_child

        orders = Orders(source=self._source, likely=likely_binds(), passages=self._passages)
        run_child(orders, channel, supervisor)


class HeadStart:
    """At most one EarlyProcess, for the one server that this program runs."""

    def __init__(self) -> None:
        """Begin; where not even a process can be forked, whoever launches in earnest will tell."""
        try:
            self._process: EarlyProcess | None = EarlyProcess()
        except OSError:
            self._process = None

    def advance(self) -> None:
        """To be called now and then; what fails is left to a launch in earnest, which tells why."""
        if self._process is not None:
            try:
                self._process.advance()
            except MCPError:
                self.drop()

    def take(self, spec: SandboxSpec) -> EarlyProcess | None:
        """The process if it suits ``spec``, which is to build it then; otherwise it is gone."""
        process, self._process = self._process, None
        if process is not None and not process.suits(spec):
            process.drop()
            return None
        return process

    def drop(self) -> None:
        """Nothing will be launched, or not soon."""
        process, self._process = self._process, None
        if process is not None:
            process.drop()
