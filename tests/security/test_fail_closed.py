"""If any step of the set-up fails, the server never starts and nothing of the sandbox stays."""

import os
import re
from typing import Any

import pytest
from arena.processes import descendants, mount_table
from arena.sandbox import run_inside
from arena.stages import ROOT_ONLY, Stage, failing, identify, stages

from mcp_client.errors import MCPError
from mcp_client.policy.model import Folder
from mcp_client.sandbox.linux import identity, init, landlock, libc, mounts, privileges, server

SLEEP = "import time; time.sleep(60)"
PROOF = "import os; open('/mnt/proof/started', 'w'); print('started')"

# What is made to fail -> the stage of the launch that must report it.
FAULTS: dict[tuple[Any, str], str] = {
    (os, "setsid"): "die with the supervisor",
    (init, "offer_to_the_oom_killer"): "offer the server first when memory runs out",
    (init, "_clone_granted"): "map granted folders",
    (os, "setgroups"): "leave the host's groups",
    (libc, "unshare"): "create namespaces",
    (identity, "map_ids"): "map the user",
    (init, "_die_with_supervisor"): "die with the supervisor",
    (init, "_bring_up_loopback"): "bring up loopback",
    (libc, "open_network_socket"): "bring up loopback",
    (libc, "sethostname"): "bring up loopback",
    (libc, "make_mounts_private"): "open mount sources",
    (mounts, "clone_sources"): "open mount sources",
    (libc, "clone_tree"): "open mount sources",
    (libc, "set_mount_attributes"): "open mount sources",
    (os, "setresgid"): "become an unprivileged user",
    (os, "setresuid"): "become an unprivileged user",
    (libc, "new_filesystem"): "build the root",
    (libc, "attach_mount"): "build the root",
    (mounts.Root, "build"): "build the root",
    (mounts.Root, "enter"): "enter the root",
    (libc, "pivot_root_here"): "enter the root",
    (init, "_assert_no_user_namespace"): "refuse user namespaces",
    (libc, "drop_all_capabilities"): "drop privileges",
    (privileges, "lock_meaning_of_root"): "drop privileges",
    (privileges, "assert_unprivileged"): "drop privileges",
    (init, "_hide_command_line"): "drop privileges",
    (init._socket, "socketpair"): "fork the server",
    (server, "resource_limits"): "set limits",
    (server.resource, "setrlimit"): "set limits",
    (server, "_enter_folder"): "enter the working folder",
    (landlock, "restrict_to_root"): "restrict files with Landlock",
    (server, "_reset_signals"): "reset signals",
    (libc, "close_all_but"): "close descriptors",
    (libc, "close_range"): "close descriptors",
    (server, "load_gate"): "load the gate",
    (libc, "load_seccomp_listener"): "load the gate",
    (libc, "load_seccomp_filter"): "load the system call filter",
}


def _refuse(*_arguments: object, **_options: object) -> None:
    raise OSError(5, "injected")


@pytest.fixture
def proof(tmp_path: os.PathLike[str]) -> str:
    path = os.path.join(tmp_path, "proof")
    os.mkdir(path)
    return path


def _run(proof: str) -> bytes:
    return run_inside(PROOF, folders=[Folder(proof, "/mnt/proof", True)]).output


def test_without_a_fault_the_server_leaves_its_proof(proof: str) -> None:
    assert _run(proof) == b"started\n"
    assert os.listdir(proof) == ["started"]


@pytest.mark.parametrize("stage", stages(), ids=identify)
def test_a_stage_that_fails_stops_the_start(stage: Stage, proof: str) -> None:
    """All of them, as the source has them: one that is added is tried without being named here."""
    with failing(stage):
        _assert_nothing_starts(proof, stage.name)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[1])
def test_a_fault_stops_the_start(fault: tuple[Any, str], proof: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if FAULTS[fault] in ROOT_ONLY and os.geteuid() != 0:
        # Nothing to prove but that such a launch does not even come here.
        monkeypatch.setattr(*fault, _refuse)
        assert _run(proof) == b"started\n"
        return
    monkeypatch.setattr(*fault, _refuse)
    _assert_nothing_starts(proof, FAULTS[fault])


def test_capabilities_that_only_seem_to_go_are_noticed(proof: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "drop_all_capabilities", lambda: None)
    _assert_nothing_starts(proof, "Cap")


def test_what_python_itself_cannot_do_stops_the_start(proof: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an OSError, and outside of any stage."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("injected")

    monkeypatch.setattr(init, "fork_server", fail)
    _assert_nothing_starts(proof, "injected")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


class _BrokenMeter:
    due_at, exceeded, peak = 0.0, False, 0

    def __init__(self, *_: object) -> None: ...

    def look(self) -> None:
        # Before the server executes, what fails is a step of the set-up.
        if b"sleep" in _read("/proc/2/cmdline"):
            raise LookupError("injected")


def test_an_init_that_cannot_go_on_ends_the_server_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that init does while the server runs may end silently, or leave the server without a keeper."""
    monkeypatch.setattr(init, "Meter", _BrokenMeter)
    children = set(descendants(os.getpid()))
    with pytest.raises(MCPError, match="LookupError: injected") as caught:
        run_inside(SLEEP)
    assert caught.value.code == "sandbox-failed"
    assert set(descendants(os.getpid())) - children == set()


def _assert_nothing_starts(proof: str, message: str) -> None:
    children, mounted = set(descendants(os.getpid())), mount_table()
    with pytest.raises(MCPError, match=re.escape(message)):
        _run(proof)
    assert os.listdir(proof) == []
    assert set(descendants(os.getpid())) - children == set()
    assert [line for line in mount_table() - mounted if proof in line or "mcp" in line] == []
