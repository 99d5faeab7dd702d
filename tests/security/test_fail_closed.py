"""If any step of the set-up fails, the server never starts and nothing of the sandbox stays."""

import os
from typing import Any

import pytest
from arena.sandbox import run_inside

from mcp_client.errors import MCPError
from mcp_client.policy.model import Folder
from mcp_client.sandbox.linux import identity, init, landlock, libc, mounts, privileges, server

PROOF = "import os; open('/mnt/proof/started', 'w'); print('started')"

STEPS: dict[str, tuple[Any, str]] = {
    "unshare": (libc, "unshare"),
    "mapping ids": (identity, "map_ids"),
    "private mounts": (libc, "make_mounts_private"),
    "cloning a source": (libc, "clone_tree"),
    "restricting a mount": (libc, "set_mount_attributes"),
    "a new file system": (libc, "new_filesystem"),
    "attaching": (libc, "attach_mount"),
    "building": (mounts.Root, "build"),
    "entering": (mounts.Root, "enter"),
    "pivot_root": (libc, "pivot_root_here"),
    "loopback": (libc, "open_network_socket"),
    "the host name": (libc, "sethostname"),
    "the nested namespace's refusal": (init, "_assert_no_user_namespace"),
    "capabilities": (libc, "drop_all_capabilities"),
    "prctl": (libc, "prctl"),
    "the privileges' proof": (privileges, "assert_unprivileged"),
    "the command line": (init, "_hide_command_line"),
    "Landlock": (landlock, "restrict_to_root"),
    "rlimits": (server, "resource_limits"),
    "the working folder": (server, "_enter_folder"),
    "signals": (server, "_reset_signals"),
    "closing descriptors": (libc, "close_range"),
    "the filter": (libc, "load_seccomp_filter"),
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


@pytest.mark.parametrize("step", STEPS)
def test_a_fault_stops_the_start(step: str, proof: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*STEPS[step], _refuse)
    with pytest.raises((MCPError, OSError)):
        _run(proof)
    assert os.listdir(proof) == []
    _assert_no_child_is_left()


def test_capabilities_that_only_seem_to_go_are_noticed(proof: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "drop_all_capabilities", lambda: None)
    with pytest.raises(MCPError, match="Cap"):
        _run(proof)
    assert os.listdir(proof) == []


def _assert_no_child_is_left() -> None:
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
