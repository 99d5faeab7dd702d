"""The group around one process by itself: each way to one, what it holds, and what a SIGKILL leaves of it.

These run in the virtual machine (``make test-vm``); a host without cgroups v2 fails here, it does not skip.
"""

import glob
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from mcp_client.policy.model import Limits
from mcp_client.sandbox.linux.cgroups import group, hierarchy
from mcp_client.sandbox.linux.cgroups.scope import ScopeRequest

MIB = 1 << 20
LIMITS = Limits(memory=64 * MIB, cpu=250, processes=4, files=64)
TASKS = 20
SECONDS = 20

# Pid 1 of a sandbox in short: it dies with the supervisor, and with it the server that it forks when told to.
INIT = """
import ctypes, os, sys
prctl = ctypes.CDLL(None).prctl
prctl(1, 9, 0, 0, 0)
print("here", flush=True)
if not sys.stdin.readline():
    # The supervisor is dead, and its pipes were closed a moment before the signal for that comes.
    os._exit(1)
own = os.getpid()
server = os.fork()
if server == 0:
    prctl(1, 9, 0, 0, 0)
    # Unless it is orphaned already: no signal comes for that.
    if os.getppid() == own:
        exec(sys.argv[1])
    os._exit(0)
print("forked", flush=True)
print(os.waitpid(server, 0)[1], flush=True)
sys.stdin.readline()
"""


class Init(subprocess.Popen[str]):
    """A process to make a group around."""

    def __init__(self, program: str) -> None:
        command = [sys.executable, "-c", INIT, program]
        super().__init__(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.line() == "here"

    def line(self) -> str:
        return self.stdout.readline().strip()

    def go(self) -> None:
        self.stdin.write("go\n")
        self.stdin.flush()


@pytest.fixture
def grouped(request: pytest.FixtureRequest) -> Iterator[tuple[Init, group.Group]]:
    """An init whose server, the test's parameter, is about to be forked into a group with LIMITS."""
    with Init(request.param) as init:
        placed = group.begin(init.pid, LIMITS, tasks=TASKS).complete()
        assert isinstance(placed, group.Group), placed
        yield init, placed
        placed.kill()
        init.wait()
        placed.remove()
        assert_gone(placed._folder)


def assert_gone(folder: str) -> None:
    deadline = time.monotonic() + SECONDS
    while os.path.exists(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(folder)


def members(folder: str) -> list[str]:
    return hierarchy.read_file(folder, "cgroup.procs").split()


@pytest.mark.parametrize("grouped", ["pass"], indirect=True)
def test_the_limits_are_written_and_init_is_where_the_server_will_be(
    grouped: tuple[Init, group.Group],
) -> None:
    init, placed = grouped
    assert placed.mechanism == "cgroup in a systemd scope"
    assert placed.controllers == {"memory", "cpu", "pids"}
    server, folder = placed._server, placed._folder
    for leaf, name, value in (
        (server, "memory.max", str(LIMITS.memory)),
        (server, "memory.swap.max", "0"),
        (server, "memory.oom.group", "1"),
        (server, "pids.max", str(TASKS)),
        (folder, "cpu.max", "25000 100000"),
    ):
        if name != "memory.swap.max" or os.path.exists(f"{leaf}/{name}"):
            assert hierarchy.read_file(leaf, name).strip() == value
    assert members(server) == [str(init.pid)]
    placed.retire(init.pid)
    assert (members(server), members(placed._init)) == ([], [str(init.pid)])


@pytest.mark.parametrize("grouped", ["held = [b'x' * (1 << 20) for _ in range(256)]"], indirect=True)
def test_memory_ends_the_server_and_not_init(grouped: tuple[Init, group.Group]) -> None:
    init, placed = grouped
    assert not placed.usage().oom
    init.go()
    assert init.line() == "forked"
    placed.retire(init.pid)
    assert os.waitstatus_to_exitcode(int(init.line())) == -signal.SIGKILL
    usage = placed.usage()
    assert usage.oom
    assert usage.peak_memory is not None
    assert 0.95 * LIMITS.memory <= usage.peak_memory <= LIMITS.memory
    assert members(placed._init) == [str(init.pid)]


SPIN = """
import time
until = time.monotonic() + 2
while time.monotonic() < until:
    pass
"""


@pytest.mark.parametrize("grouped", [SPIN], indirect=True)
def test_cpu_is_shared_out_and_counted(grouped: tuple[Init, group.Group]) -> None:
    init, placed = grouped
    began = time.monotonic()
    init.go()
    assert init.line() == "forked"
    placed.retire(init.pid)
    assert init.line() == "0"
    elapsed, usage = time.monotonic() - began, placed.usage()
    # One period more than its share may be spent before the first stop.
    assert 0 < usage.user_seconds + usage.system_seconds <= 0.25 * elapsed + 0.1
    stops = dict(line.split() for line in hierarchy.read_file(placed._folder, "cpu.stat").splitlines())
    assert int(stops["nr_throttled"]) > 0


BREED = """
import os, signal
born = 0
try:
    while born < 100:
        if os.fork() == 0:
            signal.pause()
        born += 1
except BlockingIOError:
    pass
os._exit(born)
"""


@pytest.mark.parametrize("grouped", [BREED], indirect=True)
def test_tasks_are_held_and_all_die_at_once(grouped: tuple[Init, group.Group]) -> None:
    init, placed = grouped
    init.go()
    assert init.line() == "forked"
    placed.retire(init.pid)
    # The server is one of them. Nobody retired init before it forked, so it may have taken a seat as well.
    assert os.waitstatus_to_exitcode(int(init.line())) in {TASKS - 1, TASKS - 2}
    assert len(members(placed._server)) >= TASKS - 2
    placed.kill()
    assert init.wait() == -signal.SIGKILL
    deadline = time.monotonic() + SECONDS
    while members(placed._server) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert members(placed._server) == []


def test_a_process_that_is_gone_gets_no_group_and_no_scope() -> None:
    with Init("pass") as init:
        init.kill()
        # Dead, and not reaped: its number is still its own.
        os.waitid(os.P_PID, init.pid, os.WEXITED | os.WNOWAIT)
        placement = group.begin(init.pid, LIMITS, tasks=TASKS)
        assert isinstance(placement, group._Begun)
        assert isinstance(placement._request, ScopeRequest)
        request = placement._request
        assert isinstance(placement.complete(), group.Refusal)
    assert_no_scope(request.unit, request._stopper.pid)


def assert_no_scope(unit: str, stopper: int) -> None:
    """Once nobody is left who waits for it to come."""
    deadline = time.monotonic() + SECONDS
    while is_alive(stopper) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(stopper)
    while (left := remains(unit)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def is_alive(pid: int) -> bool:
    """An orphan that ended may still wait for whoever adopted it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def remains(unit: str) -> list[str]:
    listed = ["systemctl", "--user", "list-units", "--all", "--no-legend", "--plain", unit]
    known = subprocess.run(listed, capture_output=True, check=True, env=SESSION, text=True).stdout
    return [*known.splitlines(), *glob.glob(f"/sys/fs/cgroup/**/{unit}", recursive=True)]


SESSION = {**os.environ, "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"}

# A supervisor of which something is reported, and which then waits for its end. argv: the stage to stop at.
SUPERVISOR = """
import json, os, subprocess, sys
from mcp_client.policy.model import Limits
from mcp_client.sandbox.linux.cgroups import group, hierarchy
def stop(**facts):
    print(json.dumps(facts), flush=True)
    sys.stdin.read()
INIT = sys.argv[2]
command = [sys.executable, "-c", INIT, sys.argv[3]]
init = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
init.stdout.readline()
placement = group.begin(init.pid, Limits(64 << 20, 250, 4, 64), tasks=20)
request = placement._request
facts = {"unit": request and request.unit, "stopper": request and request._stopper.pid}
if sys.argv[1] == "begun":
    stop(**facts)
placed = placement.complete()
if isinstance(placed, group.Refusal):
    stop(refused=placed.reason)
facts |= {"folder": placed._folder, "by": placed.mechanism, "controllers": sorted(placed.controllers)}
if sys.argv[1] == "complete":
    stop(**facts)
init.stdin.write("go\\n")
init.stdin.flush()
init.stdout.readline()
placed.retire(init.pid)
facts["own"] = hierarchy.own_group()
if sys.argv[1] == "running":
    stop(**facts)
facts["status"] = int(init.stdout.readline())
facts["oom"] = placed.usage().oom
placed.kill()
init.wait()
placed.remove()
facts["left"] = os.path.exists(placed._folder)
stop(**facts)
"""


def supervise(stage: str, program: str = "import time; time.sleep(600)", prefix: tuple[str, ...] = ()):
    command = [*prefix, sys.executable, "-c", SUPERVISOR, stage, INIT, program]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=SESSION)


@pytest.mark.parametrize("stage", ["begun", "complete", "running"])
def test_no_scope_outlives_a_supervisor_that_is_killed(stage: str) -> None:
    with supervise(stage) as supervisor:
        facts = json.loads(supervisor.stdout.readline())
        supervisor.kill()
    assert_no_scope(facts["unit"], facts["stopper"])


@pytest.mark.parametrize("_again", range(6))
def test_no_scope_outlives_a_kill_while_systemd_makes_it(_again: int) -> None:
    """The request is on its way and init dies at some moment of its handling."""
    with supervise("begun") as supervisor:
        facts = json.loads(supervisor.stdout.readline())
        time.sleep(int.from_bytes(os.urandom(1)) / 255 * 0.1)
        supervisor.kill()
    assert_no_scope(facts["unit"], facts["stopper"])


# Makes a group below its own, which is the user's, enters it and executes the rest without a way to systemd.
NESTED = """
import ctypes, os, sys
nest, limit = os.path.dirname(sys.argv[1]), sys.argv[2]
os.mkdir(sys.argv[1])
with open(sys.argv[1] + "/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
if limit:
    with open(sys.argv[1] + "/memory.max", "w") as file:
        file.write(limit)
libc = ctypes.CDLL(None)
uid, gid = os.getuid(), os.getgid()
assert libc.unshare(0x10000000 | 0x00020000) == 0
for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
assert libc.mount(b"none", f"/run/user/{uid}".encode(), b"tmpfs", 0, None) == 0
os.execv(sys.argv[3], sys.argv[3:])
"""


class Nest:
    """A group that belongs to this user and to no unit: nobody but us removes what is made in it."""

    def __init__(self) -> None:
        uid = os.getuid()
        home = f"{hierarchy.MOUNT}/user.slice/user-{uid}.slice/user@{uid}.service/app.slice"
        self.folder = f"{home}/nest-{os.urandom(4).hex()}"

    def prefix(self, limit: str = "") -> tuple[str, ...]:
        scope = ("systemd-run", "--user", "--scope", "--quiet", "--")
        return *scope, sys.executable, "-c", NESTED, self.folder, limit

    def assert_as_it_was(self) -> None:
        deadline = time.monotonic() + SECONDS
        while (glob.glob(f"{self.folder}/*/") or members(self.folder)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert glob.glob(f"{self.folder}/*/") == []
        assert hierarchy.passed_on(self.folder) == frozenset()
        assert members(self.folder) == []


@pytest.fixture
def nest() -> Iterator[Nest]:
    made = Nest()
    yield made
    os.rmdir(made.folder)


def test_a_delegated_group_is_left_as_it_was(nest: Nest) -> None:
    with supervise("end", "print()", nest.prefix()) as supervisor:
        facts = json.loads(supervisor.stdout.readline())
        assert facts["by"] == "own cgroup"
        # The user's slice passes cpu on only while one of its units asks for that.
        assert {"memory", "pids"} <= set(facts["controllers"]) <= {"cpu", "memory", "pids"}
        # The supervisor itself had to step aside.
        assert os.path.dirname(facts["own"]) == os.path.dirname(facts["folder"]) == nest.folder
        assert not facts["left"]
        supervisor.stdin.close()
    nest.assert_as_it_was()


@pytest.mark.parametrize("stage", ["begun", "complete", "running"])
def test_a_delegated_group_is_left_as_it_was_by_sigkill(stage: str, nest: Nest) -> None:
    with supervise(stage, prefix=nest.prefix()) as supervisor:
        json.loads(supervisor.stdout.readline())
        supervisor.kill()
    nest.assert_as_it_was()


@pytest.mark.parametrize("_again", range(5))
def test_a_delegated_group_is_left_as_it_was_whenever_the_kill_comes(_again: int, nest: Nest) -> None:
    """Between any two of the steps: the janitor's fork, each mkdir, each move."""
    with supervise("complete", prefix=nest.prefix()) as supervisor:
        deadline = time.monotonic() + SECONDS
        while not members(nest.folder) and time.monotonic() < deadline:
            time.sleep(0.005)
        # Python has to start first; then all is done in some dozen milliseconds.
        while len(members(nest.folder)) < 2 and not glob.glob(f"{nest.folder}/*/"):
            time.sleep(0.005)
        time.sleep(int.from_bytes(os.urandom(1)) / 255 * 0.4)
        supervisor.kill()
    nest.assert_as_it_was()


def test_a_kill_for_the_sake_of_a_group_above_is_not_the_servers_limit(nest: Nest) -> None:
    hog = "held = [b'x' * (1 << 20) for _ in range(60)]"
    with supervise("end", hog, nest.prefix(str(40 * MIB))) as supervisor:
        facts = json.loads(supervisor.stdout.readline())
        assert os.waitstatus_to_exitcode(facts["status"]) == -signal.SIGKILL
        assert facts["oom"] is False
        supervisor.stdin.close()
    nest.assert_as_it_was()
