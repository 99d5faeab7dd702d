"""Exit statuses, as shells know them."""

import pytest

from mcp_client.executor.outcome import Outcome
from mcp_client.sandbox.spec import Usage

USAGE = Usage(0.1, 0.1, 1 << 20)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome("exit", 0, None, None, 1.0, USAGE, 0), 0),
        (Outcome("exit", 255, None, None, 1.0, USAGE, 0), 255),
        (Outcome("signal", None, 9, None, 1.0, USAGE, 0), 137),
        (Outcome("signal", None, 15, "SIGTERM received", 1.0, USAGE, 0), 143),
        (Outcome("oom", None, 9, "memory limit 512 MB", 1.0, USAGE, 0), 137),
        (Outcome("timeout", None, 9, "timeout after 1.0 s", 1.0, USAGE, 0), 124),
        (Outcome("timeout", 0, None, "timeout after 1.0 s", 1.0, USAGE, 0), 124),
    ],
)
def test_the_exit_status(outcome: Outcome, status: int) -> None:
    assert outcome.exit_status == status


def test_the_sentence_names_signal_and_reason() -> None:
    assert Outcome("signal", None, 11, None, 1.0, USAGE, 0).describe() == "the server was ended by SIGSEGV"
    killed = Outcome("oom", None, 9, "memory limit 512 MB", 1.0, USAGE, 0)
    assert killed.describe() == "the server was killed: memory limit 512 MB"
    timeout = Outcome("timeout", None, 9, "timeout after 1.0 s", 1.0, USAGE, 0)
    assert timeout.describe() == "the server was stopped (timeout after 1.0 s)"
