"""What users of other hosts are told, and that nothing starts there unless they chose less."""

import errno
import json
import os
import sys

import pytest
from kit import programs
from kit.command import Mcp, refused

from mcp_client.sandbox.linux import refusals

HERE = os.path.dirname(os.path.abspath(__file__))
HOST = os.path.join(HERE, "host.py")
CONTAINER = [sys.executable, os.path.join(os.path.dirname(HERE), "restricted", "without_namespaces.py")]
DOCTOR = ("doctor", "--json")
REFERENCE = programs.single().reference


def on(kind: str) -> list[str]:
    return [sys.executable, HOST, kind]


def start_record(mcp: Mcp) -> dict[str, dict[str, str]]:
    with open(os.path.join(mcp.home, "audit.log"), encoding="utf-8") as log:
        return [record for line in log if (record := json.loads(line))["event"] == "start"][-1]


# Kind of host: the control that is missing there, its state, and what the message says.
WEAKER = {
    "no-landlock": ("landlock", "unavailable", "this kernel has none"),
    "intercepted": ("subprocess", "degraded", "an outer supervisor holds the only listener"),
}


@pytest.mark.parametrize("kind", WEAKER)
def test_a_missing_wall_stops_the_run_and_is_named(kind: str, warm: Mcp) -> None:
    name, state, words = WEAKER[kind]
    result = warm.run("run", REFERENCE, "--", "leave", "7", prefix=on(kind))
    refused(result, "control-missing")
    assert f"{name} is {state} on this host" in result.message
    assert words in result.message
    assert result.hint is not None
    assert "--allow-degraded" in result.hint


@pytest.mark.parametrize("kind", WEAKER)
def test_whoever_accepts_it_is_told_everywhere(kind: str, warm: Mcp) -> None:
    name, state, words = WEAKER[kind]
    result = warm.run("run", "--allow-degraded", REFERENCE, "--", "leave", "7", prefix=on(kind))
    assert result.status == 7, result
    assert f"warning: {name} is {state}" in result.stderr
    record = start_record(warm)
    assert record["enforcement"][name] == state
    assert words in record["mechanisms"][name]
    for command in (
        ("run", "--dry-run", "--json", REFERENCE),
        ("info", "--json", REFERENCE),
        ("doctor", "--json"),
    ):
        answer = json.loads(warm.run(*command, prefix=on(kind)).stdout)
        found = {control["name"]: control for control in answer["result"]["controls"]}
        assert found[name]["state"] == state
        assert words in found[name]["mechanism"]
        assert found[name]["mend"]
        assert command != DOCTOR or not answer["ok"]


def test_a_container_with_dockers_profile_is_told_which_flag_mends_it(warm: Mcp) -> None:
    result = warm.run("run", REFERENCE, "--", "leave", "7", prefix=CONTAINER)
    refused(result, "sandbox-unavailable")
    assert result.hint is not None
    assert "docker: --security-opt seccomp=unconfined" in result.hint
    assert "--allow-degraded" in result.hint
    accepted = warm.run("run", "--allow-degraded", REFERENCE, "--", "leave", "7", prefix=CONTAINER)
    assert accepted.status == 7, accepted
    assert start_record(warm)["enforcement"]["filesystem"] == "degraded"


def test_the_administrators_refusal_stands_above_the_flag(warm: Mcp) -> None:
    """By the setting's own rule: /etc belongs to the machine that runs the tests."""
    from mcp_client.config.load import load_settings

    policy = os.path.join(warm.folder, "policy.yaml")
    with open(policy, "w", encoding="utf-8") as file:
        file.write("sandbox:\n  on_missing: refuse\n")
    warm.configure("sandbox:\n  on_missing: degrade\n")
    environ = {"HOME": warm.folder, "MCP_HOME": warm.home}
    assert load_settings({}, environ, policy_file="/nowhere").sandbox.on_missing == "degrade"
    for overrides in ({}, {"on_missing": "degrade"}):
        settings = load_settings(overrides, environ, policy_file=policy)
        assert settings.sandbox.on_missing == "refuse"


# Setting of the host: (its value, stage that fails, errno, what mends it).
SETTINGS = {
    refusals._APPARMOR: ("1", "bring up loopback", errno.EPERM, "apparmor_restrict_unprivileged_userns=0"),
    refusals._CLONE_SWITCH: ("0", "create namespaces", errno.EPERM, "unprivileged_userns_clone=1"),
    refusals._LIMIT: ("0", "create namespaces", errno.ENOSPC, "max_user_namespaces"),
}


@pytest.mark.parametrize("path", SETTINGS)
def test_a_setting_that_forbids_namespaces_is_named(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value, stage, number, mend = SETTINGS[path]
    monkeypatch.setattr(refusals, "_setting", lambda asked: value if asked == path else None)
    error = refusals.explain(stage, number, os.strerror(number))
    assert error.code == "sandbox-unavailable"
    assert mend in error.hint
    # The same failure on a host without that setting has another cause.
    monkeypatch.setattr(refusals, "_setting", lambda _asked: None)
    assert mend not in refusals.explain(stage, errno.EPERM, os.strerror(number)).hint


def test_a_masked_proc_is_named() -> None:
    error = refusals.explain("build the root", errno.EPERM, "proc /proc: Operation not permitted")
    assert error.code == "sandbox-unavailable"
    assert "systempaths=unconfined" in error.hint
