"""The controls of the sandbox on Windows, by attacks. Wine takes some requests and does nothing then."""

import json
import os
import time

import pytest
from windows_kit import Package, is_wine

from mcp_client.policy.model import DEFAULT_LIMITS
from mcp_client.sandbox.windows.job import Job, cpu_rate, extended_limits
from mcp_client.windows import structures as s

real = pytest.mark.skipif(is_wine(), reason="Wine takes this request and does nothing; run on Windows")
DEGRADED = "--allow-degraded"
MIB = 1 << 20


def states(mcp):
    """What the doctor says of each control."""
    report = json.loads(mcp("doctor", "--json")[1])
    return {control["name"]: control["state"] for control in report["result"]["controls"]}


def resources(**values):
    return {"resources": values}


def test_a_job_has_the_limits_that_were_asked_for():
    job = Job(DEFAULT_LIMITS._replace(memory=100 * MIB, processes=7), subprocess=True)
    found = job.limits()
    job.close()

    flags = found.BasicLimitInformation.LimitFlags
    wanted = extended_limits(DEFAULT_LIMITS._replace(memory=100 * MIB, processes=7), subprocess=True)
    all_of_them = (
        s.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
        | s.JOB_OBJECT_LIMIT_ACTIVE_PROCESS
        | s.JOB_OBJECT_LIMIT_JOB_MEMORY
        | s.JOB_OBJECT_LIMIT_PROCESS_MEMORY
    )
    assert wanted.BasicLimitInformation.LimitFlags & all_of_them == all_of_them
    assert (wanted.BasicLimitInformation.ActiveProcessLimit, wanted.JobMemoryLimit) == (7, 100 * MIB)
    if not is_wine():
        assert flags == wanted.BasicLimitInformation.LimitFlags
        assert (found.BasicLimitInformation.ActiveProcessLimit, found.JobMemoryLimit) == (7, 100 * MIB)


def test_one_process_means_one():
    limits = extended_limits(DEFAULT_LIMITS, subprocess=False)
    assert limits.BasicLimitInformation.ActiveProcessLimit == 1


@pytest.mark.parametrize(
    ("millicores", "processors", "share"),
    [(1000, 1, 10_000), (1000, 4, 2500), (500, 8, 625), (1, 64, 1), (9999, 2, 10_000)],
)
def test_a_share_of_one_processor_is_one_of_all(millicores, processors, share):
    rate = cpu_rate(millicores, processors)

    assert rate.CpuRate == share
    assert rate.ControlFlags == s.JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | s.JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP


@real
def test_memory_beyond_the_limit_ends_the_server(mcp, package):
    reference = package("--memory", "400", "--memory", "400", **resources(memory_mb=256))

    status, _, err = mcp("run", DEGRADED, reference)

    assert (status, "memory limit 256 MB" in err) == (137, True), err


@real
def test_memory_within_the_limit_is_given(mcp, package):
    status, _, err = mcp("run", DEGRADED, package("--memory", "100", **resources(memory_mb=256)))

    assert (status, "memory done" in err) == (0, True), err


@real
def test_without_subprocess_nothing_is_started(mcp, package):
    _, _, err = mcp("run", DEGRADED, package("--spawn", subprocess=False))
    assert "spawn refused" in err

    _, _, err = mcp("run", DEGRADED, package("--spawn", subprocess=True))
    assert "spawn done" in err


@real
def test_no_more_processes_than_its_limit(mcp, package):
    many = ("--child",) * 6
    reference = package(*many, subprocess=True, **resources(max_processes=4))

    _, _, err = mcp("run", DEGRADED, reference)

    started = [line for line in err.splitlines() if line.startswith("child") and line != "child 0"]
    assert len(started) <= 3
    assert "start refused" in err


@real
def test_the_share_of_the_processor_is_kept(start, package):
    import psutil

    process = start("run", DEGRADED, package("--spin", **resources(cpu_millicores=250)))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        everyone = psutil.Process(process.pid).children(recursive=True)
        servers = [one for one in everyone if one.name() == "server.exe"]
        if servers:
            break
    (server,) = servers
    before, began = server.cpu_times(), time.monotonic()
    time.sleep(4)
    after, ended = server.cpu_times(), time.monotonic()
    share = (after.user + after.system - before.user - before.system) / (ended - began)
    # A spinning program takes all of one processor where nothing keeps it.
    assert share < 0.6


@real
def test_files_outside_its_folders_are_not_written(mcp, package, tmp_path):
    outside = str(tmp_path / "outside")

    _, _, err = mcp("run", DEGRADED, package("--write", outside))

    assert "write refused" in err
    assert not os.path.exists(outside)


@real
def test_its_own_bundle_is_not_written(mcp, registry, programs):
    reference = registry.publish(
        Package(programs, arguments=("--write", "bin\\server.exe", "--write", "new"))
    )

    _, _, err = mcp("run", DEGRADED, reference)

    assert "write done" not in err


def test_its_private_folders_are_written(mcp, registry, programs):
    script = b'@echo off\r\necho x> "%TEMP%\\file"\r\nif exist "%TEMP%\\file" echo written 1>&2\r\n'
    reference = registry.publish(
        Package(programs, files={"run.cmd": script}, command="./run.cmd", manifest={"subprocess": True})
    )

    _, _, err = mcp("run", DEGRADED, reference)

    assert "written" in err


@real
def test_walls_that_windows_has_are_enforced(mcp, registry):
    controls = states(mcp)

    for name in ("identity", "privileges", "descriptors", "subprocess", "processes", "memory", "cpu"):
        assert controls[name] == "enforced", name


def test_what_wine_does_not_keep_is_not_called_enforced(mcp, registry):
    if not is_wine():
        pytest.skip("this is Windows")
    controls = states(mcp)

    for name in ("subprocess", "processes", "memory", "cpu", "filesystem", "network"):
        assert controls[name] != "enforced", name
