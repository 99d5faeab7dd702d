"""If any step of the set-up fails, the server never starts and nothing of the sandbox stays."""

import os
from typing import Any

import pytest
from arena.sandbox import run_inside

from mcp_client.errors import MCPError
from mcp_client.policy.model import Folder
from mcp_client.sandbox import scratch as scratch_folders
from mcp_client.sandbox.linux import init, landlock, libc, privileges, server
from mcp_client.sandbox.linux.restricted import init as restricted_init
from mcp_client.sandbox.linux.restricted import signals
from mcp_client.sandbox.linux.restricted.descendants import children_of

STEPS: dict[str, tuple[Any, str]] = {
    "the scratch folder": (scratch_folders, "_sweep"),
    "prctl": (libc, "prctl"),
    "choosing the user": (restricted_init, "_choose_user"),
    "reading our privileges": (privileges, "_status"),
    "capabilities": (libc, "drop_all_capabilities"),
    "the privileges' proof": (privileges, "assert_unprivileged"),
    "the place in the out-of-memory killer's row": (restricted_init, "offer_to_the_oom_killer"),
    "holding /proc": (restricted_init, "_hold_proc"),
    "the gate": (server, "load_gate"),
    "the gate's listener": (init, "receive_listener"),
    "Landlock's ruleset": (libc, "landlock_create_ruleset"),
    "Landlock's rules": (libc, "landlock_add_rule"),
    "Landlock": (libc, "landlock_restrict_self"),
    "rlimits": (server, "resource_limits"),
    "the working folder": (server, "_enter_folder"),
    "signals": (server, "_reset_signals"),
    "closing descriptors": (libc, "close_range"),
    "the filter": (libc, "load_seccomp_filter"),
    "the listener": (libc, "load_seccomp_listener"),
}


def _refuse(*_arguments: object, **_options: object) -> None:
    raise OSError(5, "injected")


@pytest.fixture
def proof(home: str) -> str:
    path = os.path.join(home, "proof")
    os.mkdir(path)
    os.chmod(path, 0o777)
    return path


# Children of other tests in this worker, if any.
BEFORE: set[int] = set()


@pytest.fixture(autouse=True)
def _look_at_children() -> None:
    BEFORE.clear()
    BEFORE.update(children_of(os.getpid()))


def _run(proof: str) -> bytes:
    program = "import sys; open(sys.argv[1] + '/started', 'w'); print('started')"
    return run_inside(program, [proof], folders=[Folder(proof, proof, True)]).output


def test_without_a_fault_the_server_leaves_its_proof(proof: str) -> None:
    assert _run(proof) == b"started\n"
    assert os.listdir(proof) == ["started"]


@pytest.mark.parametrize("step", STEPS)
def test_a_fault_stops_the_start(step: str, proof: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*STEPS[step], _refuse)
    with pytest.raises((MCPError, OSError)):
        _run(proof)
    _assert_nothing_started(proof)


def test_a_fault_of_the_signals_filter_stops_the_start(proof: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        landlock, "interface_version", lambda version=landlock.interface_version(): min(5, version)
    )
    monkeypatch.setattr(signals, "only_itself", _refuse)
    with pytest.raises(MCPError):
        _run(proof)
    _assert_nothing_started(proof)


def test_capabilities_that_only_seem_to_go_are_noticed(proof: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        monkeypatch.setattr(libc, "drop_all_capabilities", lambda: None)
        with pytest.raises(MCPError, match="Cap"):
            _run(proof)
        _assert_nothing_started(proof)


def test_a_folder_that_was_exchanged_stops_the_start(proof: str) -> None:
    folder = Folder(proof, proof, True, (1, 1))
    with pytest.raises(MCPError, match="exchanged"):
        run_inside("print('started')", folders=[folder])


def test_without_landlock_there_is_no_weaker_sandbox(proof: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "interface_version", lambda: 0)
    with pytest.raises(MCPError, match="Landlock"):
        _run(proof)
    assert os.listdir(proof) == []


def _assert_nothing_started(proof: str) -> None:
    assert os.listdir(proof) == []
    assert set(children_of(os.getpid())) <= BEFORE
