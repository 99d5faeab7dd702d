"""What init does beside a server finds nothing of Python's library: its own root may not show it."""

import subprocess
import sys
import textwrap

import pytest

BLIND = """
import os, signal, sys
from mcp_client.policy.model import Limits
from mcp_client.sandbox.linux.gate import _may_be_forking
from mcp_client.sandbox.linux.ingress import V4, ask, make_entrance, receive
import _socket
from mcp_client.sandbox.linux.metering import Meter, Sample
from mcp_client.sandbox.linux.population import Namespace
from mcp_client.sandbox.linux.restricted.descendants import descendants_of
entrance, end = make_entrance()
end = _socket.socket(fileno=end)
sys.meta_path.clear()
sys.path.clear()
sys.path_importer_cache.clear()
sys.path_hooks.clear()

child = os.fork()
if child == 0:
    signal.pause()

class Family(Namespace):
    def pids(self):
        return [os.getpid(), child]
    def signal(self, number):
        os.kill(child, number)

family = Family(["/tmp"])
"""
WORK = {
    "sample": "assert Sample(family).exact_memory() > 0",
    "kill": "Meter(Limits(1, 1000, 4, 64), 0, family, os.getpid()).look()",
    "stop": "meter = Meter(Limits(1 << 40, 1, 4, 64), 0, family, os.getpid()); meter.look(); meter.look()",
    "wait": "meter = Meter(Limits(1, 9, 4, 64), 0, family, child); meter.look(); assert not meter.exceeded",
    "forks": "assert _may_be_forking(os.getpid())",
    "entrance": "ask(end, V4); assert entrance.answer(); assert len(receive(end)[1]) == 8",
    "hang-up": "end.shutdown(2); assert not entrance.answer()",
    "descendants": "assert descendants_of(os.getpid()) == [child]",
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_nothing_is_imported(work: str) -> None:
    program = (
        BLIND + "try:\n" + textwrap.indent(work, "    ") + "\nfinally:\n    os.kill(child, signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
