"""``--offline`` opens no socket, whatever else is asked for."""

import os
import sys

import pytest
from kit import mounted, programs
from kit.command import Mcp, refused
from kit.registry import Registry

ONE = programs.single()
LEAVE = ("--", "leave", "3")
# Reports every socket of the internet and every look-up of a name that the program makes.
WATCHED = """
import runpy, socket, sys
def hook(event, arguments):
    inet = event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6)
    if inet or event.startswith("socket.get"):
        sys.stderr.write(f"opened: {event}\\n")
sys.addaudithook(hook)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
PREFIX = [sys.executable, "-c", WATCHED]
COMMANDS = {
    "run": ("run", ONE.reference),
    "pull": ("pull", ONE.reference),
    "info": ("info", ONE.reference),
    "lock": ("lock", ONE.reference),
    "locked": ("pull", "--locked"),
    "mutable": ("info", "test/single@latest"),
}


@pytest.fixture(autouse=True)
def here(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_watch_sees_what_opens(mcp: Mcp, registry: Registry) -> None:
    registry.publish(ONE)
    assert "opened: socket.__new__" in mcp.run("pull", ONE.reference, prefix=PREFIX).stderr


@pytest.mark.parametrize("cached", [False, True], ids=["cold", "warm"])
def test_no_socket_is_opened(mcp: Mcp, registry: Registry, cached: bool) -> None:
    registry.publish(ONE)
    assert mcp.run("lock", ONE.reference).status == 0
    if not cached:
        assert mcp.run("cache", "rm", "--all").status == 0
    registry.log.clear()
    for name, (command, *rest) in COMMANDS.items():
        arguments = (command, "--offline", *rest, *(LEAVE if name == "run" and cached else ()))
        result = mcp.run(*arguments, prefix=PREFIX)
        assert "opened" not in result.stderr, (name, result)
        if name == "mutable":
            assert result.code == "reference-mutable"
        elif not cached:
            assert result.code == "offline-missing", (name, result)
            assert result.hint
        else:
            assert result.status == (3 if name == "run" else 0), (name, result)
    assert registry.log == []


@pytest.mark.parametrize("how", ["variable", "setting"])
def test_it_can_be_said_once_for_all(mcp: Mcp, registry: Registry, how: str) -> None:
    registry.publish(ONE)
    if how == "setting":
        mcp.configure("registry: {offline: true}")
    refused(
        mcp.run("run", ONE.reference, env={"MCP_OFFLINE": "1"} if how == "variable" else {}),
        "offline-missing",
    )
    assert registry.log == []


def test_not_even_loopback_is_needed(warm: Mcp) -> None:
    prefix = mounted.without_network()
    assert warm.run("pull", "--offline", ONE.reference, prefix=prefix).status == 0
    assert warm.run("info", "--offline", ONE.reference, prefix=prefix).status == 0


@pytest.mark.parametrize("option", ["--refresh", "--accept-moved"])
def test_asking_and_not_asking_are_not_both_done(mcp: Mcp, registry: Registry, option: str) -> None:
    for other in ("--offline", "--locked"):
        result = mcp.run("pull", option, other, ONE.reference)
        assert (result.status, result.code) == (2, "usage")
    assert registry.log == []
