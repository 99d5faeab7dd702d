"""Everything that is decided before a process exists: the package, its policy, its command, its world."""

from __future__ import annotations

import os

from mcp_client import platforms
from mcp_client.acquire import acquire, hold_package
from mcp_client.compiled.find import Compiled, find_form
from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING, NamedTuple, sha256
from mcp_client.manifest.entrypoint import select_entrypoint
from mcp_client.manifest.expand import expand
from mcp_client.manifest.model import from_form
from mcp_client.manifest.options import check_options
from mcp_client.policy.decide import Grants, decide
from mcp_client.policy.environment import parse_grant, read_env_file
from mcp_client.policy.folders import grant_folder, parse_mount
from mcp_client.runtimes.command import check_file, find_interpreter, resolve_command
from mcp_client.runtimes.find import Host

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from mcp_client.app import App
    from mcp_client.cache.store import CachedPackage
    from mcp_client.endpoint import EndpointRequest
    from mcp_client.manifest.model import Entrypoint, Manifest
    from mcp_client.policy.model import Folder, Policy
    from mcp_client.reference import PackageReference
    from mcp_client.resolution import Resolution
    from mcp_client.sandbox.spec import SandboxSpec


class RunRequest(NamedTuple):
    """What the user asked for on the command line, unparsed but for the reference; ``lock`` is a file."""

    reference: PackageReference
    arguments: Sequence[str] = ()
    environment: Sequence[str] = ()
    environment_files: Sequence[str] = ()
    mounts: Sequence[str] = ()
    network: Sequence[str] = ()
    options: Sequence[tuple[str, str]] = ()
    lock: str | None = None
    endpoint: EndpointRequest | None = None


class RunPlan(NamedTuple):
    """Everything that is decided before a process exists.

    ``entrypoint`` is as declared, with variables in place: what ``--set`` gave may be a secret, and goes
    into no record. While the descriptor ``hold`` is open, the package stays in the cache. The server starts
    from what is ``compiled`` of it.
    """

    package: CachedPackage
    manifest: Manifest
    entrypoint: Entrypoint
    policy: Policy
    spec: SandboxSpec
    hold: int
    compiled: Compiled


def plan_run(
    app: App, request: RunRequest, *, meanwhile: AbstractContextManager[None] | None = None
) -> RunPlan:
    """Everything up to the sandbox's plan: what ``--dry-run`` prints and run_package() carries out."""
    settings = app.settings
    app.mark("configuration")
    backend = app.backend
    package, hold = hold_package(app, lambda: _acquire(app, request, meanwhile))
    if app.head_start is not None:
        app.head_start.advance()
    app.mark("look-up in the cache")
    manifest = from_form(package.manifest_form)
    if manifest.http is not None:
        # Where servers share the host's ports, it may be another than the manifest's.
        at = backend.listening_port(manifest.http.port)
        manifest = manifest._replace(http=manifest.http._replace(port=at))
    entrypoint = _runnable_entrypoint(manifest)
    options = check_options(manifest, request.options)
    private = (settings.home, settings.cache.dir, settings.audit.file)
    folders = _granted_folders(manifest, options, request.mounts, private)
    grants = Grants(_granted_environment(request), folders, tuple(request.network))
    policy = decide(
        manifest, grants, operator=settings.policy, caps=settings.executor, host_environment=os.environ
    )
    data = _data_folder(settings.home, package.resolution) if manifest.data_folder else None
    host = Host(settings.runtimes, os.environ, os.path.join(settings.cache.dir, "runtimes.memo"), private)
    interpreter = find_interpreter(entrypoint, manifest.runtime, tree=package.tree, host=host)
    compiled = find_form(app, package, interpreter, [*entrypoint.env, *policy.environment])
    bundle = backend.bundle_path(compiled.tree)
    places = {"bundle": bundle, **({} if data is None else {"data": backend.data_path(data)})}
    values = {**places, **{f"config.{name}": value for name, value in options.items()}}
    declared = entrypoint._replace(args=(*entrypoint.args, *request.arguments))
    expanded = expand(entrypoint, values)
    expanded = expanded._replace(args=(*expanded.args, *request.arguments))
    told = {} if manifest.http is None else manifest.http.environment
    if compiled.node_cache is not None:
        told = {**told, "NODE_COMPILE_CACHE": backend.compiled_path(compiled.node_cache)}
    policy = policy._replace(environment={**expanded.env, **policy.environment, **told})
    app.mark("policy")
    command = resolve_command(expanded, manifest.required_commands, interpreter, bundle=bundle, host=host)
    app.mark("search for the runtime")
    port = None if manifest.http is None else manifest.http.port
    spec = backend.plan(
        command, policy, tree=compiled.tree, data=data, port=port, compiled=compiled.node_cache
    )
    app.mark("layout of the sandbox")
    return RunPlan(package, manifest, declared, policy, spec, hold, compiled)


def _acquire(app: App, request: RunRequest, meanwhile: AbstractContextManager[None] | None) -> CachedPackage:
    if request.lock is None:
        return acquire(app, request.reference, accept=_runnable_entrypoint, meanwhile=meanwhile)
    from mcp_client.locked import acquire_locked

    return acquire_locked(
        app, request.reference, request.lock, accept=_runnable_entrypoint, meanwhile=meanwhile
    )


def _runnable_entrypoint(manifest: Manifest, tree: str | None = None) -> Entrypoint:
    """The entrypoint for this host. Raises ``platform-unsupported``.

    With the ``tree`` at hand, its file is looked at as well: ``entrypoint-*``.
    """
    entrypoint = select_entrypoint(manifest, platforms.current())
    if tree is not None and "/" in entrypoint.command:
        check_file(tree, entrypoint.command)
    return entrypoint


def _granted_environment(request: RunRequest) -> dict[str, str]:
    granted: dict[str, str] = {}
    for path in request.environment_files:
        granted.update(read_env_file(path, os.environ))
    granted.update(parse_grant(text, os.environ) for text in request.environment)
    return granted


def _granted_folders(
    manifest: Manifest,
    options: Mapping[str, str | tuple[str, ...]],
    mounts: Sequence[str],
    private: tuple[str, ...],
) -> tuple[Folder, ...]:
    """``--mount``, and every configuration value that is a path: it appears where it is on the host."""
    folders = [parse_mount(text, private) for text in mounts]
    for name, value in options.items():
        option = manifest.config[name]
        if option.type in {"file", "directory"}:
            paths = (value,) if isinstance(value, str) else value
            writable = option.access == "rw"
            folders += [grant_folder(path, path, writable=writable, private=private) for path in paths]
    return tuple(folders)


def _data_folder(home: str, resolution: Resolution) -> str:
    """The package's persistent folder; a namesake of another registry has another one."""
    registry = sha256(resolution.registry.encode()).hexdigest()[:16]
    path = os.path.join(home, "data", registry, resolution.reference.org, resolution.reference.name)
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise MCPError(
            "cache-unwritable",
            f"cannot make the server's data folder {path}: {error.strerror}",
            hint="check the folder's owner and mode, or set MCP_HOME",
        ) from error
    return path
