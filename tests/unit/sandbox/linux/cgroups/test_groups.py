"""Where a group can be made, what its files say, and who takes it down; in folders laid out like cgroupfs."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from mcp_client.sandbox.linux.cgroups.delegated import Place, make_group, usable_places
from mcp_client.sandbox.linux.cgroups.group import Group, Placement, Refusal
from mcp_client.sandbox.linux.cgroups.hierarchy import available, find_group, pass_on, passed_on
from mcp_client.sandbox.linux.cgroups.janitor import Janitor, kill_group

ME = str(os.getpid())
INIT = 4_000_001
ALL = "cpu io memory pids"


class Hierarchy:
    """A mount with the machine's own root, which has no type."""

    def __init__(self, mount: str) -> None:
        self.mount = mount
        self.add("", passed_on=ALL, procs=f"1\n{ME}")
        os.unlink(f"{mount}/cgroup.type")

    def add(self, path: str, *, passed_on: str = "", procs: str = "", controllers: str = ALL) -> str:
        folder = f"{self.mount}/{path}".rstrip("/")
        os.makedirs(folder, exist_ok=True)
        for name, text in (
            ("cgroup.controllers", controllers),
            ("cgroup.subtree_control", passed_on),
            ("cgroup.procs", procs),
            ("cgroup.type", "domain"),
        ):
            with open(f"{folder}/{name}", "w", encoding="ascii") as file:
                file.write(f"{text}\n" if text else "")
        return folder

    def close(self, path: str, name: str = "cgroup.procs") -> None:
        """As if it were another user's: what is not there cannot be written by root either."""
        os.unlink(f"{self.mount}/{path}/{name}".replace("//", "/"))

    def places(self, path: str) -> list[Place]:
        return list(usable_places(INIT, f"{self.mount}/{path}".rstrip("/"), self.mount))


@pytest.fixture
def hierarchy(tmp_path: os.PathLike[str]) -> Hierarchy:
    made = Hierarchy(str(tmp_path))
    made.close("")
    return made


MEMBERSHIPS = {
    "0::/\n": "",
    "0::/user.slice/a.scope\n": "/user.slice/a.scope",
    "12:pids:/x\n1:name=systemd:/y\n0::/z\n": "/z",
    "0::/odd: name 0::/x\n": "/odd: name 0::/x",
    "0::/a.scope (deleted)\n": "/a.scope (deleted)",
    "4:memory:/x\n1:cpu:/\n": None,
    "0::/../sibling\n": None,
    "0::/..\n": None,
    "": None,
}


@pytest.mark.parametrize("text", MEMBERSHIPS)
def test_the_group_is_found_in_what_the_kernel_tells(text: str, hierarchy: Hierarchy) -> None:
    path = MEMBERSHIPS[text]
    assert find_group(text, hierarchy.mount) == (None if path is None else hierarchy.mount + path)


def test_a_hybrid_or_absent_mount_shows_no_group(tmp_path: os.PathLike[str]) -> None:
    assert find_group("0::/\n", str(tmp_path)) is None
    assert find_group("0::/\n", "/no/such/mount") is None


def test_controllers_of_others_are_not_counted(hierarchy: Hierarchy) -> None:
    group = hierarchy.add("a", controllers="cpuset io memory", passed_on="io")
    assert available(group) == {"memory"}
    assert passed_on(group) == frozenset()
    assert available(f"{group}/none") == frozenset()


def test_passing_on_asks_only_for_what_is_there(hierarchy: Hierarchy) -> None:
    group = hierarchy.add("a", controllers="memory")
    pass_on(group, frozenset({"cpu", "memory"}))
    with open(f"{group}/cgroup.subtree_control", encoding="ascii") as file:
        assert file.read() == "+memory"
    os.unlink(f"{group}/cgroup.subtree_control")
    pass_on(group, frozenset({"memory"}))


def test_alone_in_a_group_of_ours_we_step_aside(hierarchy: Hierarchy) -> None:
    group = hierarchy.add("a", procs=f"{ME}\n{INIT}")
    assert hierarchy.places("a") == [Place(group, steps_aside=True)]


def test_who_stands_beside_us_is_not_moved(hierarchy: Hierarchy) -> None:
    hierarchy.add("a", procs=f"{ME}\n4000002")
    assert hierarchy.places("a") == []


def test_a_crowd_sends_us_up_to_where_controllers_are_passed_on(hierarchy: Hierarchy) -> None:
    above = hierarchy.add("a", passed_on="memory pids")
    hierarchy.add("a/b", procs=f"{ME}\n4000002")
    assert hierarchy.places("a/b") == [Place(above, steps_aside=False)]


def test_an_empty_group_above_may_begin_to_pass_on(hierarchy: Hierarchy) -> None:
    above = hierarchy.add("a")
    hierarchy.add("a/b", procs=ME, controllers="")
    assert hierarchy.places("a/b") == [Place(above, steps_aside=False)]


def test_a_group_above_with_processes_is_never_moved_out_of(hierarchy: Hierarchy) -> None:
    hierarchy.add("a", procs=ME)
    group = hierarchy.add("a/b", procs=ME)
    assert hierarchy.places("a/b") == [Place(group, steps_aside=True)]


@pytest.mark.parametrize("closed", ["cgroup.procs", "cgroup.subtree_control"])
def test_what_is_not_ours_is_left_alone(closed: str, hierarchy: Hierarchy) -> None:
    hierarchy.add("a", procs=ME)
    hierarchy.close("a", closed)
    assert hierarchy.places("a") == []


def test_without_controllers_a_group_is_of_no_use(hierarchy: Hierarchy) -> None:
    hierarchy.add("a", procs=ME, controllers="cpuset hugetlb")
    assert hierarchy.places("a") == []


def test_the_machines_root_may_hold_processes(tmp_path: os.PathLike[str]) -> None:
    root = Hierarchy(str(tmp_path))
    assert root.places("") == [Place(root.mount, steps_aside=False)]


def test_the_root_of_a_container_may_not(tmp_path: os.PathLike[str]) -> None:
    root = Hierarchy(str(tmp_path))
    root.add("", procs=f"1\n{ME}")
    assert root.places("") == []
    root.add("", procs=ME)
    assert root.places("") == [Place(root.mount, steps_aside=True)]


def test_nothing_is_looked_for_above_the_mount(tmp_path: os.PathLike[str]) -> None:
    outer = Hierarchy(str(tmp_path))
    inner = Hierarchy(outer.add("inner"))
    inner.add("", procs=f"1\n{ME}")
    assert inner.places("") == []
    assert list(usable_places(INIT, f"{outer.mount}/inner2", inner.mount)) == []


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


def is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in {"Z", "X"}
    except OSError:
        return True


def test_the_janitor_removes_the_group_when_it_is_told_to(hierarchy: Hierarchy) -> None:
    place = hierarchy.add("a", passed_on=ALL)
    made = make_group(INIT, place, hierarchy.mount)
    assert made is not None
    assert os.path.dirname(made.folder) == place
    os.mkdir(f"{made.folder}/server")
    made.janitor.sweep()
    assert not os.path.exists(made.folder)
    # And is no zombie of ours.
    with pytest.raises(ChildProcessError):
        os.waitpid(made.janitor.pid, os.WNOHANG)


@pytest.fixture
def supervisor() -> Iterator[Callable[[Callable[[], bytes]], tuple[int, bytes]]]:
    """Forks one that does as it is told, says what came of it and waits to be killed."""
    forked: list[int] = []

    def start(work: Callable[[], bytes]) -> tuple[int, bytes]:
        said, say = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.write(say, work())
                signal.pause()
            finally:
                os._exit(1)
        forked.append(pid)
        os.close(say)
        text = os.read(said, 4096)
        os.close(said)
        return pid, text

    yield start
    for pid in forked:
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


Supervisor = Callable[[Callable[[], bytes]], tuple[int, bytes]]


def kill(supervisor: int) -> None:
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)


def test_a_group_does_not_outlive_a_supervisor_that_is_killed(
    hierarchy: Hierarchy, supervisor: Supervisor
) -> None:
    place = hierarchy.add("a", passed_on=ALL)

    def work() -> bytes:
        made = make_group(INIT, place, hierarchy.mount)
        assert made is not None
        os.mkdir(f"{made.folder}/server")
        return f"{made.folder} {made.janitor.pid}".encode()

    pid, text = supervisor(work)
    folder, janitor = text.decode().split()
    assert os.path.isdir(f"{folder}/server")
    kill(pid)
    wait_until(lambda: not os.path.exists(folder))
    wait_until(lambda: is_gone(int(janitor)))


@pytest.mark.parametrize("steps_aside", [False, True])
def test_a_janitor_without_anything_to_take_down_ends_too(
    steps_aside: bool, hierarchy: Hierarchy, supervisor: Supervisor
) -> None:
    """The supervisor was killed between the janitor's fork and the first folder."""
    place = hierarchy.add("a", procs=ME)
    standpoint = f"{place}/mcp-supervisor-1" if steps_aside else None
    pid, text = supervisor(lambda: str(Janitor(f"{place}/mcp-1", standpoint).pid).encode())
    kill(pid)
    wait_until(lambda: is_gone(int(text)))


def test_a_janitor_waits_for_the_servers_of_others(hierarchy: Hierarchy, supervisor: Supervisor) -> None:
    """What it gives back, their limits would lack."""
    place = hierarchy.add("a", passed_on=ALL)
    standpoint, other = f"{place}/mcp-supervisor-1", f"{place}/mcp-2"
    for folder in (standpoint, other):
        os.mkdir(folder)
    pid, text = supervisor(lambda: str(Janitor(f"{place}/mcp-1", standpoint).pid).encode())
    kill(pid)
    time.sleep(0.05)
    assert passed_on(place)
    os.rmdir(other)
    wait_until(lambda: not os.path.exists(standpoint))
    wait_until(lambda: is_gone(int(text)))
    # Everything is asked for in one piece, and the janitor is where its supervisor was found.
    with open(f"{place}/cgroup.subtree_control", encoding="ascii") as file:
        assert {"-cpu", "-memory", "-pids"} <= set(file.read().split())
    with open(f"{place}/cgroup.procs", encoding="ascii") as file:
        assert file.read() == text.decode()


def test_a_janitor_holds_nothing_and_hears_no_terminal(hierarchy: Hierarchy) -> None:
    janitor = Janitor(f"{hierarchy.mount}/mcp-1", None)

    def descriptors() -> list[str]:
        folder = f"/proc/{janitor.pid}/fd"
        return sorted(os.readlink(f"{folder}/{name}").partition(":")[0] for name in os.listdir(folder))

    wait_until(lambda: len(os.listdir(f"/proc/{janitor.pid}/fd")) == 2)
    assert descriptors() == ["anon_inode", "pipe"]
    assert os.getsid(janitor.pid) == janitor.pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        os.kill(janitor.pid, number)
    assert not is_gone(janitor.pid)
    janitor.sweep()
    assert is_gone(janitor.pid)


@pytest.fixture
def victim() -> Iterator[int]:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    yield pid
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_kernel_without_cgroup_kill_kills_one_by_one(hierarchy: Hierarchy, victim: int) -> None:
    group = hierarchy.add("a")
    hierarchy.add("a/server", procs=f"4000003\n{victim}")
    kill_group(group)
    _, status = os.waitpid(victim, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def test_everything_ends_by_one_write_where_the_kernel_can(hierarchy: Hierarchy, victim: int) -> None:
    group = hierarchy.add("a", procs=str(victim))
    with open(f"{group}/cgroup.kill", "w", encoding="ascii"):
        pass
    kill_group(group)
    with open(f"{group}/cgroup.kill", encoding="ascii") as file:
        assert file.read() == "1"
    assert os.waitpid(victim, os.WNOHANG) == (0, 0)


def test_killing_what_is_gone_is_no_error(hierarchy: Hierarchy) -> None:
    kill_group(f"{hierarchy.mount}/none")


EVENTS = "low 0\nhigh 0\nmax 31\noom {oom}\noom_kill {kills}\noom_group_kill 1\n"


@pytest.mark.parametrize(("oom", "kills", "expected"), [(1, 3, True), (0, 3, False), (1, 0, False)])
def test_only_its_own_limit_is_blamed(oom: int, kills: int, expected: bool, hierarchy: Hierarchy) -> None:
    """A kill without an event of its own was for the sake of a group above, or of the machine."""
    server = hierarchy.add("a/server")
    for name, text in (
        ("memory.events", EVENTS.format(oom=oom, kills=kills)),
        ("memory.peak", "65536\n"),
        ("cpu.stat", "usage_usec 3500000\nuser_usec 2500000\nsystem_usec 1000000\nnr_periods 7\n"),
    ):
        with open(f"{server}/{name}", "w", encoding="ascii") as file:
            file.write(text)
    usage = Group(os.path.dirname(server), "own cgroup", None).usage()
    assert usage == (65536, 2.5, 1.0, expected)


def test_a_kernel_that_tells_less_is_no_error(hierarchy: Hierarchy) -> None:
    hierarchy.add("a/server")
    usage = Group(f"{hierarchy.mount}/a", "own cgroup", None).usage()
    assert usage == (None, 0.0, 0.0, False)


def test_a_host_without_cgroups_v2_hears_how_to_get_them() -> None:
    placed = Placement().complete()
    assert isinstance(placed, Refusal)
    assert "no cgroup v2" in placed.reason
    assert "systemd.unified_cgroup_hierarchy=1" in placed.mend
