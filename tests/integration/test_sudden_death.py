"""``mcp`` is killed at any moment, or its client hangs up at any moment: nothing stays."""

import os
import random
import signal
import time

import pytest
from kit import processes, programs
from kit.command import Mcp
from kit.registry import Fault, Registry

REFERENCE = programs.forking().reference
# From before Python is up to well after the server runs, on a slow machine too.
WARM_MOMENTS = sorted(random.Random(1).uniform(0.0, 0.35) for _ in range(12))
COLD_MOMENTS = sorted(random.Random(2).uniform(0.1, 0.9) for _ in range(8))


def kill_at(mcp: Mcp, seconds: float, *args: str) -> None:
    """Start, wait ``seconds``, SIGKILL; the pipes of the client stay open, so only the death itself tells."""
    with mcp.start(*args) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        processes.assert_gone(mcp.marker, 5)


def test_a_kill_at_any_moment_of_a_warm_start_leaves_nothing(warm: Mcp) -> None:
    mounts, temporary = processes.mounts(), processes.temporary_entries()
    for moment in WARM_MOMENTS:
        kill_at(warm, moment, "run", REFERENCE, "--", "stubborn", warm.marker)
        assert os.listdir(warm.temporary) == [], moment
    assert ours(warm, processes.mounts() - mounts) == []
    assert processes.temporary_entries() - temporary == set()
    assert warm.run("run", REFERENCE, "--", "leave", "3").status == 3


def test_a_kill_at_any_moment_of_a_cold_start_leaves_nothing(mcp: Mcp, registry: Registry) -> None:
    """The registry answers slowly, so that most kills hit a download."""
    registry.publish(programs.forking())
    registry.faults = {"resolve": Fault(delay=0.1), "manifest": Fault(delay=0.1), "bundle": Fault(drip=0.1)}
    mounts, temporary = processes.mounts(), processes.temporary_entries()
    for moment in COLD_MOMENTS:
        kill_at(mcp, moment, "run", REFERENCE, "--", "daemon", mcp.marker)
        assert os.listdir(mcp.temporary) == [], moment
    assert ours(mcp, processes.mounts() - mounts) == []
    assert processes.temporary_entries() - temporary == set()
    registry.faults = {}
    result = mcp.run("run", REFERENCE, "--", "leave", "3")
    assert result.status == 3, result.stderr
    assert mcp.cached("staging") == []
    assert len(mcp.cached("manifests")) == len(mcp.cached("bundles")) == len(mcp.cached("trees")) == 1


def test_a_kill_of_a_running_server_with_children_leaves_nothing(warm: Mcp) -> None:
    with warm.start("run", REFERENCE, "--", "daemon", warm.marker) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert any("daemon" in line for line in processes.carrying(warm.marker).values())
        process.kill()
        process.wait()
        processes.assert_gone(warm.marker, 2)


def ours(mcp: Mcp, lines: set[str]) -> list[str]:
    """Lines of the mount table that have to do with this test."""
    return [line for line in lines if mcp.folder in line or "mcp" in line]


@pytest.mark.parametrize("place", ["resolve", "manifest", "bundle"])
def test_a_client_that_hangs_up_during_the_download_ends_it_at_once(
    mcp: Mcp, registry: Registry, place: str
) -> None:
    registry.publish(programs.single())
    registry.faults[place] = Fault(delay=60)
    with mcp.start("run", programs.single().reference, "--", "cat") as process:
        assert processes.wait_until(lambda: any(entry.place == place for entry in registry.log))
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        assert process.wait(3) == 0
        assert process.stdout.read() == b""
    assert mcp.cached("bundles", "trees") == []
    registry.faults = {}
    assert mcp.run("run", programs.single().reference, "--", "leave", "3").status == 3
    assert mcp.cached("staging") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_download_ends_it_at_once(
    mcp: Mcp, registry: Registry, number: signal.Signals
) -> None:
    registry.publish(programs.single())
    registry.faults["bundle"] = Fault(delay=60)
    with mcp.start("run", programs.single().reference, "--", "cat") as process:
        assert processes.wait_until(lambda: bool(registry.requests("bundle")))
        process.send_signal(number)
        assert process.wait(3) in (128 + number, -number)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read() == b""
        assert b"Traceback" not in process.stderr.read()
    assert mcp.cached("bundles", "trees", "staging") == []
    registry.faults = {}
    assert mcp.run("run", programs.single().reference, "--", "leave", "3").status == 3
    assert mcp.cached("staging") == []


def test_input_that_came_before_the_server_was_there_is_not_lost(mcp: Mcp, registry: Registry) -> None:
    """Clients write their first message at once; it waits in the pipe while the package is fetched."""
    registry.publish(programs.single())
    registry.faults["bundle"] = Fault(delay=0.5)
    with mcp.start("run", programs.single().reference, "--", "cat") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"first message\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"first message\n"
        process.stdin.close()
        assert process.wait(10) == 0


def test_a_message_and_the_end_of_input_before_the_server_is_there(mcp: Mcp, registry: Registry) -> None:
    """A one-shot use in a shell, ``echo ... | mcp run``: a closed pipe with input is no hang-up."""
    registry.publish(programs.single())
    registry.faults["bundle"] = Fault(delay=0.3)
    result = mcp.run("run", programs.single().reference, "--", "cat", given=b"only message\n")
    assert result.status == 0, result.stderr
    assert result.stdout == b"only message\n"
