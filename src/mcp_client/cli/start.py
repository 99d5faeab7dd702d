"""From the flags of ``mcp run`` to a server that ran: the part that needs no command line library."""

from __future__ import annotations

import sys

from mcp_client.cli.flags import LOCK_FILE
from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING
from mcp_client.pipeline import run_package
from mcp_client.planning import RunRequest
from mcp_client.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_client.app import App
    from mcp_client.cli.flags import RunFlags
    from mcp_client.endpoint import EndpointRequest


def prepare(app: App, flags: RunFlags) -> tuple[App, RunRequest]:
    """The settings and the request that ``flags`` stand for. Raises ``option-invalid`` and ``config-*``."""
    on_missing = "degrade" if flags.allow_degraded else None
    app = app.with_overrides(
        {
            "registry": flags.registry,
            "offline": flags.offline,
            "timeout": flags.timeout,
            "on_missing": on_missing,
        }
    )
    if flags.verbose and app.settings.log.level != "debug":
        app = app.with_overrides({"log_level": "info"})
    request = RunRequest(
        reference=parse_reference(flags.reference),
        arguments=flags.arguments,
        environment=flags.environment,
        environment_files=flags.environment_files,
        mounts=flags.mounts,
        network=flags.network,
        options=_parse_options(flags.options),
        lock=flags.lock or (LOCK_FILE if flags.locked else None),
        endpoint=_endpoint(flags),
    )
    return app, request


def start(app: App, flags: RunFlags) -> int:
    """Run the package to its end; the exit status of ``mcp run``. Raises MCPError."""
    if not flags.timings:
        return _run(app, flags)
    if app.timings is None:
        from mcp_client.timings import Timings

        app.timings = Timings()
        app.timings.watch_launch()
    app.mark("imports")
    try:
        return _run(app, flags)
    finally:
        app.timings.finish()
        stages = (stage._asdict() for stage in app.timings.stages())
        app.log.report("timings", app.timings.describe(), stages)


def _run(app: App, flags: RunFlags) -> int:
    app, request = prepare(app, flags)
    if sys.stdin.isatty():
        # Somebody is there to see how a download goes, and does not mind the import.
        from mcp_client.cli.progress import downloads_of_a_person

        downloads_of_a_person().watch(app)
    outcome = run_package(app, request)
    if outcome.kind != "exit" and outcome.exit_status != 0:
        app.log.warning(outcome.describe())
    else:
        app.log.info(outcome.describe())
    return outcome.exit_status


def _endpoint(flags: RunFlags) -> EndpointRequest | None:
    """What was asked for, None for nothing: then nothing is imported."""
    if not flags.listens and not flags.stdio and not flags.json:
        return None
    from mcp_client.endpoint import EndpointRequest

    return EndpointRequest(
        flags.host or "127.0.0.1",
        flags.port or 0,
        flags.token,
        flags.token_file,
        flags.origins,
        flags.stdio,
        announce=flags.json,
        listens=flags.listens,
    )


def _parse_options(texts: Sequence[str]) -> list[tuple[str, str]]:
    options = []
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise MCPError("option-invalid", f"not NAME=VALUE: {text[:100]!r}", hint="write --set NAME=VALUE")
        options.append((name, value))
    return options
