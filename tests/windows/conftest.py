"""What the Windows tests share: programs, registries, and ``mcp`` as a client starts it."""

import json
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from windows_kit import IS_WINDOWS, Package, Registry, programs_folder

if not IS_WINDOWS:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def programs():
    """The folder with server.exe and layout.exe."""
    return programs_folder()


@pytest.fixture
def home(tmp_path):
    return str(tmp_path / "home")


@pytest.fixture
def environment(home):
    kept = (
        "PATH",
        "PATHEXT",
        "SYSTEMROOT",
        "SYSTEMDRIVE",
        "COMSPEC",
        "USERNAME",
        "USERPROFILE",
        "PYTHONPATH",
        "PYTHONPYCACHEPREFIX",
    )
    own = {name: os.environ[name] for name in (*kept, "TEMP", "WINDIR") if name in os.environ}
    return {**own, "MCP_HOME": home}


@pytest.fixture
def registry(tmp_path, environment):
    made = Registry(str(tmp_path / "registry"))
    environment["MCP_REGISTRY_URL"] = made.url
    return made


@pytest.fixture
def package(registry, programs):
    """A function: publish server.exe with these arguments; the reference."""

    def publish(*arguments, **manifest):
        return registry.publish(Package(programs, arguments, manifest))

    return publish


@pytest.fixture
def start(environment):
    """A function: start ``mcp`` with these arguments, its streams pipes of ours."""
    started = []

    def run(*arguments, **more):
        process = subprocess.Popen(
            [sys.executable, "-m", "mcp_client", *arguments],
            env={**environment, **more.pop("env", {})},
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        process.stdout.close()
        process.stderr.close()
        process.wait()


@pytest.fixture
def mcp(start):
    """A function: run ``mcp`` to its end; status, standard output and standard error as text."""

    def run(*arguments, stdin=None, **more):
        # Closed at once, a pipe would mean that the client has left already.
        process = start(*arguments, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE, **more)
        out, err = process.communicate(None if stdin is None else stdin.encode(), timeout=120)
        return process.returncode, out.decode(), err.decode()

    return run


@pytest.fixture
def ask():
    """A function: send a request and read the line that answers it."""

    def exchange(process, method, number=1):
        line = json.dumps({"jsonrpc": "2.0", "id": number, "method": method}) + "\n"
        process.stdin.write(line.encode())
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    return exchange
