"""The commands as click knows them: parse, run one, turn every failure into an exit status."""

import os
from collections.abc import Sequence

import click

from mcp_client import __version__
from mcp_client.cli import output
from mcp_client.cli.caller import completion_variable, program_name
from mcp_client.cli.group import Entry, LazyGroup, command_words
from mcp_client.config.settings import LOG_LEVELS
from mcp_client.errors import EXIT_FAILURE, EXIT_REFUSED, EXIT_SIGNAL_BASE, EXIT_USAGE, MCPError, printable

_INTERRUPTED = EXIT_SIGNAL_BASE + 2
_RUN = "run"

ENTRIES = {
    "run": Entry("mcp_client.cli.run:run", "Run an MCP server, verified, sandboxed and audited."),
    "pull": Entry("mcp_client.cli.pull:pull", "Fetch and verify packages without running them."),
    "lock": Entry("mcp_client.cli.lock:lock", "Write down the exact bytes that references stand for."),
    "info": Entry("mcp_client.cli.info:info", "Show what a package is and what it asks for."),
    "login": Entry("mcp_client.cli.login:login", "Store a registry's token."),
    "logout": Entry("mcp_client.cli.login:logout", "Forget a registry's token."),
    "cache": Entry("mcp_client.cli.cache:cache", "List, remove and measure what is stored."),
    "doctor": Entry("mcp_client.cli.doctor:doctor", "Try every control this machine should offer."),
    "completion": Entry("mcp_client.cli.completion:completion", "Print a shell's completion script."),
}


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"mcp-client {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    entries=ENTRIES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Read this file instead of ~/.mcp/config.yaml.",
)
@click.option("--log-level", type=click.Choice(LOG_LEVELS), help="How much to say on standard error.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def program(ctx: click.Context, config: str | None, log_level: str | None) -> None:
    """Run Model Context Protocol servers nobody has to trust.

    REF names one package at one state: org/name@1.2.3, org/name@sha:<commit> or
    org/name@digest:sha256:<hex>.

    \b
    Examples:
      mcp run acme/hello-world@1.2.3
      mcp info acme/hello-world@1.2.3
      mcp doctor
      mcp COMMAND --help
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    from mcp_client.app import App

    ctx.obj = App().with_overrides({"config": config, "log_level": log_level})


def run_program(arguments: Sequence[str]) -> int:
    """Carry out one command line; the exit status.

    Nothing but this module knows exit statuses of failures, and for ``mcp run`` nothing is ever written to
    standard output.
    """
    name = program_name()
    if os.environ.get(completion_variable(name)):
        from mcp_client.cli.completion import answer_shell

        return answer_shell(program, name)
    if not arguments:
        # Not to standard output: an MCP client may be reading there.
        click.echo(
            program.get_help(click.Context(program, info_name=name, **program.context_settings)), err=True
        )
        return EXIT_USAGE
    return _run(name, arguments)


def _run(name: str, arguments: Sequence[str]) -> int:
    ctx: click.Context | None = None
    try:
        ctx = program.make_context(name, list(arguments))
        with ctx:
            return _finish(program.invoke(ctx), ctx, arguments)
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.Abort, KeyboardInterrupt, EOFError):
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last resort of the program
        return report_failure(error, ctx, arguments)


def _finish(outcome: object, ctx: click.Context, arguments: Sequence[str]) -> int:
    """Commands answer a report that is still to be shown, or just their exit status."""
    if isinstance(outcome, output.Report):
        command = command_words(ctx)
        output.show(outcome, command=command, as_json=_wants_json(arguments, command))
        return outcome.status
    return outcome if isinstance(outcome, int) else 0


def report_failure(error: Exception, ctx: click.Context | None, arguments: Sequence[str]) -> int:
    """Say what failed; the exit status. ``ctx`` is None where no command line was parsed by click."""
    # A wrong global option leaves no context; the command it stands before is known all the same.
    command = command_words(ctx) if ctx else next((word for word in arguments if word in ENTRIES), "")
    if isinstance(error, BrokenPipeError) and _owns_stdout(arguments, command):
        return _leave_quietly()
    failure = _to_failure(error, ctx)
    try:
        output.show_error(failure, command=command, as_json=_wants_json(arguments, command))
    except BrokenPipeError:
        _leave_quietly()
    return failure.run_status if command == _RUN else failure.command_status


def _to_failure(error: Exception, ctx: click.Context | None) -> MCPError:
    if isinstance(error, MCPError):
        return error
    if isinstance(error, click.ClickException):
        # Click writes sentences, some over several lines; ours are one, begin small and have no full stop.
        message = " ".join(error.format_message().split()).rstrip(".")
        context = error.ctx if isinstance(error, click.UsageError) and error.ctx else ctx
        path = context.command_path if context else program_name()
        return MCPError("usage", message[:1].lower() + message[1:], hint=f"{path} --help")
    if _debugging(ctx):
        import traceback

        traceback.print_exception(error)
    return MCPError(
        "internal-error",
        f"{type(error).__name__}: {printable(str(error))}",
        hint="this is a defect; report it with what `mcp --log-level debug ...` prints",
        run_status=EXIT_REFUSED,
    )


def _debugging(ctx: click.Context | None) -> bool:
    from mcp_client.app import App

    app = ctx.obj if ctx else App()
    try:
        return isinstance(app, App) and app.settings.log.level == "debug"
    except Exception:  # noqa: BLE001  asked while another failure is told
        return False


def _wants_json(arguments: Sequence[str], command: str) -> bool:
    """Whether ``--json`` is there, read off the words so that even a wrong usage is answered in JSON."""
    return "--json" in _ours(arguments) and _owns_stdout(arguments, command)


def _owns_stdout(arguments: Sequence[str], command: str) -> bool:
    """Standard output is ours, but for ``mcp run``: there it is the server's, if there will be one."""
    return command != _RUN or "--dry-run" in _ours(arguments)


def _ours(arguments: Sequence[str]) -> Sequence[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _leave_quietly() -> int:
    """Whoever read our output has seen enough (``mcp cache ls | head``)."""
    # The interpreter flushes standard output once more at its end, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return EXIT_FAILURE
