"""The launcher of macOS on Linux, with stand-ins for sandbox-exec(1) and libproc.

Real here: session, limits, environment, folders, signals, the clock, polling, the end of the whole family.
Nothing of this says that Seatbelt denies anything: that is for test_macos.py.
"""

import json
import os
import signal
import socket
import textwrap
from itertools import pairwise

import pytest
from kit import processes, programs
from kit.bundle import manifest_form, pack_files, package
from kit.command import refused

RESOURCES = {"cpu_millicores": 2000, "memory_mb": 512, "max_processes": 8, "max_fds": 256}


def python(source, **fields):
    """A package with one program; it may import from the standard library."""
    bundle = pack_files({"main.py": textwrap.dedent(source)})
    fields = {"resources": RESOURCES, **fields}
    return package(
        manifest_form("test/program@1.0.0", "python3", "-I", "-S", "${bundle}/main.py", **fields), bundle
    )


def tell(source):
    """A program that prints one JSON value, and what it printed."""
    return python(f"import json, os, resource, sys\n{textwrap.dedent(source)}\nprint(json.dumps(told))\n")


def test_a_server_speaks_through_the_clients_own_pipes(mac):
    done = mac.serve(programs.single(), "cat", given=b"to and fro\n")

    assert (done.status, done.stdout) == (0, b"to and fro\n"), done.stderr
    assert mac.scratch == []


@pytest.mark.parametrize(("how", "status"), [(("leave", "7"), 7), (("die", "15"), 128 + 15)])
def test_its_own_status_passes_through(mac, how, status):
    done = mac.serve(programs.single(), *how)

    assert done.status == status, done.stderr


def test_a_server_may_be_ready_before_its_keeper_goes_on(mac):
    """Which of the two has the processor after the fork is the kernel's to choose."""
    done = mac.serve(programs.single(), "leave", "7", env={"STAND_IN_SLOW": "0.3"})

    assert done.status == 7, done.stderr


def test_it_has_a_session_of_its_own_and_three_descriptors(mac):
    done = mac.serve(
        tell("""
        told = {"session": os.getsid(0) == os.getpid() == os.getpgid(0),
                "open": sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1]}
        """)
    )

    assert json.loads(done.stdout) == {"session": True, "open": [0, 1, 2]}, done.stderr


def test_it_has_the_limits_that_a_process_can_have(mac):
    done = mac.serve(
        tell("""
        names = ("RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_MEMLOCK")
        told = [resource.getrlimit(getattr(resource, name))[1] for name in names]
        """)
    )

    assert json.loads(done.stdout) == [256, 0, 4 << 30, 64 << 10], done.stderr


def test_its_folders_are_private_and_gone_afterwards(mac):
    done = mac.serve(
        tell("""
        told = {}
        for name in ("HOME", "TMPDIR"):
            place = os.environ[name]
            assert os.listdir(place) == []
            os.makedirs(place + "/deep/er")
            open(place + "/deep/er/file", "w").close()
            told[name] = [place, os.stat(place).st_mode & 0o777]
        """)
    )

    told = json.loads(done.stdout)
    assert [mode for _, mode in told.values()] == [0o700, 0o700]
    assert told["HOME"][0] != told["TMPDIR"][0]
    assert not any(os.path.exists(place) for place, _ in told.values())
    assert mac.scratch == []


def test_its_environment_is_what_the_policy_says(mac):
    done = mac.serve(
        python("import json, os\nprint(json.dumps(dict(os.environ)))"),
        options=["--env", "GIVEN=yes"],
        env={"AWS_SECRET_ACCESS_KEY": "no", "DYLD_INSERT_LIBRARIES": "/no.dylib"},
    )

    given = json.loads(done.stdout)
    # C.UTF-8 coercion (PEP 538) is Python's own.
    assert set(given) - {"LC_CTYPE"} == {"HOME", "LANG", "LOGNAME", "PATH", "TMPDIR", "USER", "GIVEN"}


def test_the_clock_ends_it(mac):
    done = mac.serve(programs.single(), "stubborn", options=["--timeout", "1s"])

    assert done.status == 124, done.stderr


def test_a_child_that_holds_the_output_open_ends_with_it(mac):
    done = mac.serve(programs.forking(), "holder")

    assert (done.status, done.stdout) == (4, b"ready\n"), done.stderr
    processes.assert_gone(mac.marker)


def test_a_daemon_is_found_by_the_mark_of_its_sandbox(mac):
    """Forked twice, in its own session, its parents gone before anybody looked. The mark is a stand-in's."""
    mac.publish(programs.forking())
    with mac.start("run", *mac.accepted, programs.forking().reference, "--", "daemon") as running:
        assert _first_line(running) == b"ready\n"
        running.stdin.close()
        assert running.wait(30) == 0
        processes.assert_gone(mac.marker)


def test_a_child_that_left_the_session_is_found_by_its_ancestry(mac):
    """Without the mark of a sandbox: its parent lives when the end begins."""
    source = """
    import os, signal, sys, time
    child = os.fork()
    if child == 0:
        os.setsid()
        os.environ.clear()
        os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)"], {})
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(child, flush=True)
    while True:
        time.sleep(600)
    """
    mac.configure("executor:\n  grace: 1s\n")
    mac.publish(python(source, subprocess=True))
    with mac.start("run", *mac.accepted, "test/program@1.0.0") as running:
        child = int(_first_line(running))
        assert _is_named(child, "python")
        running.send_signal(signal.SIGTERM)
        running.wait(60)

    # A zombie has ended: it waits for whoever inherited it.
    assert processes.wait_until(lambda: _stat(child)[:1] in {"", "Z"}), _stat(child)


def _first_line(running):
    """Of the server; where there is none, what ``mcp`` says is the reason."""
    line = running.stdout.readline()
    if not line:
        _, said = running.communicate(timeout=60)
        pytest.fail(f"status {running.returncode} before a line: {said.decode(errors='replace')}")
    return line


def _is_named(pid, word):
    with open(f"/proc/{pid}/cmdline") as file:
        return word in file.read()


def _stat(pid):
    """From its state on (proc_pid_stat(5)); nothing where it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2]
    except OSError:
        return ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_mcp(mac, number):
    mac.publish(programs.forking())
    with mac.start("run", *mac.accepted, programs.forking().reference, "--", "daemon") as running:
        assert _first_line(running) == b"ready\n"
        running.send_signal(number)
        running.wait(30)
        processes.assert_gone(mac.marker)


def test_nothing_outlives_the_keeper(mac):
    """Killed by somebody, it leaves the server to its parent."""
    mac.publish(programs.single())
    with mac.start("run", *mac.accepted, programs.single().reference, "--", "stubborn") as running:
        assert _first_line(running) == b"ready\n"
        keeper = processes.chain(running.pid)[1]
        os.kill(keeper, signal.SIGKILL)
        running.wait(30)
        processes.assert_gone(mac.marker)


def test_signals_reach_the_server(mac):
    mac.publish(programs.single())
    with mac.start("run", *mac.accepted, programs.single().reference, "--", "until_signal") as running:
        assert _first_line(running) == b"ready\n"
        running.send_signal(signal.SIGINT)
        said = _first_line(running)

    assert (said, running.returncode) == (b"SIGINT\n", 6)


def test_memory_above_the_limit_ends_the_family(mac):
    """In a child, so that no limit of a single process is at work."""
    source = """
    import os, time
    print("begun", flush=True)
    if os.fork() == 0:
        held = bytearray(b"x") * (300 << 20)
    time.sleep(600)
    """
    resources = {**RESOURCES, "memory_mb": 200}
    done = mac.serve(python(source, subprocess=True, resources=resources))

    assert (done.status, done.stdout) == (128 + signal.SIGKILL, b"begun\n"), done.stderr
    assert "memory" in done.stderr


def test_memory_below_the_limit_does_not(mac):
    source = "held = bytearray(b'x') * (100 << 20)\nimport time; time.sleep(1.2)\nprint('alive')"
    done = mac.serve(python(source, resources={**RESOURCES, "memory_mb": 200}))

    assert (done.status, done.stdout) == (0, b"alive\n"), done.stderr


def test_more_processes_than_the_limit_end_the_family(mac):
    source = """
    import os, time
    print("begun", flush=True)
    for _ in range(12):
        if os.fork() == 0:
            break
    time.sleep(600)
    """
    done = mac.serve(python(source, subprocess=True))

    assert (done.status, done.stdout) == (128 + signal.SIGKILL, b"begun\n"), done.stderr
    assert "more than its 8 processes" in done.stderr


def test_the_processor_is_shared(mac):
    """A busy loop with a tenth of a core: what it used is a part of what passed."""
    source = """
    import time
    until = time.monotonic() + 3
    while time.monotonic() < until: pass
    print(time.process_time() / (time.monotonic() - until + 3))
    """
    done = mac.serve(python(source, resources={**RESOURCES, "cpu_millicores": 100}))

    assert float(done.stdout) < 0.6, done.stderr


def test_a_signal_while_the_keeper_looks_is_passed_on_afterwards(mac):
    """Passed on at once, it would make a stopped server go on, for which the keeper looks again."""
    source = """
    import signal, time
    told = []
    signal.signal(signal.SIGUSR1, lambda *_: told.append("told"))
    until = time.monotonic() + 30
    while not told and time.monotonic() < until: pass
    print(*told[:1])
    """
    resources = {**RESOURCES, "cpu_millicores": 100}
    done = mac.serve(python(source, subprocess=True, resources=resources), env={"STAND_IN_INTERRUPT": "1"})

    assert (done.status, done.stdout) == (0, b"told\n"), done.stderr


def test_what_sandbox_exec_is_asked_for(mac):
    done = mac.serve(programs.single(), "leave", "0")
    assert done.status == 0, done.stderr

    trial, served = mac.calls()
    assert served[0] == trial[0] == "-p"
    assert served[1] == trial[1]
    given, tried = (
        dict(pair.split("=", 1) for flag, pair in pairwise(call) if flag == "-D") for call in (served, trial)
    )
    assert {name for name in given if given[name] != tried[name]} == {"PROGRAM_0"}
    assert given["WRITE_0"].endswith("/home")
    assert given["READ_0"].startswith(os.path.realpath(mac.cache))
    # Neither the store with the other packages nor the home with the tokens is anywhere.
    whole = {given[name] for name in given if name.startswith(("READ", "WRITE"))}
    assert not whole & {os.path.realpath(place) for place in (mac.folder, mac.home, mac.cache)}


@pytest.mark.parametrize("mode", ["broken", "open"])
def test_a_sandbox_exec_that_does_not_deny_runs_nothing(mac, mode):
    """The control is the test above: the same server runs when the trial goes well."""
    mac.mode(mode)
    done = mac.serve(programs.single(), "burst", "10")

    refused(done, "sandbox-unavailable")
    assert len(mac.calls()) == 1, "only the trial was executed"
    assert mac.scratch == []


@pytest.mark.parametrize("how", ["missing", "not executable"])
def test_without_sandbox_exec_nothing_runs(mac, how):
    if how == "missing":
        os.unlink(mac.launcher)
    else:
        os.chmod(mac.launcher, 0o644)
    done = mac.serve(programs.single(), "burst", "10")

    refused(done, "sandbox-unavailable")
    assert "sandbox-exec" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="about being root")
def test_root_is_refused_unless_accepted(mac):
    mac.publish(programs.single())
    done = mac.run("run", programs.single().reference, "--", "cat")

    refused(done, "control-missing")
    assert "identity" in done.message


def test_a_folder_appears_where_it_is_or_not_at_all(mac, tmp_path):
    granted = tmp_path / 'gr"an)ted\n(allow default)\\'
    granted.mkdir()
    (granted / "file").write_text("seen")
    mac.publish(programs.single())
    here = mac.serve(programs.single(), "leave", "0", options=["--mount", f"{granted}:{granted}:rw"])
    elsewhere = mac.serve(programs.single(), "leave", "0", options=["--mount", f"{granted}:/mnt/x"])

    assert here.status == 0, here.stderr
    assert str(granted) in [pair.partition("=")[2] for pair in mac.calls()[1]]
    assert str(granted) not in mac.calls()[1][1], "nothing of the host is in the text"
    refused(elsewhere, "mount-refused")


def test_a_network_socket_as_standard_input_is_refused(mac):
    """It is open already, which no profile looks at."""
    mac.publish(programs.single())
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as end,
    ):
        started = mac.start("run", *mac.accepted, programs.single().reference, "--", "cat", stdin=end)
        _, said = started.communicate(timeout=60)

    assert started.returncode == 125
    assert b"a network socket" in said


def test_doctor_says_that_nothing_holds(mac):
    mac.mode("open")
    done = mac.run("doctor", "--json")
    (control,) = json.loads(done.stdout)["result"]["controls"]

    assert done.status == 1
    assert (control["name"], control["state"]) == ("sandbox", "unavailable")
    assert "denied nothing" in control["mechanism"]


def test_doctor_tells_what_holds(mac):
    done = mac.run("doctor", "--json")
    controls = {control["name"]: control for control in json.loads(done.stdout)["result"]["controls"]}

    assert controls["filesystem"]["state"] == "enforced"
    assert controls["memory"]["state"] == "degraded"
    assert controls["network"]["requested"] == "allow-listed"
    assert controls["system-calls"]["mend"] is None
    assert mac.scratch == []
