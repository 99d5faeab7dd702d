"""The story of ``mcp run``, from a reference to an outcome. Read this file first."""

from __future__ import annotations

import os
import sys
import time

from mcp_client import platforms
from mcp_client.acquire import acquire, hold_package
from mcp_client.announce import announce_controls, announce_event, announce_plan
from mcp_client.app import EMBEDDED_REGISTRY
from mcp_client.audit import events
from mcp_client.compiled.find import Compiled, find_form
from mcp_client.errors import MCPError
from mcp_client.journal import record_end, record_failure, start_record, unexpected
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
from mcp_client.sandbox.enforcement import refuse_missing

if sys.platform == "win32":
    from mcp_client.executor.windows.client import ClientWatch, watch_parent
else:
    from mcp_client.executor.client import ClientWatch, watch_parent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from mcp_client.app import App
    from mcp_client.background import Background
    from mcp_client.cache.store import CachedPackage
    from mcp_client.compiled.beside import Compilation
    from mcp_client.endpoint import EndpointRequest
    from mcp_client.executor.egress import Egress
    from mcp_client.executor.outcome import Outcome
    from mcp_client.executor.proxied import ProxiedEgress

    if sys.platform == "win32":
        from mcp_client.executor.windows.supervise import SignalInbox, Supervisor
    else:
        from mcp_client.executor.supervise import SignalInbox, Supervisor
    from mcp_client.manifest.model import Entrypoint, Manifest
    from mcp_client.policy.model import Folder, Policy
    from mcp_client.reference import PackageReference
    from mcp_client.resolution import Resolution
    from mcp_client.sandbox.backend import SandboxedProcess
    from mcp_client.sandbox.spec import SandboxSpec
    from mcp_client.serving import Bridged, Endpoint


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
        # While others build: what was not needed so far.
        new_inbox, new_supervisor = _supervision()
        inbox = new_inbox()
        try:
            egress = _open_egress(app, plan.policy, process)
            front = None
            if door is not None:
                front = door.attend(process.ingress)
            audit = app.audit
            process.await_ready()
            refuse_missing(process.controls, app.settings.sandbox.on_missing)
            announce_controls(app, process.controls)
            audit.append(start_record(run_id, plan, process.controls, door))
            app.mark("audit record")
        except BaseException:
            process.kill()
            raise
        process.release()
        app.mark("exec")
        app.log.info("the server runs", run=run_id, pid=process.pid)
    except MCPError as error:
        record_failure(app, run_id, request.reference, error)
        raise
    app.cache.resolutions.touch(plan.package.resolution)
    asides = _begin_asides(app, plan, run_id)
    app.settle()
    executor = app.settings.executor
    supervisor = new_supervisor(
        process,
        inbox,
        parent=parent,
        timeout=executor.default_timeout,
        grace=executor.grace,
        on_event=lambda happened: announce_event(app, plan, happened),
        egress=egress,
        companions=asides if app.timings is None else [*asides, app.timings],
        front=front,
    )
    try:
        outcome = supervisor.run()
    except BaseException as error:
        process.kill()
        for aside in asides:
            aside.finish(None)
        record_failure(app, run_id, request.reference, unexpected(error))
        raise
    if outcome.kind == "oom":
        outcome = outcome._replace(reason=f"memory limit {plan.policy.limits.memory >> 20} MB")
    record_end(app, run_id, outcome)
    _let_go(plan)
    for aside in asides:
        aside.finish(None if supervisor.urged else inbox.descriptor)
    if front is not None and front.failure is not None:
        raise front.failure
    return outcome


def _supervision() -> tuple[type[SignalInbox], type[Supervisor]]:
    """Those of this platform."""
    if sys.platform == "win32":
        from mcp_client.executor.windows.supervise import SignalInbox, Supervisor
    else:
        from mcp_client.executor.supervise import SignalInbox, Supervisor
    return SignalInbox, Supervisor


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


def _let_go(plan: RunPlan) -> None:
    """Whoever tidies up may remove the package now."""
    os.close(plan.hold)
    if plan.compiled.hold >= 0:
        os.close(plan.compiled.hold)


def _begin_asides(app: App, plan: RunPlan, run_id: str) -> list[Background | Compilation]:
    """What has time until the server runs, and is done beside it."""
    asides: list[Background | Compilation | None] = [_revalidate(app, plan.package, run_id)]
    if plan.compiled.recipe is not None:
        from mcp_client.compiled.beside import begin_compilation

        asides.append(
            begin_compilation(app, plan.package, plan.manifest, plan.policy, plan.compiled.recipe, run_id)
        )
    return [aside for aside in asides if aside is not None]


def _revalidate(app: App, package: CachedPackage, run_id: str) -> Background | None:
    """Off the critical path: ask the registry now and then how a cached package stands by now.

    What a lock binds is asked about by ``mcp lock --check``; the registry inside this program never changes.
    """
    registry, resolution = app.settings.registry, package.resolution
    asked = resolution.registry == app.registry_url != EMBEDDED_REGISTRY
    if not asked or registry.offline or not package.standing.due(time.time(), registry.revalidate):
        return None
    from mcp_client.revalidate import begin

    return begin(app, resolution, run_id)


def _open_egress(app: App, policy: Policy, process: SandboxedProcess) -> Egress | ProxiedEgress | None:
    """What decides about the server's connections; most servers have none, and load nothing of it."""
    if process.egress is None:
        return None
    from mcp_client.network.decide import RuleSet
    from mcp_client.network.engine.engine import Engine

    if sys.platform == "darwin":
        from mcp_client.network.darwin.own import OwnAddresses
    else:
        from mcp_client.network.linux.own import OwnAddresses

    network = policy.network
    rules = RuleSet(network.allow, network.deny, bound=network.bound, own=OwnAddresses())
    engine = Engine(rules, app.log.warning, os.environ)
    if process.secret is not None:
        from mcp_client.executor.proxied import ProxiedEgress

        return ProxiedEgress(process.egress, engine, process.secret)
    from mcp_client.executor.egress import Egress

    return Egress(process.egress, engine)


def _open_door(app: App, plan: RunPlan, request: RunRequest) -> Endpoint | Bridged | None:
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
