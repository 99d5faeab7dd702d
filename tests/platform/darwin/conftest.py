"""``mcp`` with the sandbox of macOS where there is no macOS."""

import json
import os
import shutil
import sys

import pytest
from kit import command, folder, processes

HERE = os.path.dirname(os.path.abspath(__file__))
STANDIN = os.path.join(HERE, "standin")


@pytest.fixture(autouse=True)
def no_heir():
    """Launches within the process of other tests make it inherit orphans, and nobody would wait for these."""
    if sys.platform == "linux":
        from mcp_client.sandbox.linux import libc

        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 0)


class StandIn(command.Mcp):
    """Like the command itself. As root the server would be root on the host, which has to be accepted."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.registry = os.path.join(place, "registry")
        self.tools = os.path.join(place, "tools")
        os.makedirs(self.tools)
        self.launcher = os.path.join(self.tools, "sandbox-exec")
        with open(os.path.join(STANDIN, "sandbox_exec.py")) as source, open(self.launcher, "w") as script:
            script.write(f"#!{os.path.realpath(sys.executable)} -IS\n{source.read()}")
        os.chmod(self.launcher, 0o755)
        self.mode("denies")
        self.env["STAND_IN_LAUNCHER"] = self.launcher

    def mode(self, name: str) -> None:
        """How the stand-in's trial goes."""
        with open(os.path.join(self.tools, "mode"), "w") as file:
            file.write(name)

    def calls(self) -> list[list[str]]:
        """The arguments that sandbox-exec was given, call by call."""
        path = os.path.join(self.tools, "calls")
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return [json.loads(line) for line in file]

    def publish(self, *packages):
        """In a registry that is a folder."""
        self.env["MCP_REGISTRY_URL"] = folder.publish(self.registry, *packages)

    def serve(self, package, *arguments, options=(), **settings):
        """Run a package; ``options`` are those of ``mcp run``."""
        self.publish(package)
        return self.run("run", *self.accepted, *options, package.reference, "--", *arguments, **settings)

    @property
    def accepted(self) -> list[str]:
        return ["--allow-degraded"] if os.geteuid() == 0 else []

    @property
    def scratch(self) -> list[str]:
        """Private folders that are there now."""
        place = os.path.join(self.cache, "scratch")
        return os.listdir(place) if os.path.isdir(place) else []


@pytest.fixture
def mac(tmp_path, monkeypatch):
    if sys.platform != "linux":
        pytest.skip("the stand-ins are for Linux; test_macos.py is the real thing")
    monkeypatch.setattr(command, "EXECUTABLE", sys.executable)
    made = StandIn(str(tmp_path))
    run, start = made.run, made.start
    program = os.path.join(STANDIN, "program.py")
    made.run = lambda *args, **options: run(program, *args, **options)
    made.start = lambda *args, **options: start(program, *args, **options)
    yield made
    processes.assert_gone(made.marker)
    shutil.rmtree(made.tools)
