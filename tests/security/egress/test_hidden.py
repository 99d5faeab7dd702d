"""A process that hides its memory: init cannot see where it connects to, and so it gets nowhere."""

from arena.sandbox import Outside, attempt_inside
from egress.services import Service

CONNECT = """
import socket
if target["hidden"]:
    libc.prctl(4, 0, 0, 0, 0)
with socket.create_connection(("open.test", target["port"]), 5) as end:
    return "connected"
"""


def test_what_cannot_be_seen_is_refused_and_told(service: Service) -> None:
    outside = Outside([f"open.test:{service.port}", "127.0.0.1"], names={"open.test": ["127.0.0.1"]})
    hidden = attempt_inside(CONNECT, {"hidden": True, "port": service.port}, outside=outside)
    assert hidden.refused == "ECONNREFUSED"
    assert [line for line in outside.denials if "PR_SET_DUMPABLE" in line]
    seen = attempt_inside(CONNECT, {"hidden": False, "port": service.port}, outside=outside)
    assert seen.got == "connected"
