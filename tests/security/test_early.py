"""A sandbox that is begun before it is known for whom: it serves whom it suits, and stays with nobody."""

import os
import signal
import subprocess
import sys
import time

import pytest
from arena.processes import descendants
from arena.sandbox import filter_folder, python_command, run_inside

from mcp_client.errors import MCPError
from mcp_client.network.rules import parse_rule
from mcp_client.policy.model import DEFAULT_LIMITS, Folder, NetworkPolicy, Policy
from mcp_client.sandbox.linux import early, init, libc
from mcp_client.sandbox.linux.backend import LinuxBackend
from mcp_client.sandbox.linux.early import EarlyProcess, HeadStart
from mcp_client.sandbox.linux.filters import Filters
from mcp_client.sandbox.linux.orders import Orders, write_orders
from mcp_client.sandbox.spec import SandboxSpec

ROOT = os.geteuid() == 0


def plan(
    *, folders: tuple[Folder, ...] = (), allow: str | None = None, data: str | None = None
) -> SandboxSpec:
    network = NetworkPolicy() if allow is None else NetworkPolicy((parse_rule(allow),), ())
    policy = Policy({"WORD": "ä\udc80"}, False, DEFAULT_LIMITS, folders, (), network)
    return LinuxBackend(filter_folder()).plan(python_command("-c", ""), policy, tree="/usr", data=data)


def is_alive(pid: int) -> bool:
    """Not when it only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children() -> list[int]:
    """Processes below this one that run."""
    return [pid for pid in descendants(os.getpid()) if is_alive(pid)]


EARLIER: set[int] = set()


@pytest.fixture(autouse=True)
def _note_earlier() -> None:
    """This process inherits orphans of other tests, which are nobody's concern here."""
    EARLIER.clear()
    EARLIER.update(children())


def ours() -> list[int]:
    """Those that this test made."""
    return [one for one in children() if one not in EARLIER]


def wait_until_met(process: EarlyProcess) -> None:
    deadline = time.monotonic() + 20
    while process._met < 2 and time.monotonic() < deadline:
        process.advance()
        time.sleep(0.001)
    assert process._met == 2


def test_what_was_begun_early_is_what_a_server_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = EarlyProcess.build
    monkeypatch.setattr(EarlyProcess, "build", lambda self, *a: built.append(self) or build(self, *a))
    assert run_inside("print(1)").output == b"1\n"
    assert len(built) == 1
    assert run_inside("print(2)", early=False).output == b"2\n"
    assert len(built) == 1


@pytest.mark.parametrize("port", [None, 8080])
def test_orders_arrive_as_they_were_given(port: int | None) -> None:
    spec, filters = plan()._replace(port=port), Filters(b"g" * 8, b"c" * 80_000, b"a" * 16, b"s" * 8)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        write_orders(write, spec, filters)
        os._exit(0)
    os.close(write)
    try:
        assert Orders(source=read).await_complete() == (spec, filters)
    finally:
        os.close(read)
        os.waitpid(child, 0)


@pytest.mark.parametrize("reached", [0, 2], ids=["at once", "when init waits"])
def test_one_that_is_dropped_is_gone(reached: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    process = EarlyProcess()
    if reached:
        wait_until_met(process)
    assert ours()
    process.drop()
    assert ours() == []
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("met", [False, True])
def test_one_whose_supervisor_is_killed_ends(met: bool) -> None:
    code = (
        "import time\n"
        "from mcp_client.sandbox.linux.early import EarlyProcess\n"
        "early = EarlyProcess()\n"
        f"while {met} and early._met < 2: early.advance()\n"
        "print(early.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert is_alive(pid)
        os.kill(supervisor.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(pid)


def test_it_suits_only_what_needs_nothing_from_before_a_fork(tmp_path: os.PathLike[str]) -> None:
    process = EarlyProcess()
    try:
        folder = Folder(str(tmp_path), "/mnt/x", writable=True)
        assert process.suits(plan())
        assert process.suits(plan(allow="example.com:443"))
        assert process.suits(plan()._replace(port=8080))
        assert process.suits(plan(folders=(folder,))) is not ROOT
        assert process.suits(plan(data=str(tmp_path))) is not ROOT
    finally:
        process.drop()


def test_what_does_not_suit_is_gone_before_another_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    head_start = HeadStart()
    assert ours()
    monkeypatch.setattr(EarlyProcess, "suits", lambda *_: False)
    assert head_start.take(plan()) is None
    assert ours() == []


def test_a_fault_of_an_early_step_stops_the_launch_in_earnest(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(1, "no")

    monkeypatch.setattr(libc, "unshare", fail)
    with pytest.raises(MCPError) as caught:
        run_inside("print(1)")
    assert caught.value.code == "sandbox-unavailable"
    assert ours() == []


def test_an_early_clone_that_fails_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is likely to be wanted may be missing: only what is wanted counts."""
    monkeypatch.setattr(early, "likely_binds", lambda: (init.Bind("/nowhere", "/nowhere"),))
    assert run_inside("print(3)").output == b"3\n"
