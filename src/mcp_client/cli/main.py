"""The console entry. A usual ``mcp run`` starts without the command line library.

Importing click takes a third of the time until a server is released. A line that says nothing unusual is
read by ``cli.quick``; every other one, and every failure to read one, goes to click.
"""

from __future__ import annotations

import gc
import os
import sys

from mcp_client.cli.caller import completion_variable, program_name, take_stock_of_the_caller
from mcp_client.errors import EXIT_SIGNAL_BASE
from mcp_client.light import TYPE_CHECKING
from mcp_client.memory import collect_rarely

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_client.cli.flags import RunFlags
    from mcp_client.sandbox.backend import HeadStart


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mcp`` with ``argv`` (the process's own arguments by default); the exit status."""
    collect_rarely()
    take_stock_of_the_caller()
    arguments = sys.argv[1:] if argv is None else list(argv)
    if "--timings" in arguments:
        import mcp_client.timings  # noqa: F401  its clock starts now
    if "run" in arguments and not os.environ.get(completion_variable(program_name())):
        from mcp_client.cli.quick import parse_line

        line = parse_line(arguments)
        if line is not None:
            return _run(*line, arguments)
    from mcp_client.cli.program import run_program

    if argv is not None:
        return run_program(arguments)
    try:
        return run_program(arguments)
    finally:
        # Nearly all that the libraries made is there to stay: who looks for garbage in it at the exit takes a
        # tenth of a short command.
        gc.freeze()


def _run(overrides: Mapping[str, str], flags: RunFlags, arguments: Sequence[str]) -> int:
    timings = None
    if flags.timings:
        from mcp_client.timings import Timings

        timings = Timings()
        timings.watch_launch()
    head_start = _begin()
    from mcp_client.app import App

    if head_start is not None:
        head_start.advance()
    from mcp_client.cli.start import start

    if head_start is not None:
        head_start.advance()
    try:
        return start(App(overrides, head_start, timings), flags)
    except KeyboardInterrupt:
        return EXIT_SIGNAL_BASE + 2
    except Exception as error:  # noqa: BLE001  the last resort of the program
        from mcp_client.cli.program import report_failure

        return report_failure(error, None, arguments)
    finally:
        if head_start is not None:
            head_start.drop()


def _begin() -> HeadStart | None:
    """Before all that is only needed to decide: the kernel builds meanwhile."""
    if sys.platform != "linux":
        return None
    from mcp_client.sandbox.linux.early import HeadStart

    return HeadStart()
