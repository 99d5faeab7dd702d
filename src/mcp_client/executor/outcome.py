"""How a server ended."""

from __future__ import annotations

from mcp_client.errors import EXIT_SIGNAL_BASE, EXIT_TIMEOUT
from mcp_client.light import TYPE_CHECKING, NamedTuple, signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from mcp_client.sandbox.spec import Usage

    OutcomeKind = Literal["exit", "signal", "timeout", "oom"]


class Outcome(NamedTuple):
    """``kind`` says which of ``status`` and ``signal`` counts; ``reason`` is why we ended it, if we did.

    ``refused`` counts the processes or programs that the server was not allowed to start, ``network`` tells
    of each destination what was allowed and denied, ``http`` of the requests to a server that listens,
    which is ``unwanted`` when its client has left or nobody asks it anything any more.
    """

    kind: OutcomeKind
    status: int | None
    signal: int | None
    reason: str | None
    seconds: float
    usage: Usage
    refused: int
    network: Sequence[Mapping[str, object]] = ()
    http: Mapping[str, object] | None = None
    unwanted: bool = False

    @property
    def exit_status(self) -> int:
        """What ``mcp run`` exits with: the server's own status wherever it has one."""
        if self.kind == "timeout":
            return EXIT_TIMEOUT
        if self.unwanted and self.signal == signal.SIGTERM:
            # Such a server has no input whose end it could see; with one it would have left by itself.
            return 0
        if self.signal is not None:
            return EXIT_SIGNAL_BASE + self.signal
        return self.status or 0

    def describe(self) -> str:
        """One line for people."""
        why = f" ({self.reason})" if self.reason else ""
        if self.kind == "timeout":
            return f"the server was stopped{why}"
        if self.kind == "oom":
            return f"the server was killed: {self.reason}"
        if self.signal is not None:
            return f"the server was ended by {signal_name(self.signal)}{why}"
        return f"the server exited with status {self.status}{why}"


def signal_name(number: int) -> str:
    """``SIGTERM``, or the number of one without a name."""
    from signal import Signals  # enum, for those who are told

    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"
