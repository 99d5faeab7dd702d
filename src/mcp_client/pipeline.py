"""The story of ``mcp run``, from a reference to an outcome. Read this file first."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from mcp_client import platforms
from mcp_client.acquire import acquire, hold_package
from mcp_client.announce import announce_controls, announce_event, announce_plan
from mcp_client.app import EMBEDDED_REGISTRY, App
from mcp_client.audit import events
from mcp_client.cache.store import CachedPackage
from mcp_client.errors import MCPError
from mcp_client.executor.outcome import Outcome
from mcp_client.journal import record_end, record_failure, start_record, unexpected
from mcp_client.manifest.entrypoint import select_entrypoint
from mcp_client.manifest.expand import expand
from mcp_client.manifest.model import Entrypoint, Manifest, from_form
from mcp_client.manifest.options import check_options
from mcp_client.policy.decide import Grants, decide
from mcp_client.policy.environment import parse_grant, read_env_file
from mcp_client.policy.folders import grant_folder, parse_mount
from mcp_client.policy.model import Folder, Policy
from mcp_client.reference import PackageReference
from mcp_client.resolution import Resolution
from mcp_client.runtimes.command import check_file, resolve_command
from mcp_client.runtimes.find import Host
from mcp_client.sandbox.enforcement import refuse_missing
from mcp_client.sandbox.spec import SandboxSpec

if sys.platform == "win32":
    from mcp_client.executor.windows.client import ClientWatch, watch_parent
    from mcp_client.executor.windows.supervise import SignalInbox, Supervisor
else:
    from mcp_client.executor.client import ClientWatch, watch_parent
    from mcp_client.executor.supervise import SignalInbox, Supervisor

if TYPE_CHECKING:
    from mcp_client.executor.egress import Egress
    from mcp_client.revalidate import Revalidation
    from mcp_client.serving import Bridged, Endpoint, EndpointRequest


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
    endpoint: "EndpointRequest | None" = None


class RunPlan(NamedTuple):
    """Everything that is decided before a process exists.

    ``entrypoint`` is as declared, with variables in place: what ``--set`` gave may be a secret, and goes
    into no record. While the descriptor ``hold`` is open, the package stays in the cache.
    """

    package: CachedPackage
    manifest: Manifest
    entrypoint: Entrypoint
    policy: Policy
    spec: SandboxSpec
    hold: int


def run_package(app: App, request: RunRequest) -> Outcome:
    """Resolve, verify, decide, build, record, release, supervise, record.

    Nothing is executed unless every step before it succeeded, the start record included. Raises MCPError.
    """
    run_id = events.new_run_id()
    parent = watch_parent()
    try:
        listens = request.endpoint is not None and request.endpoint.listens
        plan = plan_run(app, request, meanwhile=None if listens else ClientWatch())
        announce_plan(app, plan)
        door = _open_door(app, plan, request)
        process = app.backend.launch(plan.spec)
        inbox = SignalInbox()
        try:
            egress = None if process.egress is None else _open_egress(app, plan.policy, process.egress)
            front = None
            if door is not None and process.ingress is not None:
                front = door.attend(process.ingress)
            process.await_ready()
            refuse_missing(process.controls, app.settings.sandbox.on_missing)
            announce_controls(app, process.controls)
            app.audit.append(start_record(run_id, plan, process.controls, door))
        except BaseException:
            process.kill()
            raise
        process.release()
        app.log.info("the server runs", run=run_id, pid=process.pid)
    except MCPError as error:
        record_failure(app, run_id, request.reference, error)
        raise
    app.cache.resolutions.touch(plan.package.resolution)
    revalidation = _revalidate(app, plan.package, run_id)
    app.close()
    executor = app.settings.executor
    supervisor = Supervisor(
        process,
        inbox,
        parent=parent,
        timeout=executor.default_timeout,
        grace=executor.grace,
        on_event=lambda happened: announce_event(app, plan, happened),
        egress=egress,
        companions=[] if revalidation is None else [revalidation],
        front=front,
    )
    try:
        outcome = supervisor.run()
    except BaseException as error:
        process.kill()
        if revalidation is not None:
            revalidation.finish(None)
        record_failure(app, run_id, request.reference, unexpected(error))
        raise
    if outcome.kind == "oom":
        outcome = outcome._replace(reason=f"memory limit {plan.policy.limits.memory >> 20} MB")
    record_end(app, run_id, outcome)
    os.close(plan.hold)
    if revalidation is not None:
        revalidation.finish(None if supervisor.urged else inbox.descriptor)
    if front is not None and front.failure is not None:
        raise front.failure
    return outcome


def plan_run(
    app: App, request: RunRequest, *, meanwhile: AbstractContextManager[None] | None = None
) -> RunPlan:
    """Everything up to the sandbox's plan: what ``--dry-run`` prints and run_package() carries out."""
    settings = app.settings
    backend = app.backend
    package, hold = hold_package(app, lambda: _acquire(app, request, meanwhile))
    manifest = from_form(package.manifest_form)
    entrypoint = _runnable_entrypoint(manifest)
    options = check_options(manifest, request.options)
    private = (settings.home, settings.cache.dir, settings.audit.file)
    folders = _granted_folders(manifest, options, request.mounts, private)
    grants = Grants(_granted_environment(request), folders, tuple(request.network))
    policy = decide(
        manifest, grants, operator=settings.policy, caps=settings.executor, host_environment=os.environ
    )
    data = _data_folder(settings.home, package.resolution) if manifest.data_folder else None
    bundle = backend.bundle_path(package.tree)
    places = {"bundle": bundle, **({} if data is None else {"data": backend.data_path(data)})}
    values = {**places, **{f"config.{name}": value for name, value in options.items()}}
    declared = entrypoint._replace(args=(*entrypoint.args, *request.arguments))
    expanded = expand(entrypoint, values)
    expanded = expanded._replace(args=(*expanded.args, *request.arguments))
    told = {} if manifest.http is None else manifest.http.environment
    policy = policy._replace(environment={**expanded.env, **policy.environment, **told})
    host = Host(settings.runtimes, os.environ, os.path.join(settings.cache.dir, "runtimes.memo"), private)
    command = resolve_command(
        expanded,
        manifest.required_commands,
        manifest.runtime,
        tree=package.tree,
        bundle=bundle,
        host=host,
    )
    port = None if manifest.http is None else manifest.http.port
    spec = backend.plan(command, policy, tree=package.tree, data=data, port=port)
    return RunPlan(package, manifest, declared, policy, spec, hold)


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


def _revalidate(app: App, package: CachedPackage, run_id: str) -> "Revalidation | None":
    """Off the critical path: ask the registry now and then how a cached package stands by now.

    What a lock binds is asked about by ``mcp lock --check``; the registry inside this program never changes.
    """
    registry, resolution = app.settings.registry, package.resolution
    asked = resolution.registry == app.registry_url != EMBEDDED_REGISTRY
    if not asked or registry.offline or not package.standing.due(time.time(), registry.revalidate):
        return None
    from mcp_client.revalidate import begin

    return begin(app, resolution, run_id)


def _open_egress(app: App, policy: Policy, channel: int) -> "Egress":
    """What decides about the server's connections; most servers have none, and load nothing of it."""
    from mcp_client.executor.egress import Egress
    from mcp_client.network.decide import RuleSet
    from mcp_client.network.linux.engine import Engine
    from mcp_client.network.linux.own import OwnAddresses

    network = policy.network
    rules = RuleSet(network.allow, network.deny, bound=network.bound, own=OwnAddresses())
    return Egress(channel, Engine(rules, app.log.warning, os.environ))


def _open_door(app: App, plan: RunPlan, request: RunRequest) -> "Endpoint | Bridged | None":
    """The way in to a server that listens. Raises ``transport-unsupported`` for one that does not."""
    if plan.manifest.http is None:
        if request.endpoint is not None and request.endpoint.listens:
            raise MCPError(
                "transport-unsupported",
                f"{plan.manifest.name} speaks {plan.manifest.transport}: it has no port and no token",
                hint="leave out --port, --host, --token, --token-file and --allow-origin",
            )
        return None
    from mcp_client.serving import open_door

    return open_door(app, request.reference, plan.manifest.http, request.endpoint)
