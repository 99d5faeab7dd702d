"""Many servers: at once, and one after the other. Nothing fails, nothing is left, nothing grows."""

import contextlib
import json
import os

import pytest
from kit import crowd, processes, programs
from kit.command import Mcp

from mcp_client.audit.log import AuditLog
from mcp_client.config.settings import AuditSettings

REFERENCE = programs.single().reference
AT_ONCE, ONE_BY_ONE = 50, 25


def test_fifty_servers_at_once_answer_and_leave_nothing(warm: Mcp) -> None:
    assert warm.run("run", REFERENCE, "--", "leave", "0").status == 0
    before, told = crowd.remains(warm), len(crowd.records(warm))
    with contextlib.ExitStack() as stack:
        everyone = crowd.start_crowd(warm, AT_ONCE, "run", REFERENCE, "--", "hello", warm.marker)
        for one in everyone:
            stack.enter_context(one)
        assert [b'"result"' in line for line in crowd.answers(everyone)] == [True] * AT_ONCE
        assert [one.poll() for one in everyone] == [None] * AT_ONCE
        # The supervisor, the sandbox's init, the server: nobody else is needed for one.
        assert {len(processes.chain(one.pid)) for one in everyone} == {3}
        groups = crowd.groups() - before.groups
        assert crowd.terminate(everyone) == [128 + 15] * AT_ONCE
    processes.assert_gone(warm.marker)
    assert processes.wait_until(lambda: not groups & crowd.groups())
    after = crowd.remains(warm)
    assert after.files == before.files
    assert after.mounts == before.mounts
    assert after.temporary == before.temporary
    events = crowd.records(warm)[told:]
    assert sorted(events) == ["end"] * AT_ONCE + ["start"] * AT_ONCE


def test_a_package_can_be_removed_once_its_servers_have_ended(mcp: Mcp, registry: object) -> None:
    """No lock outlives a crowd, not even one that was killed."""
    registry.publish(programs.single())  # type: ignore[attr-defined]
    assert mcp.run("pull", REFERENCE).status == 0
    with contextlib.ExitStack() as stack:
        everyone = crowd.start_crowd(mcp, 8, "run", REFERENCE, "--", "hello", mcp.marker)
        for one in everyone:
            stack.enter_context(one)
        assert all(crowd.answers(everyone))
        assert mcp.run("cache", "rm", REFERENCE).code == "in-use"
        for one in everyone[::2]:
            one.kill()
        crowd.terminate(everyone)
    processes.assert_gone(mcp.marker)
    assert mcp.run("cache", "rm", REFERENCE).status == 0


def test_one_start_after_the_other_lets_nothing_grow(warm: Mcp) -> None:
    for _ in range(2):
        assert warm.run("run", REFERENCE, "--", "leave", "3").status == 3
    before, told, own = crowd.remains(warm), len(crowd.records(warm)), len(os.listdir("/proc/self/fd"))
    for _ in range(ONE_BY_ONE):
        assert warm.run("run", REFERENCE, "--", "leave", "3").status == 3
    processes.assert_gone(warm.marker)
    after = crowd.remains(warm)
    assert after.files == before.files
    assert after.mounts == before.mounts
    assert after.temporary == before.temporary
    assert crowd.records(warm)[told:] == ["start", "end"] * ONE_BY_ONE
    assert len(os.listdir("/proc/self/fd")) == own


def test_the_look_for_remains_would_see_them(warm: Mcp) -> None:
    """The tests above could not fail if this did not hold."""
    before = crowd.remains(warm)
    for folder in (warm.home, warm.temporary):
        with open(os.path.join(folder, "left"), "w") as file:
            file.write("x")
    after = crowd.remains(warm)
    for folder in (warm.home, warm.temporary):
        os.unlink(os.path.join(folder, "left"))
    assert set(after.files) - set(before.files) == {"left"}
    assert after.temporary - before.temporary == {"left"}


def test_the_audit_log_is_bounded_by_its_settings(warm: Mcp, tmp_path: object) -> None:
    """As many runs as would fill it three times over."""
    path = os.path.join(f"{tmp_path}", "audit", "log")
    config = f"{tmp_path}/config.yaml"
    with open(config, "w") as file:
        file.write(f"audit:\n  file: {path}\n  max_size: 4KB\n  keep: 2\n")
    for _ in range(8):
        assert warm.run("--config", config, "run", REFERENCE, "--", "leave", "3").status == 3
    sizes = {name: os.path.getsize(f"{tmp_path}/audit/{name}") for name in os.listdir(f"{tmp_path}/audit")}
    assert set(sizes) == {"log", "log.1", "log.2"}
    assert max(sizes.values()) <= 4000
    assert AuditLog(AuditSettings(path, 4000, 2)).verify().problems == ()


@pytest.mark.parametrize("records", [1, 1_000_000])
def test_a_record_is_added_without_reading_the_log(tmp_path: object, records: int) -> None:
    """What is read to add one is the same however long the log is, here by a hole."""
    path = f"{tmp_path}/audit.log"
    line = json.dumps({"event": "start", "prev": None}).encode() + b"\n"
    with open(path, "wb") as file:
        file.seek(records * 500)
        file.write(b"\n" + line)
    read_before = _read_bytes()
    AuditLog(AuditSettings(path, 10 << 30, 1)).append({"event": "end"})
    assert _read_bytes() - read_before < 50_000
    with open(path, "rb") as file:
        file.seek(-300, os.SEEK_END)
        assert b'"event":"end"' in file.read()


def _read_bytes() -> int:
    """Bytes this process has read so far, the page cache included (proc_pid_io(5), "rchar")."""
    with open("/proc/self/io", encoding="ascii") as file:
        return int(file.readline().split()[1])
