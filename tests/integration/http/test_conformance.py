"""The official conformance suite finds the same in a server whether it runs bare or behind ``mcp run``."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from kit import conformance, processes
from kit.command import Mcp
from kit.endpoint import Endpoint
from kit.registry import Registry


@contextmanager
def bare() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    environment = {**os.environ, "PORT": str(port)}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(conformance.bare_command(), env=environment, **silent) as process:
        try:
            assert processes.wait_until(lambda: listens(port), 30)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.terminate()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def test_the_suite_finds_the_same(mcp: Mcp, registry: Registry) -> None:
    package = conformance.conformance_server()
    registry.publish(package)
    assert mcp.run("pull", package.reference).status == 0
    with bare() as url:
        expected = conformance.run_suite(url, f"{mcp.folder}/bare")
    with Endpoint(mcp, package.reference) as endpoint:
        found = conformance.run_suite(endpoint.url, f"{mcp.folder}/behind")
    assert found == expected
    passed = [name for name, (_, failed) in found.items() if failed == 0]
    # What it does not implement is three kinds of schemas.
    assert len(passed) >= 27, found
    assert {"server-sse-polling", "server-sse-multiple-streams", "tools-call-sampling"} <= set(passed)
