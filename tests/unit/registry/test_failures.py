import time
from email.utils import formatdate

import pytest

from mcp_client.errors import MCPError
from mcp_client.registry import failures
from mcp_client.registry.failures import Passing, pause_before, retry_after

FAILURE = MCPError("registry-unavailable", "down", hint="wait")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("0", 0),
        (" 7 ", 7),
        ("9" * 400, 999_999_999),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("", 0),
        ("\u0663", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 99 Jan 99999 99:99:99 +9999999", 0),
        (", , , ,", 0),
    ],
)
def test_retry_after(value, seconds):
    assert retry_after(value) == seconds


def test_retry_after_a_date():
    assert 3000 < retry_after(formatdate(time.time() + 3600, usegmt=True)) <= 3600


def test_pauses_grow_and_are_spread():
    for attempt, longest in ((1, 0.5), (2, 1.0), (3, 2.0)):
        drawn = {pause_before(attempt, Passing(FAILURE)) for _ in range(200)}
        assert all(0 <= pause <= longest for pause in drawn)
        assert max(drawn) - min(drawn) > longest / 2


def test_a_registry_may_ask_for_patience_within_reason():
    assert pause_before(1, Passing(FAILURE, 12.0)) == 12.0
    with pytest.raises(MCPError):
        pause_before(1, Passing(FAILURE, failures.LONGEST_WAIT + 1))


def test_the_last_try_ends_with_the_failure():
    with pytest.raises(MCPError) as caught:
        pause_before(failures.RETRIES + 1, Passing(FAILURE))
    assert caught.value is FAILURE
