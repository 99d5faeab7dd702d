"""The command line called in this process, with a home of its own."""

import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from mcp_client.cli.main import main


class Called(NamedTuple):
    """One call of ``mcp``."""

    status: int
    stdout: str
    stderr: str

    @property
    def envelope(self) -> dict[str, Any]:
        value = json.loads(self.stdout)
        assert isinstance(value, dict)
        return value


Call = Callable[..., Called]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> str:
    for name in [name for name in os.environ if name.startswith(("MCP_", "_MCP"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.argv", ["/usr/bin/mcp"])
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = str(tmp_path / "mcp-home")
    monkeypatch.setenv("MCP_HOME", folder)
    return folder


@pytest.fixture
def call(capsys) -> Call:
    def run(*arguments: str) -> Called:
        capsys.readouterr()
        status = main(arguments)
        captured = capsys.readouterr()
        return Called(status, captured.out, captured.err)

    return run
