"""The status of the server is the status of ``mcp run``, and each way to end it ends it in time."""

import signal
import time

import pytest
from kit import processes, programs
from kit.command import Mcp

SINGLE, FORKING = programs.single().reference, programs.forking().reference


@pytest.fixture
def quick(tmp_path: object) -> str:
    """A configuration with little grace."""
    path = f"{tmp_path}/config.yaml"
    with open(path, "w") as opened:
        opened.write("executor:\n  grace: 300ms\n")
    return path


@pytest.mark.parametrize("status", [0, 1, 3, 124, 125, 255])
def test_the_status_of_the_server_passes_through(warm: Mcp, status: int) -> None:
    result = warm.run("run", SINGLE, "--", "leave", str(status))
    assert result.status == status, result.stderr
    assert result.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT])
def test_death_by_a_signal_is_128_and_its_number(warm: Mcp, number: signal.Signals) -> None:
    assert warm.run("run", SINGLE, "--", "die", str(int(number))).status == 128 + number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_server(warm: Mcp, number: signal.Signals) -> None:
    with warm.start("run", SINGLE, "--", "until_signal") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.stdout.read() == f"{number.name}\n".encode()
        assert process.wait(10) == 6


def test_the_end_of_stdin_reaches_the_server(warm: Mcp) -> None:
    with warm.start("run", SINGLE, "--", "until_eof") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.close()
        assert process.wait(10) == 5
        assert process.stderr.read() == b"saw the end of stdin\n"


def test_the_end_of_stdin_with_the_reader_gone_reaches_the_server(warm: Mcp) -> None:
    """A client that crashed closes all its pipes at once."""
    with warm.start("run", SINGLE, "--", "until_eof") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdout.close()
        process.stdin.close()
        assert process.wait(10) == 5


@pytest.mark.parametrize("first", ["eof", "signal"])
def test_a_server_that_ignores_everything_is_gone_after_the_grace(warm: Mcp, quick: str, first: str) -> None:
    with warm.start("--config", quick, "run", SINGLE, "--", "stubborn", warm.marker) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        if first == "eof":
            process.stdin.close()
        else:
            process.terminate()
        assert process.wait(10) == 128 + signal.SIGKILL
    processes.assert_gone(warm.marker, 1)


def test_the_timeout_ends_a_server_with_124(warm: Mcp, quick: str) -> None:
    with warm.start(
        "--config", quick, "run", "--timeout", "300ms", SINGLE, "--", "stubborn", warm.marker
    ) as process:
        assert process.wait(20) == 124
        assert process.stderr is not None
        assert b"timeout" in process.stderr.read().lower().replace(b"timed out", b"timeout")
    processes.assert_gone(warm.marker, 1)


def test_a_server_that_ends_before_the_timeout_keeps_its_status(warm: Mcp) -> None:
    assert warm.run("run", "--timeout", "60s", SINGLE, "--", "leave", "3").status == 3


def test_the_last_bytes_reach_a_slow_reader(warm: Mcp) -> None:
    """The server is gone long before its megabyte has left the pipe."""
    size = 1 << 20
    with warm.start("run", SINGLE, "--", "burst", str(size)) as process:
        assert process.stdout is not None
        data = b""
        while piece := process.stdout.read1(32 << 10):
            data += piece
            time.sleep(0.002)
        assert process.wait(10) == 0
    assert len(data) == size
    assert data.endswith(b"end\n")


def test_a_daemon_dies_with_its_server(warm: Mcp) -> None:
    with warm.start("run", FORKING, "--", "daemon", warm.marker) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.close()
        assert process.wait(10) == 0
    processes.assert_gone(warm.marker, 1)


def test_a_child_that_holds_stdout_dies_with_its_server(warm: Mcp) -> None:
    with warm.start("run", FORKING, "--", "holder", warm.marker) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"ready\n"
        assert process.wait(10) == 4
    processes.assert_gone(warm.marker, 1)
