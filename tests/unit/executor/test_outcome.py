"""Exit statuses, as shells know them."""

import pytest

from mcp_client.executor.outcome import Outcome


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome("exit", 0, None, None, 1.0, None), 0),
        (Outcome("exit", 255, None, None, 1.0, None), 255),
        (Outcome("signal", None, 9, None, 1.0, None), 137),
        (Outcome("signal", None, 15, "SIGTERM received", 1.0, None), 143),
        (Outcome("timeout", None, 9, "timeout after 1.0 s", 1.0, None), 124),
        (Outcome("timeout", 0, None, "timeout after 1.0 s", 1.0, None), 124),
    ],
)
def test_the_exit_status(outcome: Outcome, status: int) -> None:
    assert outcome.exit_status == status


def test_the_sentence_names_signal_and_reason() -> None:
    assert Outcome("signal", None, 11, None, 1.0, None).describe() == "the server was ended by SIGSEGV"
    timeout = Outcome("timeout", None, 9, "timeout after 1.0 s", 1.0, None)
    assert timeout.describe() == "the server was stopped (timeout after 1.0 s)"
