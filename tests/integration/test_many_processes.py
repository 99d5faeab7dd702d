"""Thirty-two processes pull eight packages at once into one cold cache."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from kit.bundle import Package, manifest_form, pack_files, package
from kit.command import Mcp
from kit.registry import Fault, Registry

PULLER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs", "puller.py")
PROCESSES = 32


def packages() -> list[Package]:
    """Eight, of which two have the same bundle."""
    bundles = [
        pack_files({"main.py": f"# {n}", **{f"d/{k}": f"{n} {k}" * 99 for k in range(20)}}) for n in range(7)
    ]
    return [
        package(manifest_form(f"test/p{n}@1.0.0", "python3", "${bundle}/main.py"), bundle)
        for n, bundle in enumerate([*bundles, bundles[0]])
    ]


@pytest.fixture
def eight(registry: Registry) -> list[Package]:
    """Published by a registry that takes its time, so that all of them want the same at once."""
    made = packages()
    registry.publish(*made)
    registry.faults["bundle"] = Fault(delay=0.05)
    return made


class Crowd:
    """Processes that pull the same packages."""

    def __init__(self, mcp: Mcp, references: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, PULLER, str(PROCESSES), *references],
            env=mcp.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready"
        self._tell("go")
        self.pids: list[int] = json.loads(self._line())
        self._handles = {pid: os.pidfd_open(pid) for pid in self.pids}
        self._tell("wait for them")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def kill(self, pid: int) -> None:
        """By its handle: when it has ended, its number may be somebody else's by now."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handles[pid], signal.SIGKILL)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ends(self) -> Iterator[tuple[int, int, str]]:
        """Pid, status and standard error of each, as they end."""
        for _ in self.pids:
            pid, status, said = json.loads(self._line())
            yield pid, status, said
        self._process.communicate(timeout=30)
        for handle in self._handles.values():
            os.close(handle)


def fetched(registry: Registry) -> Counter[str]:
    """How often each artifact was asked for."""
    return Counter(entry.path for entry in registry.log if entry.place in {"manifest", "bundle"})


def assert_whole(mcp: Mcp, references: list[str]) -> None:
    verified = mcp.run("cache", "verify")
    assert verified.status == 0, verified
    assert mcp.cached("staging") == []
    listed = json.loads(mcp.run("cache", "ls", "--json").stdout)["result"]["entries"]
    assert {name for entry in listed for name in entry["references"]} == set(references)


def test_each_artifact_is_downloaded_once(mcp: Mcp, registry: Registry, eight: list[Package]) -> None:
    references = [one.reference for one in eight]
    for pid, status, said in Crowd(mcp, references).ends():
        assert status == 0, (pid, said)
        assert "error" not in said
        assert "warning" not in said
    times = fetched(registry)
    assert len(times) == 8 + 7
    assert set(times.values()) == {1}
    assert_whole(mcp, references)
    assert len(mcp.cached("trees")) == 7


def test_some_are_killed_and_the_others_do_not_care(
    mcp: Mcp, registry: Registry, eight: list[Package]
) -> None:
    # Long enough that those who are to be killed are still at work.
    registry.faults["bundle"] = Fault(delay=0.25)
    references = [one.reference for one in eight]
    crowd = Crowd(mcp, references)
    dice = random.Random(5)
    victims = dice.sample(crowd.pids, PROCESSES // 2)
    for pid in victims:
        time.sleep(dice.uniform(0, 0.08))
        crowd.kill(pid)
    killed = 0
    for pid, status, said in crowd.ends():
        if pid in victims and status == -signal.SIGKILL:
            killed += 1
            continue
        assert status == 0, (pid, said)
        assert "error" not in said
    assert killed, "nobody was killed in time"
    following = mcp.run("pull", *references, "--refresh")
    assert following.status == 0, following
    assert_whole(mcp, references)


def test_a_cache_that_is_too_small_for_all_of_it(mcp: Mcp, registry: Registry, eight: list[Package]) -> None:
    """They evict each other's packages all the time; each pull succeeds all the same, and the limit holds."""
    sizes = [len(one.manifest) + len(one.bundle) for one in eight]
    mcp.configure("cache:\n  max_size: 20000\n")
    references = [one.reference for one in eight]
    for pid, status, said in Crowd(mcp, references).ends():
        assert status == 0, (pid, said)
        assert "error" not in said
        assert "warning" not in said
    assert mcp.run("pull", references[0], "--refresh").status == 0
    stats = json.loads(mcp.run("cache", "stats", "--json").stdout)["result"]
    assert sum(sizes) > 0
    assert stats["total_bytes"] <= 20_000
    assert mcp.run("cache", "verify").status == 0
    assert mcp.cached("staging") == []
