"""What is asked of Windows for a server, and in which order: calls are recorded, and carried out."""

import ctypes
import os

import pytest
from windows_kit import is_wine

from mcp_client.executor.windows.supervise import SignalInbox
from mcp_client.policy.model import DEFAULT_LIMITS
from mcp_client.sandbox.spec import SandboxSpec
from mcp_client.sandbox.windows.environment import base_environment
from mcp_client.sandbox.windows.job import cpu_rate
from mcp_client.sandbox.windows.process import WindowsProcess
from mcp_client.windows import api
from mcp_client.windows import structures as s
from mcp_client.windows.places import system_folder

MIB = 1 << 20
LIMITS = DEFAULT_LIMITS._replace(memory=100 * MIB, processes=7, cpu=500)
RECORDED = (
    *("CreateJobObjectW", "SetInformationJobObject", "CreateRestrictedToken", "SetTokenInformation"),
    *("UpdateProcThreadAttribute", "CreateProcessAsUserW", "ResumeThread", "TerminateJobObject"),
)


def copy_of(address, size):
    """The bytes at an address that may be a number, a pointer or byref()."""
    if not isinstance(address, int):
        address = ctypes.cast(address, ctypes.c_void_p).value
    return ctypes.string_at(address, size)


@pytest.fixture
def calls(monkeypatch):
    """(name, arguments) of each call in its order; what structures held is copied at the time of the call."""
    recorded = []

    def recording(name, function):
        def call(*arguments):
            told = arguments
            if name in {"SetInformationJobObject", "SetTokenInformation"}:
                told = (*arguments[:2], copy_of(arguments[2], arguments[3]))
            elif name == "UpdateProcThreadAttribute":
                told = (arguments[2], copy_of(arguments[3], arguments[4]))
            recorded.append((name, told))
            return function(*arguments)

        return call

    for name in RECORDED:
        monkeypatch.setattr(api, name, recording(name, getattr(api, name)))
    return recorded


@pytest.fixture
def launched(calls, programs, tmp_path):
    """A function: launch server.exe, ``subprocess`` or not, and end it; the calls."""

    def launch(*, subprocess):
        home = str(tmp_path / "scratch" / "home")
        environment = base_environment(os.environ, system=system_folder(), home=home, programs=())
        server = os.path.join(programs, "server.exe")
        spec = SandboxSpec((server, "--sleep"), environment, programs, (), LIMITS, subprocess)
        process = WindowsProcess(spec, home)
        process.await_ready()
        calls.append(("ready", ()))
        process.release()
        process.kill()
        while happened(process) != "ended":
            pass
        process.collect()
        return calls

    return launch


def happened(process):
    """The next thing that happens to it."""
    assert api.WaitForSingleObject(process.events, 60_000) == s.WAIT_OBJECT_0
    return process.next_event()


def asked(calls, name):
    return [arguments for called, arguments in calls if called == name]


def test_the_job_is_whole_before_the_server_exists_and_the_server_waits_for_its_release(launched):
    names = [name for name, _ in launched(subprocess=False)]

    first = {name: names.index(name) for name in (*RECORDED, "ready")}
    # Where we are in a job ourselves, it may take a second one.
    first["CreateProcessAsUserW"] = len(names) - 1 - names[::-1].index("CreateProcessAsUserW")
    last_limit = max(at for at, name in enumerate(names) if name == "SetInformationJobObject")
    assert first["CreateJobObjectW"] < first["SetInformationJobObject"]
    assert last_limit < first["CreateProcessAsUserW"]
    assert first["CreateRestrictedToken"] < first["SetTokenInformation"] < first["CreateProcessAsUserW"]
    assert first["UpdateProcThreadAttribute"] < first["CreateProcessAsUserW"]
    assert (
        first["CreateProcessAsUserW"] < first["ready"] < first["ResumeThread"] < first["TerminateJobObject"]
    )


def test_every_limit_is_asked_for(launched):
    kinds = {kind: data for _, kind, data in asked(launched(subprocess=True), "SetInformationJobObject")}

    limits = s.JOBOBJECT_EXTENDED_LIMIT_INFORMATION.from_buffer_copy(
        kinds[s.JobObjectExtendedLimitInformation]
    )
    assert limits.BasicLimitInformation.LimitFlags & s.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
    assert limits.BasicLimitInformation.ActiveProcessLimit == 7
    assert limits.JobMemoryLimit == limits.ProcessMemoryLimit == 100 * MIB
    ui = s.JOBOBJECT_BASIC_UI_RESTRICTIONS.from_buffer_copy(kinds[s.JobObjectBasicUIRestrictions])
    assert ui.UIRestrictionsClass == s.JOB_OBJECT_UILIMIT_ALL
    rate = s.JOBOBJECT_CPU_RATE_CONTROL_INFORMATION.from_buffer_copy(
        kinds[s.JobObjectCpuRateControlInformation]
    )
    assert rate.CpuRate == cpu_rate(500, os.cpu_count()).CpuRate


@pytest.mark.parametrize("subprocess", [True, False])
def test_it_gets_its_job_three_handles_and_no_window(launched, subprocess):
    calls = launched(subprocess=subprocess)

    attributes = dict(asked(calls, "UpdateProcThreadAttribute"))
    assert len(attributes[s.PROC_THREAD_ATTRIBUTE_HANDLE_LIST]) == 3 * ctypes.sizeof(ctypes.c_void_p)
    assert len(attributes[s.PROC_THREAD_ATTRIBUTE_JOB_LIST]) == ctypes.sizeof(ctypes.c_void_p)
    assert (s.PROC_THREAD_ATTRIBUTE_CHILD_PROCESS_POLICY in attributes) is not subprocess
    *_, (_, _, _, _, _, inherits, flags, *_) = asked(calls, "CreateProcessAsUserW")
    assert inherits
    assert flags & s.CREATE_SUSPENDED
    assert flags & s.EXTENDED_STARTUPINFO_PRESENT
    # Without children no console at all, with them one that has no window: never the client's.
    assert flags & (s.CREATE_NO_WINDOW | s.DETACHED_PROCESS) == (
        s.CREATE_NO_WINDOW if subprocess else s.DETACHED_PROCESS
    )


def test_its_token_loses_privileges_and_administrators_and_is_to_be_low(launched):
    calls = launched(subprocess=False)

    ((_, flags, *_),) = asked(calls, "CreateRestrictedToken")
    assert flags == s.DISABLE_MAX_PRIVILEGE | s.LUA_TOKEN
    assert s.TokenIntegrityLevel in {kind for _, kind, _ in asked(calls, "SetTokenInformation")}


def test_a_server_that_cannot_be_looked_at_is_never_released(calls, programs, tmp_path, monkeypatch):
    def fail(*_arguments):
        raise ctypes.WinError(5)

    monkeypatch.setattr(api, "IsProcessInJob", fail)
    home = str(tmp_path / "scratch" / "home")
    environment = base_environment(os.environ, system=system_folder(), home=home, programs=())
    server = os.path.join(programs, "server.exe")
    process = WindowsProcess(SandboxSpec((server,), environment, programs, (), LIMITS, False), home)

    with pytest.raises(Exception, match="could not be built"):
        process.await_ready()
    process.kill()

    assert asked(calls, "ResumeThread") == []
    assert asked(calls, "TerminateJobObject")
    assert not os.path.exists(home)


def test_ctrl_c_and_ctrl_break_are_kept_until_somebody_asks():
    inbox = SignalInbox()
    try:
        # Windows calls the routine so, in a thread of its own.
        assert [inbox._routine(kind) for kind in (0, 1)] == [1, 1]
        assert api.WaitForSingleObject(inbox.descriptor, 0) == s.WAIT_OBJECT_0
        assert inbox.read() == ["Ctrl-C", "Ctrl-Break"]
        assert api.WaitForSingleObject(inbox.descriptor, 0) != s.WAIT_OBJECT_0
        assert inbox.read() == []
    finally:
        api.SetConsoleCtrlHandler(ctypes.cast(inbox._routine, ctypes.c_void_p), False)


@pytest.mark.skipif(is_wine(), reason="Wine tells nothing of restrictions on the desktop; run on Windows")
def test_windows_says_that_the_desktop_is_closed(calls, programs, tmp_path):
    from mcp_client.sandbox.windows.job import Job

    job = Job(LIMITS, subprocess=False)
    found = s.JOBOBJECT_BASIC_UI_RESTRICTIONS()
    job._query(s.JobObjectBasicUIRestrictions, found)
    job.close()

    assert found.UIRestrictionsClass == s.JOB_OBJECT_UILIMIT_ALL
