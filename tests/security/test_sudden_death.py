"""SIGKILL for the supervisor or for the process at work, at each stage of a launch: nothing may remain."""

import json
import os
import signal
import socket
import time
import traceback
from typing import Any

import pytest
from arena.processes import STATE, command_of, descendants, groups_of, mount_table, numbers_of, stat_of
from arena.sandbox import run_inside
from arena.stages import Stage, identify, stages, stopping

from mcp_client.policy.model import Folder
from mcp_client.sandbox.linux import identity, libc

PROOF = "open('/mnt/proof/started', 'w')"
_SECONDS = 60.0


@pytest.fixture
def proof(tmp_path: os.PathLike[str]) -> str:
    path = os.path.join(tmp_path, "proof")
    os.mkdir(path)
    return path


# The worker is who carries the stage out: the porter, init, or the server to be.
KILLS = [
    pytest.param(stage, victim, id=f"{identify(stage)}, {victim}")
    for stage in stages()
    for victim in ("supervisor", "worker", *(("init",) if stage.in_server else ()))
]


@pytest.mark.parametrize(("stage", "victim"), KILLS)
def test_nothing_remains_after_a_kill_at(stage: Stage, victim: str, proof: str) -> None:
    found = _in_a_nursery(stage, victim, proof)
    assert found["problem"] is None, found["problem"]
    assert found["reached"], "the stage was never reached"
    assert found["left"] == []
    assert found["groups"] == []
    assert found["mounts"] == []
    # A server that was let go may have begun before its supervisor was killed, and no later.
    if victim != "supervisor" or stage.name != "exec":
        assert os.listdir(proof) == []


def test_a_launch_that_is_not_killed_leaves_its_proof(proof: str) -> None:
    """The control: the same nursery, and nobody is killed."""
    found = _in_a_nursery(stages()[-1], "nobody", proof)
    assert (found["problem"], found["left"], os.listdir(proof)) == (None, [], ["started"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root shows folders through id-mapped mounts")
@pytest.mark.parametrize("victim", ["supervisor", "worker"])
def test_the_process_that_stands_for_an_owner_dies_with_a_killed_start(
    victim: str, proof: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds a user namespace while its parent, the porter, prepares a granted folder."""

    def stop(*_arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        raise OSError(5, "injected")

    monkeypatch.setattr(identity, "_write_maps", stop)
    found = _in_a_nursery(Stage("none of them", 1, in_server=False), victim, proof)
    assert found["problem"] is None, found["problem"]
    assert found["family"] == 2, "the porter, and the process that stands for the owner"
    assert (found["reached"], found["left"], os.listdir(proof)) == (True, [], [])


def _in_a_nursery(stage: Stage, victim: str, proof: str) -> dict[str, Any]:
    """Launch below a process that inherits every orphan, so that a survivor cannot hide anywhere."""
    read, write = os.pipe()
    nursery = os.fork()
    if nursery == 0:
        found: dict[str, Any] = {"problem": None}
        try:
            os.close(read)
            os.setsid()
            libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
            found.update(_launch_and_kill(stage, victim, proof))
        except BaseException:  # noqa: BLE001  whatever it is, the test has to tell it
            found["problem"] = traceback.format_exc()
        finally:
            os.write(write, json.dumps(found).encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(nursery, 0)
    return dict(json.loads(answer))


def _launch_and_kill(stage: Stage, victim: str, proof: str) -> dict[str, Any]:
    mounts = mount_table()
    ours, theirs = socket.socketpair()
    supervisor = os.fork()
    if supervisor == 0:
        ours.close()
        try:
            with stopping(stage, theirs.fileno()):
                run_inside(PROOF, folders=[Folder(proof, "/mnt/proof", True)])
        finally:
            os._exit(0)
    theirs.close()
    reached = _wait(lambda: _has_spoken(ours) or _stopped(supervisor))
    family = list(descendants(supervisor))
    groups = {group for pid in family for group in groups_of(pid)} - set(groups_of(os.getpid()))
    if victim != "nobody":
        os.kill(supervisor if victim == "supervisor" else _find(victim, stage, family), signal.SIGKILL)
    # What was stopped goes on, if it still can.
    ours.close()
    for pid in family:
        if stat_of(pid)[STATE] == "T":
            os.kill(pid, signal.SIGCONT)
    left = [] if _wait(_reap_all) else list(descendants(os.getpid()))
    found = [command_of(pid) for pid in left]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return {
        "reached": reached,
        "family": len(family),
        "left": found,
        "groups": [] if _wait(lambda: not any(map(os.path.isdir, groups))) else sorted(groups),
        "mounts": sorted(line for line in mount_table() - mounts if proof in line or "mcp" in line),
    }


def _find(victim: str, stage: Stage, family: list[int]) -> int:
    """Init is the first of its namespace, the server is init's child, and before both there is the porter."""
    init = next((pid for pid in family if numbers_of(pid)[1:] == ["1"]), None)
    if init is None:
        return family[0]
    return next(descendants(init)) if victim == "worker" and stage.in_server else init


def _wait(condition: Any) -> bool:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.003)
    return True


def _reap_all() -> bool:
    """Whether no child is left, adopted ones included."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _has_spoken(line: socket.socket) -> bool:
    try:
        return line.recv(7, socket.MSG_DONTWAIT) == b"reached"
    except OSError:
        return False


def _stopped(root: int) -> bool:
    return any(stat_of(pid)[STATE] == "T" for pid in descendants(root))
