"""Progress of the real command: on a real terminal, in a log, and never where an MCP client listens."""

import os
import re

import pytest
from kit import programs
from kit.bundle import Package, manifest_form, pack, package, regular
from kit.command import EXECUTABLE, Mcp
from kit.registry import Fault, Registry
from kit.terminal import Terminal

DRIP = 0.01
HEADING = "REFERENCE"


@pytest.fixture
def slow(registry: Registry) -> Package:
    """A package whose bundle takes a second to come, and forces no second line on anybody."""
    source = programs.single()
    with open(programs.SOURCE, "rb") as file:
        members = [(regular("main.py", data := file.read()), data)]
    noise = os.urandom(100_000)
    members.append((regular("noise", noise), noise))
    form = manifest_form("test/slow@1.0.0", "python3", "-I", "-S", "${bundle}/main.py")
    one = package(form, pack(members))
    registry.publish(one, source)
    registry.faults["bundle"] = Fault(drip=DRIP)
    return one


def progress(terminal: Terminal) -> bool:
    return any("bundle" in line and "%" in line for line in terminal.shown())


def test_a_pull_shows_its_downloads_and_leaves_only_its_report(mcp: Mcp, slow: Package) -> None:
    with Terminal() as terminal:
        process = terminal.start([EXECUTABLE, "pull", slow.reference], mcp.env)
        terminal.until(lambda: progress(terminal))
        assert terminal.finish(process) == 0
        heading, *report = terminal.shown()
        assert heading.startswith(HEADING)
        # The digest is longer than what is left of the line.
        assert "".join(report).split()[:2] == [slow.reference, "pulled"]
        assert len(report) == 2


@pytest.mark.parametrize("command", [("pull",), ("run",), ("pull", "--to", "mirror")], ids=" ".join)
def test_an_interrupted_download_leaves_a_clean_screen(
    mcp: Mcp, registry: Registry, slow: Package, command: tuple[str, ...]
) -> None:
    registry.faults["bundle"] = Fault(drip=0.2)
    with Terminal() as terminal:
        process = terminal.start([EXECUTABLE, *command, slow.reference], mcp.env, cwd=mcp.folder)
        terminal.until(lambda: progress(terminal))
        terminal.press(b"\x03")
        assert terminal.finish(process) == 130
        # What the terminal itself shows of the key is all that is left.
        assert [line for line in terminal.shown() if line not in {"", "^C"}] == []
        assert not terminal.screen.cursor.hidden
        assert b"\x1b[?" not in terminal.raw


def test_a_log_gets_plain_lines_and_stdout_none_of_them(mcp: Mcp, slow: Package) -> None:
    result = mcp.run("pull", slow.reference)
    assert result.status == 0
    assert re.fullmatch(rf"mcp: {slow.reference}: bundle, .+ in .+ s \(.+/s\)\n", result.stderr)
    assert result.stdout.splitlines()[0].split()[0] == HEADING.encode()
    assert len(result.stdout.splitlines()) == 2


@pytest.mark.parametrize("terminal_too", [False, True])
def test_quiet_says_nothing(mcp: Mcp, slow: Package, terminal_too: bool) -> None:
    if not terminal_too:
        assert mcp.run("pull", "--quiet", slow.reference).stderr == ""
        return
    with Terminal() as terminal:
        process = terminal.start([EXECUTABLE, "pull", "-q", slow.reference], mcp.env)
        assert terminal.finish(process) == 0
        assert b"bundle" not in terminal.raw


def test_a_cold_run_by_hand_shows_its_download(mcp: Mcp, slow: Package) -> None:
    with Terminal() as terminal:
        process = terminal.start([EXECUTABLE, "run", slow.reference, "--", "leave", "3"], mcp.env)
        terminal.until(lambda: progress(terminal))
        assert terminal.finish(process) == 3
        assert terminal.shown() == []


def test_a_cold_run_by_a_client_shows_nothing_even_on_a_terminal(mcp: Mcp, slow: Package) -> None:
    """Clients hand down their own terminal as standard error, and pipes as the other two."""
    with Terminal() as terminal:
        arguments = ["run", slow.reference, "--", "leave", "3"]
        with mcp.start(*arguments, stderr=terminal.descriptor, env={"TERM": "xterm"}) as process:
            assert terminal.finish(process) == 3
            assert process.stdout is not None
            assert process.stdout.read() == b""
        assert terminal.raw == b""
