"""The child's side of the launch: from a plain fork to the server's first instruction.

Three processes take part. The *porter* leaves the host's namespaces and forks; the *init* is pid 1 of the
new pid namespace, builds the world, and stays to forward signals and reap; the *server* is its child. Every
step is applied before the server's exec; a step that fails is reported and everything exits. Nothing is
imported once the root is swapped.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import select
import struct

from mcp_client.light import TYPE_CHECKING, signal
from mcp_client.sandbox.channel import FORWARDED_SIGNALS, StepError, await_word, report_failure, step
from mcp_client.sandbox.linux import libc, mounts, privileges
from mcp_client.sandbox.linux.gate import Gatekeeper, receive_listener
from mcp_client.sandbox.linux.identity import HOSTNAME, INNER_ID, clone_as_owner
from mcp_client.sandbox.linux.metering import Meter
from mcp_client.sandbox.linux.population import Namespace
from mcp_client.sandbox.linux.reaper import Reaper
from mcp_client.sandbox.linux.server import Confinement, become_server
from mcp_client.sandbox.spec import Bind, Tmpfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn

    from mcp_client.sandbox.channel import Channel
    from mcp_client.sandbox.linux.filters import Filters
    from mcp_client.sandbox.linux.orders import Orders
    from mcp_client.sandbox.linux.population import Population
    from mcp_client.sandbox.spec import SandboxSpec

_NAMESPACES = (
    libc.CLONE_NEWUSER
    | libc.CLONE_NEWNS
    | libc.CLONE_NEWPID
    | libc.CLONE_NEWNET
    | libc.CLONE_NEWIPC
    | libc.CLONE_NEWUTS
)
# Any folder that every Linux host has; the new root hides it only in a namespace that ends with the launch.
_ANCHOR = "/dev"
_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x41


def run_child(orders: Orders, channel: Channel, supervisor: int) -> NoReturn:
    """Entered right after the fork; never returns."""
    run_steps(lambda: _become_porter(orders, channel, supervisor), channel)


def run_steps(steps: Callable[[], None], channel: Channel) -> NoReturn:
    """The outermost frame of a forked child: whatever fails is reported, and the process ends."""
    status = 1
    try:
        try:
            steps()
            status = 0
        except StepError as failure:
            report_failure(channel, failure.stage, failure.error)
        except BaseException as error:  # noqa: BLE001  the last frame of this process: anything else must fail closed
            report_failure(channel, type(error).__name__, OSError(0, str(error)))
        if status:
            # A group that is being made around us is taken down when it empties, not when it stays empty.
            _await_hang_up(channel.control)
    finally:
        os._exit(status)


def _await_hang_up(control: int) -> None:
    while os.read(control, 1):
        pass


def _become_porter(orders: Orders, channel: Channel, supervisor: int) -> None:
    with step("die with the supervisor"):
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            raise ProcessLookupError(errno.ESRCH, "the supervisor is gone")
        os.setsid()
    with step("offer the server first when memory runs out"):
        offer_to_the_oom_killer()
    clones: dict[int, int] = {}
    if os.geteuid() == 0:
        with step("map granted folders"):
            clones = {} if orders.spec is None else _clone_granted(orders.spec)
        with step("leave the host's groups"):
            os.setgroups([])
    with step("create namespaces"):
        libc.unshare(_NAMESPACES)
    with step("map the user"):
        os.write(channel.setup, b"unshared\n")
        await_word(channel.control)
    with step("fork init"):
        init = os.fork()
    if init:
        os.write(channel.setup, f"init\t{init}\n".encode())
        return
    _become_init(orders, channel, clones)


def offer_to_the_oom_killer() -> None:
    """Of all the user's programs the server goes first: limits per process do not bound shared memory."""
    # Bytes: by now our own Python may be out of sight, with the codecs it did not need so far.
    with open("/proc/self/oom_score_adj", "wb") as file:
        file.write(b"1000")


def _clone_granted(spec: SandboxSpec) -> dict[int, int]:
    clones = {}
    for index, operation in enumerate(spec.mounts):
        if isinstance(operation, Bind) and operation.granted:
            clone = clone_as_owner(operation.source)
            if clone is not None:
                mounts.check_identity(clone, operation)
                clones[index] = clone
    return clones


def _become_init(orders: Orders, channel: Channel, clones: dict[int, int]) -> None:
    # The porter's end is what the supervisor waits for before this word: only then is the supervisor our
    # parent, and a parent-death signal asked for earlier would be the porter's.
    await_word(channel.control)
    # A signal for a pid 1 without a handler is dropped, but a blocked one waits (signal(7)): none is lost
    # between the server's start and our readiness to forward.
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS)
    with step("die with the supervisor"):
        _die_with_supervisor(channel.control)
    with step("bring up loopback"):
        _bring_up_loopback()
        libc.sethostname(HOSTNAME)
    with step("open mount sources"):
        libc.make_mounts_private()
        likely = mounts.clone_likely(orders.likely)
    spec, filters = orders.await_complete()
    with step("open the way out"):
        if orders.passages is not None:
            channel = _take_passages(channel, spec, *orders.passages)
        if channel.exits is not None:
            channel.exits.open()
    with step("open mount sources"):
        mounts.clone_sources(spec.mounts, clones, likely)
    with step("become an unprivileged user"):
        os.setresgid(INNER_ID, INNER_ID, INNER_ID)
        os.setresuid(INNER_ID, INNER_ID, INNER_ID)
    with step("build the root"):
        os.umask(0o022)
        root = mounts.Root(_ANCHOR)
        root.build(spec.mounts, clones)
    with step("enter the root"):
        root.enter()
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    with step("refuse user namespaces"):
        _assert_no_user_namespace()
    with step("hide the place among cgroups"):
        # The supervisor has put us where the server is to be; only now is that the root of what can be seen.
        held = await_word(channel.control)
        libc.unshare(libc.CLONE_NEWCGROUP)
    with step("drop privileges"):
        os.umask(0o077)
        privileges.lock_meaning_of_root()
        privileges.drop_privileges()
        # Credentials changed, which cleared the parent-death signal (prctl(2)) and made us dumpable or not
        # by a system-wide setting: pid 1 holds the operator's environment and must never be readable.
        _die_with_supervisor(channel.control)
        libc.prctl(libc.PR_SET_DUMPABLE, 0)
        _hide_command_line()
    server, gate = fork_server(spec, filters, channel, held, Confinement())
    scratch = (op.target for op in spec.mounts if isinstance(op, Tmpfs) and op.writable)
    keep_server(spec, channel, (server, gate), held, Namespace(scratch), null)


def _take_passages(channel: Channel, spec: SandboxSpec, way_out: int, way_in: int) -> Channel:
    """Our ends, for a server that was not known before the fork."""
    # Imported already: here Python's own files may be out of reach.
    from mcp_client.sandbox.linux.exits import Exits
    from mcp_client.sandbox.linux.ingress import Entrance

    if spec.way is None:
        os.close(way_out)
    else:
        channel = channel._replace(exits=Exits(spec.way, way_out))
    if spec.port is None:
        os.close(way_in)
    else:
        channel = channel._replace(entrance=Entrance(way_in))
    return channel


def fork_server(
    spec: SandboxSpec, filters: Filters, channel: Channel, held: int, confinement: Confinement
) -> tuple[int, int]:
    """The server's process id and our end of the socket that brings the gate's listener."""
    with step("fork the server"):
        ours, theirs = (end.detach() for end in _socket.socketpair())
        server = os.fork()
    if server == 0:
        become_server(spec, filters, channel, confinement, gate=theirs, held=held)
    os.close(theirs)
    return server, ours


def keep_server(
    spec: SandboxSpec,
    channel: Channel,
    forked: tuple[int, int],
    held: int,
    population: Population,
    null: int,
    kept: Iterable[int] = (),
) -> NoReturn:
    """Init's life from here on; ``forked`` is from fork_server(), ``kept`` stays open until the end."""
    server, gate = forked
    listener = receive_listener(gate)
    processes = spec.limits.processes if spec.subprocess else None
    keeper = None if listener is None else Gatekeeper(listener, processes, population, channel.exits)
    meter = Meter(spec.limits, held, population, server)
    Reaper(server, channel, keeper, meter, population, kept).run(null)


def _die_with_supervisor(control: int) -> None:
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    if hung_up(control):
        os._exit(1)


def hung_up(descriptor: int) -> bool:
    """Whether nobody is left at the other end of a pipe."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))


def _bring_up_loopback() -> None:
    endpoint = libc.open_network_socket()
    fcntl.ioctl(endpoint, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))
    os.close(endpoint)


def _assert_no_user_namespace() -> None:
    try:
        libc.unshare(libc.CLONE_NEWUSER)
    except OSError:
        return
    raise PermissionError(errno.EPERM, "a further user namespace could be created")


def _hide_command_line() -> None:
    """Blank our copy of the supervisor's arguments, which /proc/1/cmdline would show to the server."""
    with open("/proc/self/stat", encoding="utf-8") as file:
        # proc_pid_stat(5): fields 48 and 49, counted after the name, which may hold anything.
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    libc.fill_memory(start, end - start)
