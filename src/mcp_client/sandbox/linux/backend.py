"""The Linux sandbox as the pipeline sees it: plan, controls, launch."""

from __future__ import annotations

import fcntl
import os
import stat

from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.channel import step
from mcp_client.sandbox.linux import layout, libc
from mcp_client.sandbox.linux.filters import Profile, load_filters
from mcp_client.sandbox.linux.launcher import LinuxProcess
from mcp_client.sandbox.spec import SandboxSpec

if TYPE_CHECKING:
    from mcp_client.policy.model import Policy
    from mcp_client.sandbox.linux.early import HeadStart
    from mcp_client.sandbox.spec import Control, MountOperation

_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


class World(NamedTuple):
    """Where a server lives: what it has of the host, and its own folders as it sees them."""

    mounts: tuple[MountOperation, ...]
    directory: str
    home: str
    temporary: str


class LinuxBackend:
    """Namespaces, seccomp and rlimits, without root."""

    def __init__(self, filter_folder: str, head_start: HeadStart | None = None) -> None:
        """``filter_folder`` keeps compiled system call filters; ``head_start`` is used where it suits."""
        self._filter_folder = filter_folder
        self._head_start = head_start

    def bundle_path(self, tree: str) -> str:  # noqa: ARG002  it does not depend on the host
        """A path of the sandbox's own."""
        return layout.BUNDLE

    def data_path(self, data: str) -> str:  # noqa: ARG002
        """A path of the sandbox's own."""
        return layout.DATA

    def compiled_path(self, compiled: str) -> str:  # noqa: ARG002
        """A path of the sandbox's own."""
        return layout.COMPILED

    def listening_port(self, port: int) -> int:
        """The same: the server has a network of its own."""
        return port

    def plan(
        self,
        command: Command,
        policy: Policy,
        *,
        tree: str,
        data: str | None,
        port: int | None = None,
        compiled: str | None = None,
    ) -> SandboxSpec:
        """The world for ``command``; ``tree``, ``data`` and ``compiled`` are folders of the host."""
        way = None
        if policy.network.allow:
            from mcp_client.sandbox.linux.way import way_to

            way = way_to(policy.network.allow)
        listening = port is not None
        world = self._world(command, policy, tree=tree, data=data, listening=listening, compiled=compiled)
        base = {
            "HOME": world.home,
            "LANG": "C.UTF-8",
            "LOGNAME": layout.USER,
            "PATH": ":".join(dict.fromkeys((*command.programs, *_PATH))),
            "TMPDIR": world.temporary,
            "USER": layout.USER,
        }
        return SandboxSpec(
            argv=command.argv,
            environment={**base, **policy.environment},
            directory=world.directory,
            mounts=world.mounts,
            limits=policy.limits,
            subprocess=policy.subprocess,
            way=way,
            port=port,
        )

    def forecast(self, policy: Policy, port: int | None = None) -> tuple[Control, ...]:
        """What holds for a server with this policy: a whole sandbox is built, and nothing executed in it."""
        from mcp_client.sandbox.linux.probes import list_failures

        policy = policy._replace(environment={}, folders=())
        # Any folder does for a bundle that nobody looks into.
        try:
            spec = self.plan(Command(("/bin/true",), (), ()), policy, tree="/usr", data=None, port=port)
            process = self.launch(spec)
            process.await_ready()
        except MCPError as error:
            return list_failures(self._filter_folder, error)
        process.kill()
        process.collect()
        return process.controls

    def launch(self, spec: SandboxSpec) -> LinuxProcess:
        """Fork and start building; the server waits behind its gate until release()."""
        prepare_descriptors(inherited=spec.port is None)
        filters = load_filters(self._filter_folder, Profile(spec.subprocess, exits=spec.way is not None))
        if step.watch is not None:
            step.watch("load the compiled filters")
        early = None if self._head_start is None else self._head_start.take(spec)
        return LinuxProcess(spec, filters) if early is None else early.build(spec, filters)

    def _world(
        self,
        command: Command,
        policy: Policy,
        *,
        tree: str,
        data: str | None,
        listening: bool,
        compiled: str | None,
    ) -> World:
        name_service = None
        if policy.network.allow:
            from mcp_client.network.pool import NAME_SERVICE

            name_service = str(NAME_SERVICE.v4)
        mounts = layout.plan_mounts(
            tree=tree,
            data=data,
            runtimes=command.paths,
            folders=policy.folders,
            limits=policy.limits,
            executable_scratch=policy.subprocess,
            name_service=name_service,
            listening=listening,
            compiled=compiled,
        )
        return World(mounts, layout.BUNDLE, layout.HOME, "/tmp")  # noqa: S108  the sandbox's own


def prepare_descriptors(*, inherited: bool = True) -> None:
    """Look at what a server would inherit. Raises ``sandbox-unavailable`` for what leads out."""
    _occupy_standard_descriptors()
    if not inherited:
        return
    # Standard error is not among them: the server gets a pipe of ours.
    for descriptor in range(2):
        if not _is_confined(descriptor):
            raise MCPError(
                "sandbox-unavailable",
                f"descriptor {descriptor} is {_kind(descriptor)}, and a server could leave its sandbox by it",
                hint="put a pipe in between, for example: cat | mcp run ... | cat",
            )


def _is_confined(descriptor: int) -> bool:
    """Pipes, files, terminals, and local sockets that are connected for good.

    A socket keeps the network namespace it was made in; connected anew, it would lead out of ours, and a
    local datagram socket can send to any other by its name. From a folder one can walk into the host's tree.
    """
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_PATH:
        return False
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        from mcp_client.sandbox.linux.syscalls import AF_UNIX, CONNECTED_TYPES

        return libc.socket_family(descriptor) == AF_UNIX and libc.socket_type(descriptor) in CONNECTED_TYPES
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISCHR(mode)


def _kind(descriptor: int) -> str:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        return "a network socket"
    return "a folder" if stat.S_ISDIR(mode) else "no stream"


def _occupy_standard_descriptors() -> None:
    """A pipe of ours must never become descriptor 0, 1 or 2 because the caller had closed it."""
    while True:
        descriptor = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if descriptor > 2:  # noqa: PLR2004
            os.close(descriptor)
            return
        os.set_inheritable(descriptor, True)
