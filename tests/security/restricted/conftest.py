"""Every attack of this folder runs in the restricted sandbox, on the host's own paths."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping

import pytest
from arena import sandbox

from mcp_client.errors import MCPError
from mcp_client.sandbox.linux.restricted.backend import RestrictedBackend

OBSTACLE = MCPError("sandbox-unavailable", "no namespaces", hint="allow namespaces")


@pytest.fixture(autouse=True)
def restricted(monkeypatch: pytest.MonkeyPatch) -> str:
    """Programs of the arena run in the restricted sandbox; the folder of their scratch folders."""
    cache = os.path.join(tempfile.gettempdir(), f"restricted-of-tests-{os.geteuid()}")
    os.makedirs(cache, mode=0o755, exist_ok=True)
    filters = os.path.join(cache, "filters")
    monkeypatch.setattr(
        sandbox, "LinuxBackend", lambda _folder, _head_start=None: RestrictedBackend(filters, OBSTACLE)
    )
    return os.path.join(cache, "scratch")


@pytest.fixture
def bystander() -> Iterator[int]:
    """A process of the same user with a secret in its environment; it must survive the test."""
    environment: Mapping[str, str] = {"SECRET": "of-another-process", "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-I", "-S", "-c", "print(flush=True); import time; time.sleep(60)"]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        assert process.poll() is None
        process.kill()


@pytest.fixture
def home(tmp_path: os.PathLike[str]) -> str:
    """A folder of the user's with a secret in it, open to everybody: no mode stands in for a control."""
    folder = os.path.join(tmp_path, "home")
    os.makedirs(os.path.join(folder, ".ssh"))
    with open(os.path.join(folder, ".ssh", "id"), "w") as file:
        file.write("secret")
    for path in (tmp_path, folder, os.path.join(folder, ".ssh"), os.path.join(folder, ".ssh", "id")):
        os.chmod(path, 0o777)
    return folder
