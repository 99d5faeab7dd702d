"""Build the product's own sandbox around one program and bring back what it wrote."""

import errno
import functools
import json
import os
import select
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from subprocess import run as run_process
from typing import Any, NamedTuple

from mcp_client.executor.egress import Egress
from mcp_client.network.addresses import Address, parse_address
from mcp_client.network.decide import RuleSet
from mcp_client.network.engine.engine import Engine
from mcp_client.network.engine.resolve import look_up
from mcp_client.network.linux.own import OwnAddresses
from mcp_client.network.rules import parse_rule
from mcp_client.policy.model import DEFAULT_LIMITS, Folder, Limits, NetworkPolicy, Policy
from mcp_client.runtimes.command import Command
from mcp_client.runtimes.find import Host, Runtime, find_runtime
from mcp_client.sandbox.linux.backend import LinuxBackend
from mcp_client.sandbox.linux.early import HeadStart
from mcp_client.sandbox.linux.launcher import LinuxProcess
from mcp_client.sandbox.spec import Bind, Control, ProcessExit, SandboxSpec

SMALL = DEFAULT_LIMITS._replace(memory=64 << 20)

# The attempt either returns what it got hold of, or fails; both are reported, so that silence is no success.
_FRAME = """
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(*arguments):
    "A raw system call; raises OSError."
    result = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
target = json.loads(sys.argv[1])
def attempt():
{body}
try:
    print(json.dumps({{"got": attempt()}}))
except (OSError, MemoryError, ValueError, RuntimeError) as error:
    number = getattr(error, "errno", None)
    name = errno.errorcode.get(number, type(error).__name__)
    print(json.dumps({{"refused": name}}))
"""


class Report(NamedTuple):
    """What an attempt said: exactly one of ``got`` (JSON) and ``refused`` (an errno's name) is not None."""

    got: Any
    refused: str | None


class Inside(NamedTuple):
    """How one sandboxed program ended, what it wrote to its two outputs, and what happened to it."""

    exit: ProcessExit
    output: bytes
    errors: bytes
    happenings: tuple[str, ...]
    controls: tuple[Control, ...]
    network: list[dict[str, object]]


class Outside:
    """What a server may reach: rules as text, and a name service that knows ``names``, or the host's own.

    ``denials`` are the lines a user would see, ``asked`` the names that left the sandbox.
    """

    def __init__(
        self,
        allow: Sequence[str],
        deny: Sequence[str] = (),
        names: Mapping[str, Sequence[str]] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._allow, self._deny = tuple(map(parse_rule, allow)), tuple(map(parse_rule, deny))
        self._environment = dict(environment or {})
        self.names = names
        self.asked: list[str] = []
        self.denials: list[str] = []

    def policy(self) -> NetworkPolicy:
        """The same as a policy."""
        return NetworkPolicy(self._allow, self._deny)

    def open(self, process: LinuxProcess) -> Egress:
        """What decides for ``process``, as the product has it."""
        assert process.egress is not None
        rules = RuleSet(self._allow, self._deny, own=OwnAddresses())
        ask = look_up if self.names is None else self._look_up
        return Egress(process.egress, Engine(rules, self.denials.append, self._environment, ask))

    def _look_up(self, name: str) -> list[Address]:
        self.asked.append(name)
        found = [parse_address(text) for text in (self.names or {}).get(name, ())]
        if not found:
            raise OSError(errno.ENOENT, "name not known")
        return [address for address in found if address is not None]


@functools.cache
def python_runtime() -> Runtime:
    """The interpreter that servers get on this host."""
    with tempfile.TemporaryDirectory() as folder:
        return find_runtime("python3", None, Host({}, os.environ, os.path.join(folder, "memo")))


def python_command(*arguments: str) -> Command:
    """A command for that interpreter."""
    runtime = python_runtime()
    return Command((runtime.executable, *arguments), runtime.paths, ())


def run_inside(program: str, arguments: Iterable[str] = (), **options: Any) -> Inside:
    """Execute Python source text in a sandbox as a server would be; ``options`` as for run_command()."""
    return run_command(python_command("-I", "-c", program, *arguments), **options)


def run_command(
    command: Command,
    *,
    subprocess: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    folders: Iterable[Folder] = (),
    environment: Mapping[str, str] | None = None,
    tree: str | None = None,
    data: str | None = None,
    standard: Mapping[int, int] | None = None,
    outside: Outside | None = None,
    early: bool = True,
) -> Inside:
    """Execute ``command`` in a sandbox; ``standard`` puts descriptors of the host in the place of 0 to 2.

    ``outside`` is what may be reached. It is begun ``early``, as by ``mcp run``, wherever that suits.
    """
    network = NetworkPolicy() if outside is None else outside.policy()
    policy = Policy(dict(environment or {}), subprocess, limits, tuple(folders), (), network)
    with tempfile.TemporaryDirectory() as empty:
        os.chmod(empty, 0o755)
        spec = LinuxBackend(filter_folder()).plan(command, policy, tree=tree or empty, data=data)
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            with placed({1: write, **(standard or {})}):
                os.close(write)
                process = _launch(spec, early=early)
        except BaseException:
            os.close(read)
            raise
        egress = None if outside is None else outside.open(process)
        try:
            output, errors, happenings = _follow(process, read, egress)
        finally:
            os.close(read)
            os.close(process.diagnostics)
            record = [] if egress is None else egress.close()
        return Inside(process.collect(), output, errors, happenings, process.controls, record)


def _launch(spec: SandboxSpec, *, early: bool) -> LinuxProcess:
    granted = any(isinstance(operation, Bind) and operation.granted for operation in spec.mounts)
    suits = spec.port is None and not (granted and os.geteuid() == 0)
    head_start = HeadStart() if early and suits else None
    try:
        process = LinuxBackend(filter_folder(), head_start).launch(spec)
    finally:
        if head_start is not None:
            head_start.drop()
    process.await_ready()
    process.release()
    return process


def filter_folder() -> str:
    """Where compiled filters are kept for all tests of this user; compiling costs 60 ms."""
    return os.path.join(tempfile.gettempdir(), f"filters-of-tests-{os.geteuid()}")


@contextmanager
def placed(descriptors: Mapping[int, int]) -> Iterator[None]:
    """For a while, ``descriptors``: number -> what stands there."""
    saved = {number: os.dup(number) for number in descriptors}
    try:
        for number, descriptor in descriptors.items():
            os.dup2(descriptor, number)
        yield
    finally:
        for number, descriptor in saved.items():
            os.dup2(descriptor, number)
            os.close(descriptor)


def _follow(
    process: LinuxProcess, output: int, egress: Egress | None
) -> tuple[bytes, bytes, tuple[str, ...]]:
    """Read both outputs until the server has ended and neither has more to say."""
    poll = select.poll()
    if egress is not None:
        egress.watch(poll)
    read: dict[int, list[bytes]] = {output: [], process.diagnostics: []}
    for descriptor in (*read, process.events):
        poll.register(descriptor, select.POLLIN)
    happenings = []
    left = {*read, process.events}
    while left:
        due = None if egress is None else egress.due_at
        ready = dict(poll.poll(None if due is None else max(0.0, due - time.monotonic()) * 1000 + 1))
        if egress is not None:
            egress.move(poll, ready)
        for descriptor in left.intersection(ready):
            if descriptor == process.events:
                happened = process.next_event()
                happenings.append(happened)
                done = happened == "ended"
            else:
                data = os.read(descriptor, 1 << 16)
                read[descriptor].append(data)
                done = not data
            if done:
                poll.unregister(descriptor)
                left.remove(descriptor)
    return b"".join(read[output]), b"".join(read[process.diagnostics]), tuple(happenings)


def attempt_inside(body: str, target: Any = None, **options: Any) -> Report:
    """Run the body of ``attempt()`` in the sandbox."""
    inside = run_inside(_program(body), [json.dumps(target)], **options)
    assert inside.output, f"the attempt said nothing: {inside}"
    return _report(inside.output)


def attempt_outside(body: str, target: Any = None) -> Report:
    """Run the same body without a sandbox, as the user who runs the tests."""
    argv = [sys.executable, "-I", "-c", _program(body), json.dumps(target)]
    done = run_process(argv, capture_output=True, check=False, timeout=250)
    assert done.stdout, done.stderr.decode()
    return _report(done.stdout)


def _program(body: str) -> str:
    return _FRAME.format(body=textwrap.indent(textwrap.dedent(body).strip(), "    "))


def _report(output: bytes) -> Report:
    answer = json.loads(output.splitlines()[-1])
    return Report(answer.get("got"), answer.get("refused"))
