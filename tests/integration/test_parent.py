"""The client ends, and somebody else still holds the server's input open: nothing stays."""

import os
import subprocess
import sys

from kit import processes, programs
from kit.command import EXECUTABLE, Mcp
from kit.registry import Registry

# Starts mcp as a client would, waits for its server's first word, and ends without a goodbye.
CLIENT = """
import os, subprocess, sys
read, write = os.pipe()
subprocess.Popen(sys.argv[1:], stdin=0, stdout=write)
os.read(read, 99)
os._exit(0)
"""


def test_the_end_of_the_client_is_noticed_without_the_end_of_its_pipe(mcp: Mcp, registry: Registry) -> None:
    registry.publish(programs.single())
    mcp.configure("executor:\n  grace: 300ms\n")
    reference = programs.single().reference
    assert mcp.run("pull", reference).status == 0
    reading, writing = os.pipe()
    command = [EXECUTABLE, "run", reference, "--", "stubborn", mcp.marker]
    try:
        subprocess.run([sys.executable, "-c", CLIENT, *command], stdin=reading, env=mcp.env, check=True)
        processes.assert_gone(mcp.marker, 10)
    finally:
        os.close(reading)
        os.close(writing)
