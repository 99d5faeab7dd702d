"""A server cannot hold more connections than the supervisor has room for, whatever limits it has itself."""

import pytest
from arena.sandbox import attempt_inside
from egress.services import Service

from mcp_client.network.engine import room

HOLD = """
    import socket
    held = [socket.create_connection(("127.0.0.1", target), 5) for _ in range(12)]
    answered = 0
    for end in held:
        end.settimeout(10)
        try:
            answered += end.recv(99) == b"reached"
        except OSError:
            pass
    return answered
"""


@pytest.mark.parametrize("most", [5, 100])
def test_what_has_no_room_is_reset(most: int, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_CONNECTIONS", most)
    assert attempt_inside(HOLD, service.port, outside=service.outside()).got == min(most, 12)
