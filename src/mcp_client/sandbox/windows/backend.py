"""The Windows sandbox as the pipeline sees it: a Job Object, a restricted token, private folders."""

import os

from mcp_client.errors import MCPError, printable
from mcp_client.policy.model import Policy
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.spec import Bind, Control, SandboxSpec, Way
from mcp_client.sandbox.windows.environment import base_environment, merge
from mcp_client.sandbox.windows.process import WindowsProcess
from mcp_client.sandbox.windows.scratch import new_path, open_to_server, takes_low_writers
from mcp_client.windows.places import system_folder


class WindowsBackend:
    """One process tree in a job, as this user without rights, among the user's own files and processes."""

    def __init__(self, cache: str) -> None:
        """Private folders of servers are made below ``cache``."""
        self._store = os.path.join(os.path.realpath(cache), "scratch")

    def bundle_path(self, tree: str) -> str:
        """The folder itself."""
        return os.path.realpath(tree)

    def data_path(self, data: str) -> str:
        """The folder itself, which servers of low integrity may write from now on."""
        real = os.path.realpath(data)
        try:
            open_to_server(real)
        except OSError as error:
            raise MCPError(
                "sandbox-unavailable",
                f"the server's data folder {printable(real)} cannot be closed to others: {error.strerror}",
                hint="set MCP_HOME to a folder on a local NTFS disk",
            ) from error
        return real

    def compiled_path(self, compiled: str) -> str:
        """The folder itself."""
        return os.path.realpath(compiled)

    def listening_port(self, port: int) -> int:
        """The manifest's own; plan() refuses such a server."""
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
        """The plan for ``command``; ``tree``, ``data`` and ``compiled`` are folders of the host.

        Raises ``sandbox-unavailable`` for a server that listens, and ``mount-refused`` for folders that
        cannot be given here.
        """
        if port is not None:
            raise MCPError(
                "sandbox-unavailable",
                "servers that listen are not run on Windows: every program here could connect to their port",
                hint="run it on Linux or macOS, or a version that speaks over standard input and output",
            )
        for folder in policy.folders:
            _refuse_unreachable(folder.host, folder.inside, writable=folder.writable)
        home = new_path(self._store)
        binds = [Bind(tree, tree), Bind(home, home, writable=True)]
        binds += [] if data is None else [Bind(data, data, writable=True)]
        binds += [] if compiled is None else [Bind(compiled, compiled)]
        binds += [Bind(f.host, f.inside, f.writable, granted=True) for f in policy.folders]
        base = base_environment(os.environ, system=system_folder(), home=home, programs=command.programs)
        return SandboxSpec(
            argv=(_program(command.argv[0]), *command.argv[1:]),
            environment=merge(base, policy.environment),
            directory=self.bundle_path(tree),
            mounts=tuple(binds),
            limits=policy.limits,
            subprocess=policy.subprocess,
            way=_asked_for(policy),
        )

    def forecast(self, policy: Policy, port: int | None = None) -> tuple[Control, ...]:  # noqa: ARG002
        """What holds for a server with this policy: a whole sandbox is built, and nothing executed in it."""
        shell = os.path.join(system_folder(), "cmd.exe")
        home = new_path(self._store)
        environment = base_environment(os.environ, system=system_folder(), home=home, programs=())
        spec = SandboxSpec(
            (shell,),
            environment,
            system_folder(),
            (),
            policy.limits,
            policy.subprocess,
            _asked_for(policy),
        )
        process = WindowsProcess(spec, home)
        try:
            process.await_ready()
        finally:
            process.kill()
        return process.controls

    def launch(self, spec: SandboxSpec) -> WindowsProcess:
        """Create the server suspended; it waits until release()."""
        return WindowsProcess(spec, self._scratch_of(spec))

    def _scratch_of(self, spec: SandboxSpec) -> str:
        return next(
            bind.source
            for bind in spec.mounts
            if isinstance(bind, Bind) and os.path.dirname(bind.source) == self._store
        )


def _asked_for(policy: Policy) -> Way | None:
    """Nothing leads anywhere here, but what was asked for belongs into the report."""
    return Way((), ()) if policy.network.allow else None


def _program(path: str) -> str:
    r"""With backslashes: cmd.exe takes what follows a slash for an option."""
    return os.path.normpath(path)


def _refuse_unreachable(host: str, inside: str, *, writable: bool) -> None:
    if os.path.normcase(host) != os.path.normcase(inside):
        raise MCPError(
            "mount-refused",
            f"on Windows a folder is seen where it is, not at {printable(inside)}",
            hint=f"write --mount {printable(host)}",
        )
    if writable and os.path.isdir(host) and not takes_low_writers(host):
        raise MCPError(
            "mount-refused",
            f"{printable(host)} cannot be written by a server of low integrity",
            hint=f'label it for that once, and for good: icacls "{printable(host)}" /setintegrity (OI)(CI)L',
        )
