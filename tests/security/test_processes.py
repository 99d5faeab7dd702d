"""Other processes, credentials and descriptors: what a server must not see, become or keep."""

import os
import socket
import subprocess
import sys
import time

import pytest
from arena.sandbox import attempt_inside, attempt_outside, run_inside


def test_the_hosts_processes_are_not_there() -> None:
    body = "return [p for p in os.listdir('/proc') if p.isdigit() and int(p) == target]"
    assert attempt_inside(body, os.getpid()).got == []
    assert attempt_outside(body, os.getpid()).got == [str(os.getpid())]


def test_only_init_and_the_server_exist() -> None:
    assert attempt_inside("return sorted(p for p in os.listdir('/proc') if p.isdigit())").got == ["1", "2"]


def test_a_process_of_the_host_cannot_be_signalled() -> None:
    # A signal that everybody else ignores: without its walls the attack must not end the machine.
    program = "import os, signal; signal.signal(signal.SIGURG, lambda *_: os._exit(1)); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", program]) as victim:
        body = "os.kill(target, 0); return True"
        assert attempt_inside(body, victim.pid).refused == "ESRCH"
        assert attempt_outside(body, victim.pid).got is True
        # Everything that can be signalled from inside: the victim must survive it.
        run_inside("import os, signal; os.kill(-1, signal.SIGURG)")
        time.sleep(0.2)
        assert victim.poll() is None
        victim.kill()


@pytest.mark.parametrize("what", ["environ", "mem", "maps", "cwd", "root", "exe", "fd"])
def test_init_cannot_be_looked_into(what: str) -> None:
    body = """
        path = f'/proc/{target[0]}/{target[1]}'
        try:
            return len(os.listdir(path)) if target[1] == 'fd' else len(os.readlink(path))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        os.close(os.open(path, os.O_RDONLY))
        return 1
    """
    assert attempt_inside(body, (1, what)).refused in {"EACCES", "EPERM"}
    assert attempt_outside(body, ("self", what)).got


def test_inits_command_line_is_blank() -> None:
    body = "return open(f'/proc/{target}/cmdline').read().strip(chr(0))"
    assert attempt_inside(body, 1).got == ""
    assert attempt_outside(body, "self").got != ""


def test_the_callers_environment_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_HOST", "value")
    body = "return os.environ.get('A_SECRET_OF_THE_HOST')"
    assert attempt_inside(body).got is None
    assert attempt_outside(body).got == "value"
    assert attempt_inside(body, environment={"A_SECRET_OF_THE_HOST": "granted"}).got == "granted"


def test_no_descriptor_of_the_caller_is_inherited(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "open")
    with open(path, "w+", encoding="utf-8") as file:
        file.write("kept open")
        file.flush()
        copies = [os.dup(file.fileno()) for _ in range(40)]
        high = os.dup2(file.fileno(), 900)
        for copy in (*copies, high):
            os.set_inheritable(copy, True)
        try:
            inside = attempt_inside("return sorted(int(fd) for fd in os.listdir('/proc/self/fd'))")
            # The fourth is the listing's own.
            assert inside.got == [0, 1, 2, 3]
            shown = f"import os; print(os.pread({high}, 99, 0).decode())"
            outside = subprocess.run(
                [sys.executable, "-c", shown], pass_fds=[high], capture_output=True, check=True
            )
            assert outside.stdout == b"kept open\n"
        finally:
            for copy in (*copies, high):
                os.close(copy)


def test_there_are_no_privileges_to_use() -> None:
    body = """
        status = dict(line.split(':', 1) for line in open('/proc/self/status') if ':' in line)
        names = ('Uid', 'Gid', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp')
        return {name: status[name].split() for name in names}
    """
    inside = attempt_inside(body).got
    assert set(inside["Uid"]) == set(inside["Gid"]) == {"1000"}
    assert all(int(inside[name][0], 16) == 0 for name in inside if name.startswith("Cap"))
    assert inside["NoNewPrivs"] == ["1"]
    assert inside["Seccomp"] == ["2"]
    assert attempt_outside(body).got["NoNewPrivs"] == ["0"]


def test_a_server_of_root_is_nobody_outside(tmp_path: os.PathLike[str]) -> None:
    body = "return open('/proc/self/uid_map').read().split()"
    _, outer, count = attempt_inside(body).got
    assert count == "1"
    assert int(outer) == (os.getuid() or 65534)


def test_the_terminal_is_out_of_reach() -> None:
    assert attempt_inside("return os.open('/dev/tty', os.O_RDWR)").refused == "ENOENT"
    assert attempt_inside("return [os.getsid(0), os.getpgid(0)]").got == [2, 2]


def test_the_hosts_name_is_not_told() -> None:
    assert attempt_inside("return os.uname().nodename").got == "mcp"
    assert attempt_outside("return os.uname().nodename").got == socket.gethostname()


@pytest.mark.parametrize(
    "body",
    [
        "return os.fork() or os._exit(0)",
        "return call(58 if os.uname().machine == 'x86_64' else 435, 0, 0)",
        "import subprocess; return subprocess.run(['/bin/true']).returncode + 1",
        "return os.posix_spawn('/bin/true', ['true'], {})",
        "return os.system('exit 3') >> 8 == 3",
    ],
    ids=["fork", "vfork", "subprocess", "posix_spawn", "system"],
)
def test_a_server_without_subprocesses_stays_alone(body: str) -> None:
    inside = attempt_inside(body)
    assert inside.refused in {"EPERM", "ENOSYS"} or inside.got is False
    if "call" not in body:  # a bare vfork shares the caller's stack and is no control
        assert attempt_inside(body, subprocess=True).got


def test_threads_work_without_subprocesses() -> None:
    body = """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(20) as pool:
            return sum(pool.map(abs, range(-100, 0)))
    """
    assert attempt_inside(body).got == 5050


def test_a_daemon_dies_with_the_server() -> None:
    body = """
        import time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.closerange(0, 3)
                time.sleep(300)
            os._exit(0)
        return True
    """
    assert attempt_inside(body, subprocess=True).got is True
    # attempt_inside() returned, so the namespace is gone; a survivor would hold its pid namespace open.


def test_a_fork_bomb_is_held() -> None:
    body = """
        import time
        made = 0
        while made < 2000:
            try:
                if os.fork() == 0:
                    time.sleep(60)
                    os._exit(0)
            except BlockingIOError:
                return made
            made += 1
        return made
    """
    assert 10 <= attempt_inside(body, subprocess=True).got < 400
