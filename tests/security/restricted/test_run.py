"""``mcp run`` from end to end on a host that refuses namespaces: refused, or weaker by explicit choice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from kit import processes, programs
from kit.bundle import Package, manifest_form, pack_files, package
from kit.command import EXECUTABLE, Mcp, Running, refused
from kit.registry import Registry

HERE = os.path.dirname(os.path.abspath(__file__))
HOST = [sys.executable, os.path.join(HERE, "without_namespaces.py")]
DEGRADED = {"identity", "filesystem", "process-isolation"}

PYTHON = """
import json, os, sys, tempfile
tempfile.TemporaryFile().close()
for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        server = {"name": "python", "version": os.uname().machine}
        result = {"protocolVersion": request["params"]["protocolVersion"], "capabilities": {}}
        result["serverInfo"] = server
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
"""
NODE = """
const lines = require('readline').createInterface({ input: process.stdin });
require('fs').writeFileSync(require('os').tmpdir() + '/x', 'x');
lines.on('line', (line) => {
  const request = JSON.parse(line);
  if (request.id === undefined) return;
  const serverInfo = { name: 'node', version: process.version };
  const result = { protocolVersion: request.params.protocolVersion, capabilities: {}, serverInfo };
  console.log(JSON.stringify({ jsonrpc: '2.0', id: request.id, result }));
});
"""
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}


VENDORED = """
import helper, sys
sys.stdin.readline()
print(helper.WORD, flush=True)
"""


def vendored() -> Package:
    """What it imports is found by a variable, in which a colon divides folders."""
    form = manifest_form(
        "test/vendored@1.0.0", "python3", "${bundle}/main.py", env={"PYTHONPATH": "${bundle}/lib"}
    )
    return package(form, pack_files({"main.py": VENDORED, "lib/helper.py": "WORD = 'found'"}))


def server(language: str) -> Package:
    name, source, command = {
        "python": ("main.py", PYTHON, "python3"),
        "node": ("main.js", NODE, "node"),
    }[language]
    form = manifest_form(f"test/{language}@1.0.0", command, f"${{bundle}}/{name}")
    return package(form, pack_files({name: source}))


@pytest.fixture
def host(mcp: Mcp, registry: Registry) -> Callable[..., Any]:
    """Run ``mcp`` on a host without namespaces; the packages of these tests are published."""
    registry.publish(server("python"), server("node"), vendored(), programs.single(), programs.forking())

    def run(*args: str, **options: Any) -> Any:
        return mcp.run(*args, prefix=HOST, **options)

    return run


def records(mcp: Mcp) -> list[dict[str, Any]]:
    with open(os.path.join(mcp.home, "audit.log"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def states(controls: list[Any]) -> dict[str, str]:
    return {control["name"]: control["state"] for control in controls}


def test_without_the_flag_nothing_runs(host: Callable[..., Any], mcp: Mcp) -> None:
    result = host("run", programs.single().reference, "--", "arguments", "started")
    refused(result, "sandbox-unavailable")
    assert "namespaces" in str(result.hint)
    assert result.stdout == b""
    assert records(mcp)[-1]["event"] == "refused"


@pytest.mark.parametrize("language", ["python", "node"])
def test_a_server_answers(host: Callable[..., Any], mcp: Mcp, language: str) -> None:
    given = json.dumps(INITIALIZE).encode() + b"\n"
    result = host("run", "--allow-degraded", server(language).reference, given=given)
    assert result.status == 0, result
    assert json.loads(result.stdout)["result"]["serverInfo"]["name"] == language
    for name in DEGRADED:
        assert result.stderr.count(f"{name} is degraded") == 1, result.stderr
    start = next(record for record in records(mcp) if record["event"] == "start")
    recorded = start["enforcement"]
    assert start["degraded"] is True
    assert {name for name in DEGRADED if recorded[name] == "degraded"} == DEGRADED
    assert recorded["landlock"] == "unavailable"
    assert recorded["network"] == recorded["subprocess"] == "enforced"
    assert os.listdir(os.path.join(mcp.cache, "scratch")) == []


def test_variables_with_several_folders_may_name_the_bundle(host: Callable[..., Any]) -> None:
    result = host("run", "--allow-degraded", vendored().reference, given=b"x\n")
    assert result.stdout == b"found\n", result


def test_the_plan_doctor_and_info_say_the_same(host: Callable[..., Any], mcp: Mcp) -> None:
    reference = programs.single().reference
    mcp.configure("sandbox:\n  on_missing: degrade\n")
    found = []
    for args in (
        ("run", "--dry-run", "--json", reference),
        ("doctor", "--json"),
        ("info", "--json", reference),
    ):
        result = host(*args)
        controls = json.loads(result.stdout)["result"]["controls"]
        found.append(states(controls))
        weak = [control for control in controls if control["state"] != "enforced"]
        assert all(control["mend"] for control in weak)
    # Doctor asks for a host, which this level cannot open; the package asks for none.
    assert [controls.pop("network") for controls in found] == ["enforced", "unavailable", "enforced"]
    assert found[0] == found[1] == found[2]
    assert {found[0][name] for name in DEGRADED} == {"degraded"}


def test_on_a_host_with_namespaces_the_flag_changes_nothing(mcp: Mcp, registry: Registry) -> None:
    registry.publish(programs.single())
    result = mcp.run("run", "--allow-degraded", "--dry-run", "--json", programs.single().reference)
    found = states(json.loads(result.stdout)["result"]["controls"])
    assert {found[name] for name in DEGRADED} == {"enforced"}


def test_a_folder_cannot_be_renamed(host: Callable[..., Any], mcp: Mcp) -> None:
    result = host("run", "--allow-degraded", "--mount", f"{mcp.folder}:/mnt/x", programs.single().reference)
    refused(result, "mount-refused")
    granted = os.path.join(mcp.folder, "granted")
    os.mkdir(granted)
    result = host(
        "run", "--allow-degraded", "--mount", f"{granted}:{granted}:rw", programs.single().reference,
        "--", "files", granted,
    )  # fmt: skip
    assert result.stdout == f"{granted} rw\n".encode(), result


def start(mcp: Mcp, *args: str) -> Running:
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return Running([*HOST, EXECUTABLE, "run", "--allow-degraded", *args], env=mcp.env, **streams)


@pytest.mark.parametrize("victim", ["mcp", "init", "server"])
def test_a_daemon_does_not_survive_the_death_of(victim: str, host: Callable[..., Any], mcp: Mcp) -> None:
    assert host("pull", programs.forking().reference).status == 0
    with start(mcp, programs.forking().reference, "--", "daemon", mcp.marker) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        chain = processes.chain(process.pid)
        assert any("daemon" in line for line in processes.carrying(mcp.marker).values())
        os.kill(chain[{"mcp": 0, "init": 1, "server": 2}[victim]], signal.SIGKILL)
        process.wait()
        processes.assert_gone(mcp.marker, 5)


def test_a_server_does_not_survive_init_and_mcp_together(host: Callable[..., Any], mcp: Mcp) -> None:
    """Nobody is left to end it but the kernel."""
    assert host("pull", programs.single().reference).status == 0
    with start(mcp, programs.single().reference, "--", "stubborn", mcp.marker) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        init = processes.chain(process.pid)[1]
        os.kill(process.pid, signal.SIGSTOP)
        os.kill(init, signal.SIGKILL)
        process.kill()
        process.wait()
        processes.assert_gone(mcp.marker, 5)


def test_root_of_a_user_namespace_without_further_ones(mcp: Mcp, registry: Registry) -> None:
    """As in a rootless container: no other id exists, and groups cannot be left."""
    registry.publish(server("python"))
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    inside = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"]
    strict = mcp.run("run", server("python").reference, prefix=inside)
    refused(strict, str(strict.code))
    given = json.dumps(INITIALIZE).encode() + b"\n"
    result = mcp.run("run", "--allow-degraded", server("python").reference, given=given, prefix=inside)
    assert result.status == 0, result
    assert json.loads(result.stdout)["result"]["serverInfo"]["name"] == "python"


def test_a_kill_at_any_moment_leaves_nothing(host: Callable[..., Any], mcp: Mcp) -> None:
    assert host("pull", programs.forking().reference).status == 0
    for moment in (0.12, 0.16, 0.2, 0.24, 0.28):
        with start(mcp, programs.forking().reference, "--", "daemon", mcp.marker) as process:
            time.sleep(moment)
            process.kill()
            process.wait()
            processes.assert_gone(mcp.marker, 5)
    assert host("run", "--allow-degraded", programs.forking().reference, "--", "leave", "3").status == 3
    assert os.listdir(os.path.join(mcp.cache, "scratch")) == []


def test_a_timeout_and_a_signal_end_everything(host: Callable[..., Any], mcp: Mcp) -> None:
    mcp.configure("executor:\n  grace: 200ms\n")
    reference = programs.forking().reference
    result = host("run", "--allow-degraded", "--timeout", "300ms", reference, "--", "stubborn")
    assert result.status == 124, result
    with start(mcp, reference, "--", "until_signal") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.stdout.readline() == b"SIGTERM\n"
        assert process.wait() == 6


def test_a_server_that_listens_is_refused(mcp: Mcp, registry: Registry) -> None:
    """There is no network of its own: its port would be one of the host's."""
    listening = programs.listening()
    registry.publish(listening)
    for arguments in ([], ["--stdio"], ["--dry-run"]):
        result = mcp.run("run", "--allow-degraded", *arguments, listening.reference, prefix=HOST)
        refused(result, "sandbox-unavailable")
        assert "network of its own" in result.message
