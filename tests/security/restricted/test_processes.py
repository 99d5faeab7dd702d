"""Other processes of the same user, who are right beside the server here."""

import os
import resource
import select
import signal
import subprocess
import sys

import pytest
from arena.sandbox import Command, attempt_inside, attempt_outside, run_command, run_inside

from mcp_client.policy.model import DEFAULT_LIMITS
from mcp_client.sandbox.linux import landlock

REFUSED = {"EACCES", "EPERM"}
X86 = os.uname().machine == "x86_64"
TGKILL, PTRACE, READV = (234, 101, 310) if X86 else (131, 117, 270)

LOOKS = {
    "environ": "return b'SECRET' in open(f'/proc/{target}/environ', 'rb').read()",
    "command line": "return len(open(f'/proc/{target}/cmdline', 'rb').read())",
    "status": "return len(open(f'/proc/{target}/status').read())",
    "maps": "return len(open(f'/proc/{target}/maps').read())",
    "mem": "return os.open(f'/proc/{target}/mem', os.O_RDONLY)",
    "root": "return os.readlink(f'/proc/{target}/root')",
    "a file by its root": "return len(os.listdir(f'/proc/{target}/root/home'))",
    "cwd": "return os.readlink(f'/proc/{target}/cwd')",
    "exe": "return os.readlink(f'/proc/{target}/exe')",
    "descriptors": "return len(os.listdir(f'/proc/{target}/fd'))",
    "the list": "return str(target) in os.listdir('/proc')",
    "parent": "return len(open(f'/proc/{os.getppid()}/environ', 'rb').read())",
    "network tables": "return len(open('/proc/net/tcp').read())",
    "its own network tables": "return len(open('/proc/self/net/tcp').read())",
    "a thread's network tables": "return len(open(f'/proc/self/task/{os.getpid()}/net/tcp').read())",
    "mounts": "return len(open('/proc/self/mountinfo').read())",
    "ptrace": f"call({PTRACE}, 16, target, 0, 0); return True",
    "memory": f"""
        class Iovec(ctypes.Structure):
            _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
        here = ctypes.create_string_buffer(8)
        ours = Iovec(ctypes.cast(here, ctypes.c_void_p), 8)
        start = int(open(f'/proc/{{target}}/maps').read().split('-')[0], 16)
        return call({READV}, target, ctypes.byref(ours), 1, ctypes.byref(Iovec(start, 8)), 1, 0)
    """,
}

TOUCHES = {
    "kill": "os.kill(target, 0); return True",
    "its group": "os.killpg(os.getpgid(target), 0); return True",
    "tgkill": f"call({TGKILL}, target, target, 0); return True",
    "a pidfd": "return os.pidfd_open(target)",
    "an owner of a descriptor": "import fcntl; fcntl.fcntl(0, fcntl.F_SETOWN, target); return True",
    "priority": "os.setpriority(os.PRIO_PROCESS, target, os.getpriority(0, target)); return True",
    "priority of the user": "os.setpriority(os.PRIO_USER, 0, os.getpriority(0, 0)); return True",
    "affinity": "os.sched_setaffinity(target, os.sched_getaffinity(target)); return True",
    "scheduler": "os.sched_setscheduler(target, 0, os.sched_param(0)); return True",
    "limits": "import resource; resource.prlimit(target, resource.RLIMIT_CORE, (1, 1)); return True",
}

# Root would change all that root runs; who is nobody else's changes nothing but itself.
AS_ANOTHER = {"priority of the user": "os.geteuid() or os.setuid(65530); "}

RULES = {
    "System V memory": "return call(29, 0x4d43, 4096, 0o1600) and True" if X86 else "",
    "System V queue": "return call(68, 0x4d43, 0o1600) >= 0" if X86 else "",
    "System V semaphore": "return call(64, 0x4d43, 1, 0o1600) >= 0" if X86 else "",
    "POSIX queue": "return call(240, ctypes.c_char_p(b'mcp-test'), os.O_CREAT | os.O_RDWR, 0o600, 0)"
    if X86
    else "",
    "its own death signal": "call(157, 1, 0, 0, 0, 0); return True" if X86 else "",
    "hiding from init": "call(157, 4, 0, 0, 0, 0); return True" if X86 else "",
    "shared memory": "return os.open('/dev/shm/mcp-test', os.O_CREAT | os.O_RDWR, 0o600)",
    "a lease": "import fcntl; fcntl.fcntl(os.open(sys.executable, 0), 1024, 0); return True",
}


@pytest.mark.parametrize("way", LOOKS)
def test_no_process_is_looked_into(way: str, bystander: int) -> None:
    assert attempt_inside(LOOKS[way], bystander).refused in REFUSED | {"ENOSYS"}
    assert attempt_outside(LOOKS[way], bystander).got


# Before signals were scoped; a kernel that is older still cannot be taken for more than it is.
OLDER = min(landlock.SIGNALS_SCOPED_SINCE - 1, landlock.interface_version())


@pytest.mark.parametrize("way", TOUCHES)
@pytest.mark.parametrize("version", [None, OLDER], ids=["this-kernel", "older-landlock"])
def test_no_process_is_touched(
    way: str, version: int | None, bystander: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if version is not None:
        monkeypatch.setattr(landlock, "interface_version", lambda: version)
    assert attempt_inside(TOUCHES[way], bystander).refused in REFUSED
    outside = attempt_outside(AS_ANOTHER.get(way, "") + TOUCHES[way], bystander)
    # Where this user runs something at a lower priority, that is what the kernel does not raise.
    assert outside.got or (way in AS_ANOTHER and os.geteuid() and outside.refused == "EACCES")


@pytest.mark.parametrize("processes", [False, True], ids=["alone", "with-children"])
def test_signalling_everybody_reaches_nobody(processes: bool) -> None:
    """With a signal that is ignored by default: if the control fails, this machine must survive the test."""
    listen = """
import os, signal
signal.signal(signal.SIGURG, lambda *_: os.write(1, b"reached\\n"))
os.write(1, b"ready\\n")
while True:
    signal.pause()
"""
    argv = [sys.executable, "-I", "-S", "-c", listen]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == b"ready\n"
        attempt_inside("import signal; os.kill(-1, signal.SIGURG); return True", subprocess=processes)
        assert select.select([listener.stdout], [], [], 0)[0] == []
        os.kill(listener.pid, signal.SIGURG)
        assert listener.stdout.readline() == b"reached\n"
        listener.kill()


@pytest.mark.parametrize("way", [way for way, body in RULES.items() if body])
def test_what_belongs_to_the_machine_is_refused(way: str) -> None:
    assert attempt_inside(RULES[way]).refused in REFUSED


def test_parts_of_the_machine_can_be_asked_about() -> None:
    body = """
        names = 'meminfo', 'cpuinfo', 'stat', 'version', 'self/status', 'self/maps', 'self/cmdline'
        return [name for name in names if not open(f'/proc/{name}').read()] + os.listdir('/proc/self/fd')[:0]
    """
    assert attempt_inside(body).got == []


def test_one_program_and_threads_but_no_process() -> None:
    assert attempt_inside("os.fork()").refused == "EPERM"
    assert attempt_inside("os.execv('/bin/true', ['true'])").refused == "EPERM"
    assert attempt_outside("os._exit(0) if os.fork() == 0 else os.wait(); return True").got is True
    threads = "import threading; t = threading.Thread(target=print); t.start(); t.join(); return True"
    assert attempt_inside(threads).got is True


def test_children_are_counted_and_end_with_the_server(restricted: str) -> None:
    program = """
import os, sys
made = 0
for _ in range(40):
    try:
        if os.fork() == 0:
            os.setsid()
            wait = 'import time; time.sleep(60)'
            os.execv(sys.executable, [sys.executable, '-I', '-S', '-c', wait, sys.argv[1]])
        made += 1
    except BlockingIOError:
        break
print(made, flush=True)
"""
    marker = f"{restricted}-{os.getpid()}"
    inside = run_inside(program, [marker], subprocess=True, limits=DEFAULT_LIMITS._replace(processes=8))
    assert int(inside.output) == 7, inside
    assert inside.exit.refused == 1
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert marker not in lines


def test_a_server_still_aborts_and_signals_its_children_where_landlock_lets_it() -> None:
    assert run_inside("import os; os.abort()").exit.signal == signal.SIGABRT
    program = "import subprocess; p = subprocess.Popen(['sleep', '60']); p.kill(); print(p.wait())"
    if landlock.interface_version() >= landlock.SIGNALS_SCOPED_SINCE:
        assert run_inside(program, subprocess=True).output == b"-9\n"


def test_a_server_on_an_older_landlock_signals_itself_and_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "interface_version", lambda: OLDER)
    assert run_inside("import os; os.abort()").exit.signal == signal.SIGABRT
    body = """
        import subprocess
        child = subprocess.Popen(['sleep', '60'])
        child.kill()
    """
    assert attempt_inside(body, subprocess=True).refused == "EPERM"


def test_no_capability_and_no_group_of_root_stays() -> None:
    body = """
        status = dict(line.split(':\\t', 1) for line in open('/proc/self/status') if ':\\t' in line)
        names = 'CapInh', 'CapPrm', 'CapEff', 'CapAmb'
        return [*(int(status[name], 16) for name in names), int(status['NoNewPrivs'])]
    """
    assert attempt_inside(body).got == [0, 0, 0, 0, 1]
    if os.geteuid() == 0:
        body = "return [os.getgroups(), [l for l in open('/proc/self/status') if 'CapBnd' in l]]"
        assert attempt_inside(body).got == [[], ["CapBnd:\t0000000000000000\n"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its id")
def test_root_becomes_nobody_where_nobody_can_read_the_bundle() -> None:
    program = "import os; print(os.getresuid(), os.getresgid()); open(os.environ['HOME'] + '/x', 'w')"
    inside = run_command(Command(("/usr/bin/python3", "-I", "-S", "-c", program), (), ()), tree="/usr/share")
    nobody = (65534, 65534, 65534)
    assert inside.output.decode() == f"{nobody} {nobody}\n", inside
    assert inside.errors == b""
    identity = next(control for control in inside.controls if control.name == "identity")
    assert identity.state == "enforced"
    assert "65534" in identity.mechanism


def test_limits_that_are_the_users_are_left_alone_and_the_mask_is_ours() -> None:
    body = "import resource; return [resource.getrlimit(resource.RLIMIT_NPROC), os.umask(0)]"
    nproc = resource.getrlimit(resource.RLIMIT_NPROC)
    assert attempt_inside(body).got == [list(nproc), 0o077]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root leaves its groups")
def test_root_leaves_its_groups() -> None:
    groups = os.getgroups()
    os.setgroups([12345])
    try:
        assert attempt_inside("return os.getgroups()").got == []
        assert attempt_outside("return os.getgroups()").got == [12345]
    finally:
        os.setgroups(groups)


@pytest.mark.skipif(os.geteuid() == 0, reason="what root may look at does not depend on it")
def test_init_belongs_to_nobody_who_could_look_into_it() -> None:
    body = "return os.stat(f'/proc/{os.getppid()}/environ').st_uid"
    assert attempt_inside(body).got == 0
