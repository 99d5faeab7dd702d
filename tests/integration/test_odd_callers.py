"""Callers that close descriptors, ignore signals, or set a umask: each is somebody's daemon."""

import os
import subprocess
import sys

import pytest
from kit import programs
from kit.command import EXECUTABLE, Mcp

REFERENCE = programs.single().reference
SHELL = 'exec "$0" "$@" '


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_no_place_for_our_files(warm: Mcp, closed: str) -> None:
    command = ["sh", "-c", SHELL + closed, EXECUTABLE, "run", "-v", REFERENCE, "--", "leave", "3"]
    assert subprocess.run(command, env=warm.env, check=False, timeout=30).returncode == 3


def test_a_parent_that_ignores_its_children_and_blocks_signals(warm: Mcp) -> None:
    prepare = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", prepare, EXECUTABLE, "run", REFERENCE, "--", "leave", "3"]
    done = subprocess.run(command, env=warm.env, capture_output=True, check=False, timeout=30)
    assert done.returncode == 3, done.stderr


@pytest.mark.parametrize("umask", ["000", "002", "077"])
def test_the_home_is_private_whatever_the_umask(mcp: Mcp, umask: str) -> None:
    command = ["sh", "-c", f"umask {umask}; {SHELL}", EXECUTABLE, "pull", "acme/hello-world@1.2.3"]
    env = {**mcp.env, "MCP_REGISTRY_URL": "embedded"}
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=60)
    assert os.stat(mcp.home).st_mode & 0o777 == 0o700
    assert mcp.run("doctor", env={"MCP_REGISTRY_URL": "embedded"}).status == 0


def test_a_timeout_longer_than_poll_can_wait(warm: Mcp) -> None:
    assert warm.run("run", "--timeout", "1000h", REFERENCE, "--", "leave", "3").status == 3


def test_an_audit_log_that_is_a_pipe_stops_nobody(mcp: Mcp) -> None:
    os.makedirs(mcp.home, mode=0o700)
    os.mkfifo(os.path.join(mcp.home, "audit.log"))
    assert "not a regular file" in mcp.run("doctor", seconds=30).stdout.decode()


def test_a_variable_that_is_too_large_is_named_as_such(warm: Mcp) -> None:
    path = os.path.join(warm.folder, "large.env")
    with open(path, "w") as file:
        file.write("LARGE=" + "x" * 200_000 + "\n")
    result = warm.run("run", "--env-file", path, REFERENCE, "--", "leave", "3")
    assert (result.code, result.status) == ("env-refused", 125)


def test_the_module_is_a_command_too(warm: Mcp) -> None:
    command = [sys.executable, "-m", "mcp_client", "run", REFERENCE, "--", "leave", "3"]
    assert subprocess.run(command, env=warm.env, check=False, timeout=30).returncode == 3


@pytest.mark.parametrize("option", [("--log-level", "loud"), ("--bogus",)], ids=" ".join)
def test_a_wrong_global_option_before_run_is_a_failed_run(warm: Mcp, option: tuple[str, ...]) -> None:
    result = warm.run(*option, "run", "--json", REFERENCE)
    assert (result.code, result.status, result.stdout) == ("usage", 125, b"")
