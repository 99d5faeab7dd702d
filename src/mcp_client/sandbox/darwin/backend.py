"""The sandbox of macOS as the pipeline sees it: plan, forecast, launch."""

import _socket
import os
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from mcp_client.errors import MCPError
from mcp_client.policy.model import Folder, Policy
from mcp_client.private import true_path
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.darwin.descriptors import prepare_descriptors
from mcp_client.sandbox.darwin.folders import Folders, Places, new_places
from mcp_client.sandbox.darwin.launcher import DarwinProcess, Launch, WayOut
from mcp_client.sandbox.darwin.limits import resource_limits
from mcp_client.sandbox.darwin.profile import World, build_profile
from mcp_client.sandbox.darwin.server import Start
from mcp_client.sandbox.darwin.table import ProcessTable
from mcp_client.sandbox.spec import Bind, Control, SandboxSpec, Way

SANDBOX_EXEC = "/usr/bin/sandbox-exec"
# Libraries disagree about case; Node looks at them only when it is told to.
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
_PROXY_PLACE = "http://mcp@127.0.0.1"
_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
_USER = "mcp"
_BACKLOG = 128
# Below those that the kernel gives to clients (49152 and up): a connection to one of these, made before the
# server listens, can have that very port as its own, and the server could not have it any more.
_FIRST_PORT, _MOST_PORTS = 20_000, 10_000
_SHEBANG_SIZE = 512
# What bin/python3 of a framework build replaces itself by (Mac/Tools/pythonw.c of CPython).
_FRAMEWORK_PYTHON = "Resources/Python.app/Contents/MacOS/Python"


class Machine(NamedTuple):
    """What of the host does the work: the path of sandbox-exec(1), and the table of processes."""

    launcher: str
    table: ProcessTable


def this_machine() -> Machine:
    """Those of macOS."""
    from mcp_client.sandbox.darwin.libproc import LibprocTable

    return Machine(SANDBOX_EXEC, LibprocTable())


class DarwinBackend:
    """Seatbelt, rlimits and a keeper, without root: the host's own paths, with fewer rights."""

    def __init__(self, cache_folder: str, machine: Machine | None = None) -> None:
        """Private folders are made below ``cache_folder``."""
        self._cache_folder = cache_folder
        self._given = machine

    def bundle_path(self, tree: str) -> str:
        """The folder itself."""
        return true_path(tree, strict=True)

    def data_path(self, data: str) -> str:
        """The folder itself."""
        return true_path(data, strict=True)

    def listening_port(self, port: int) -> int:
        """The server listens on this machine's loopback: at ``port`` if that is free, or at another one."""
        start = int.from_bytes(os.urandom(2), "big") % _MOST_PORTS
        others = (_FIRST_PORT + (start + step) % _MOST_PORTS for step in range(_MOST_PORTS))
        found = next((one for one in chain((port,), others) if _is_free(one)), None)
        if found is None:
            raise MCPError(
                "listen-failed", "no port is free on loopback", hint="end other programs that listen"
            )
        return found

    def compiled_path(self, compiled: str) -> str:
        """The folder itself."""
        return true_path(compiled, strict=True)

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
        bundle = true_path(tree, strict=True)
        places = new_places(self._store())
        writable = [places.home, places.temporary, *([] if data is None else [true_path(data, strict=True)])]
        readable = [true_path(path, strict=True) for path in command.paths]
        if compiled is not None:
            readable.append(self.compiled_path(compiled))
        base = {
            "HOME": places.home,
            "LANG": "en_US.UTF-8",
            "LOGNAME": _USER,
            "PATH": ":".join(dict.fromkeys((*command.programs, *_PATH))),
            "TMPDIR": places.temporary,
            "USER": _USER,
            **(_proxy_environment(_PROXY_PLACE) if policy.network.allow else {}),
        }
        return SandboxSpec(
            argv=command.argv,
            environment={**base, **policy.environment},
            directory=bundle,
            mounts=(
                Bind(bundle, bundle),
                *(Bind(path, path, writable=True, executable=policy.subprocess) for path in writable),
                *(Bind(path, path) for path in readable),
                *(_granted(folder, executable=policy.subprocess) for folder in policy.folders),
            ),
            limits=policy.limits,
            subprocess=policy.subprocess,
            # Who decides about a connection sits at the proxy; inside there are neither names nor networks.
            way=Way((), ()) if policy.network.allow else None,
            port=port,
        )

    def forecast(self, policy: Policy, port: int | None = None) -> tuple[Control, ...]:
        """What holds for a server with this policy: a sandbox is tried, and no server executed."""
        policy = policy._replace(environment={}, folders=())
        os.makedirs(self._cache_folder, mode=0o700, exist_ok=True)
        try:
            spec = self.plan(Command(("/bin/cat",), (), ()), policy, tree="/usr/share", data=None, port=port)
            process = self.launch(spec)
            process.await_ready()
        except MCPError as error:
            return (Control("sandbox", "all together", "unavailable", error.message, error.hint),)
        process.kill()
        return process.controls

    def launch(self, spec: SandboxSpec) -> DarwinProcess:
        """Fork and prepare; the server waits until release(). Raises ``sandbox-unavailable``."""
        machine = self._given or this_machine()
        if not os.access(machine.launcher, os.X_OK):
            raise MCPError(
                "sandbox-unavailable",
                f"{machine.launcher} is missing or cannot be executed, and nothing runs without it",
                hint="it belongs to macOS; this release may have dropped it: tell us which one it is",
            )
        prepare_descriptors(inherited=spec.port is None)
        _check_granted(spec)
        places = Places(os.path.dirname(spec.environment["HOME"]))
        folders = Folders(places)
        try:
            way_out = None if spec.way is None else _open_way_out()
            profile = build_profile(_world_of(spec, None if way_out is None else way_out.port))
            start = Start(
                profile.wrap(machine.launcher, spec.argv),
                _complete(spec.environment, way_out),
                spec.directory,
                resource_limits(spec, len(machine.table.processes()) if spec.subprocess else 0),
                spec.port is not None,
            )
            return DarwinProcess(
                Launch(spec, profile, start, folders, machine.launcher, machine.table, way_out)
            )
        except BaseException:
            folders.remove()
            raise

    def _store(self) -> str:
        return os.path.join(true_path(self._cache_folder, strict=True), "scratch")


def _is_free(port: int) -> bool:
    end = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        end.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        end.bind(("127.0.0.1", port))
    except OSError:
        return False
    finally:
        end.close()
    return True


def _granted(folder: Folder, *, executable: bool) -> Bind:
    host = true_path(folder.host, strict=True)
    if true_path(folder.inside) != host:
        raise MCPError(
            "mount-refused",
            f"{folder.host} cannot appear at {folder.inside}: macOS cannot show a folder elsewhere",
            hint=f"mount it where it is: {folder.host}:{folder.host}",
        )
    return Bind(
        host,
        host,
        folder.writable,
        executable or not folder.writable,
        granted=True,
        identity=folder.identity,
    )


def _check_granted(spec: SandboxSpec) -> None:
    """A path can be exchanged between check and use."""
    for bind in spec.mounts:
        if isinstance(bind, Bind) and bind.identity is not None:
            found = os.stat(bind.source, follow_symlinks=False)
            if (found.st_dev, found.st_ino) != bind.identity:
                raise MCPError(
                    "mount-refused",
                    f"{bind.source} was exchanged while it was looked at",
                    hint="run it again, and find out who does that",
                )


def _world_of(spec: SandboxSpec, proxy: int | None) -> World:
    binds = [bind for bind in spec.mounts if isinstance(bind, Bind)]
    readable = tuple(bind.source for bind in binds if not bind.writable)
    return World(
        readable=readable,
        writable=tuple(bind.source for bind in binds if bind.writable),
        programs=tuple(dict.fromkeys(_programs(spec.argv[0], readable))),
        subprocess=spec.subprocess,
        executable_scratch=spec.subprocess,
        proxy=proxy,
        port=spec.port,
    )


def _programs(program: str, readable: tuple[str, ...]) -> Iterator[str]:
    """What is executed on the way: itself, its interpreter, and what that replaces itself by."""
    real = true_path(program, strict=True)
    yield real
    with open(real, "rb") as file:
        line, _, _ = file.read(_SHEBANG_SIZE).partition(b"\n")
    if line.startswith(b"#!") and line[2:].split():
        interpreter = os.fsdecode(line[2:].split()[0])
        if os.path.exists(interpreter):
            yield true_path(interpreter, strict=True)
    for place in readable:
        stub = os.path.join(place, _FRAMEWORK_PYTHON)
        if os.path.exists(stub):
            yield true_path(stub, strict=True)


def _open_way_out() -> WayOut:
    """The proxy's listening socket; what it asks for keeps other programs of this machine away."""
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise MCPError(
            "sandbox-setup-failed",
            f"the proxy cannot listen on loopback: {error.strerror}",
            hint="a firewall may forbid it",
        ) from error
    port = int(listener.getsockname()[1])
    return WayOut(listener.detach(), port, os.urandom(16).hex())


def _proxy_environment(url: str) -> dict[str, str]:
    return {**dict.fromkeys(PROXY_VARIABLES, url), "NODE_USE_ENV_PROXY": "1"}


def _complete(environment: Mapping[str, str], way_out: WayOut | None) -> dict[str, str]:
    if way_out is None:
        return dict(environment)
    url = f"http://mcp:{way_out.secret}@127.0.0.1:{way_out.port}"
    # Instead of any that was granted: no other one can be reached.
    return {**environment, **_proxy_environment(url)}
