"""The story of ``mcp run``, from a reference to an outcome. Read this file first."""

from __future__ import annotations

import os
import sys
import time

from mcp_client.app import EMBEDDED_REGISTRY
from mcp_client.audit.run_id import new_run_id
from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.planning import plan_run

if sys.platform == "win32":
    from mcp_client.executor.windows.client import ClientWatch, watch_parent
else:
    from mcp_client.executor.client import ClientWatch, watch_parent

if TYPE_CHECKING:
    from mcp_client.app import App
    from mcp_client.background import Background
    from mcp_client.cache.store import CachedPackage
    from mcp_client.compiled.beside import Compilation
    from mcp_client.executor.egress import Egress
    from mcp_client.executor.outcome import Outcome
    from mcp_client.executor.proxied import ProxiedEgress

    if sys.platform == "win32":
        from mcp_client.executor.windows.supervise import SignalInbox, Supervisor
    else:
        from mcp_client.executor.supervise import SignalInbox, Supervisor
    from mcp_client.planning import RunPlan, RunRequest
    from mcp_client.policy.model import Policy
    from mcp_client.sandbox.backend import SandboxedProcess
    from mcp_client.serving import Bridged, Endpoint


class Running(NamedTuple):
    """A server that executes, and what belongs to it: the way out of its sandbox, and the one in."""

    plan: RunPlan
    process: SandboxedProcess
    inbox: SignalInbox
    egress: Egress | ProxiedEgress | None
    door: Endpoint | Bridged | None


def run_package(app: App, request: RunRequest) -> Outcome:
    """Resolve, verify, decide, build, record, release, supervise, record.

    Nothing is executed unless every step before it succeeded, the start record included. Raises MCPError.
    """
    run_id = new_run_id()
    parent = watch_parent()
    try:
        running = _start(app, request, run_id)
    except MCPError as error:
        from mcp_client.journal import record_failure

        record_failure(app, run_id, request.reference, error)
        raise
    return _attend(app, run_id, parent, running)


def _start(app: App, request: RunRequest, run_id: str) -> Running:
    """From the reference to the server's first instruction."""
    listens = request.endpoint is not None and request.endpoint.listens
    plan = plan_run(app, request, meanwhile=None if listens else ClientWatch())
    door = _open_door(app, plan, request)
    process = app.backend.launch(plan.spec)
    # While others build: what was not needed so far.
    from mcp_client.announce import announce_controls, announce_plan
    from mcp_client.journal import start_record
    from mcp_client.sandbox.enforcement import refuse_missing

    new_inbox, _ = _supervision()
    inbox = new_inbox()
    try:
        announce_plan(app, plan)
        egress = _open_egress(app, plan.policy, process)
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
    return Running(plan, process, inbox, egress, door)


def _attend(app: App, run_id: str, parent: int | None, running: Running) -> Outcome:
    """Beside a server, to its end. ``parent`` is who started us, as watch_parent() gives it."""
    from mcp_client.announce import announce_event
    from mcp_client.journal import record_end, record_failure, unexpected

    plan, process, inbox, egress, door = running
    resolution, executor = plan.package.resolution, app.settings.executor
    asides: list[Background | Compilation] = []
    _, new_supervisor = _supervision()
    try:
        # What answers for the server is read while that starts.
        front = None if door is None else door.attend(process.ingress)
        app.cache.resolutions.touch(resolution)
        asides = _begin_asides(app, plan, run_id)
        app.settle()
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
        outcome = supervisor.run()
    except BaseException as error:
        process.kill()
        for aside in asides:
            aside.finish(None)
        record_failure(app, run_id, resolution.reference, unexpected(error))
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
