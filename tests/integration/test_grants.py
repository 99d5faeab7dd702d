"""What the user gives by hand reaches the server, and nothing else of the host does."""

import json
import os

import pytest
from kit import programs
from kit.bundle import manifest_form, package
from kit.command import Mcp, refused
from kit.registry import Registry

REFERENCE = programs.single().reference
SECRETS = {
    "MCP_REGISTRY_TOKEN": "sesame-9d1c",
    "AWS_SECRET_ACCESS_KEY": "sesame-9d1c",
    "SSH_AUTH_SOCK": "/tmp/sesame-9d1c",
    "LD_PRELOAD": "",
    "PYTHONPATH": "/sesame-9d1c",
    "NODE_OPTIONS": "--sesame-9d1c",
}


def environment(result: object) -> dict[str, str]:
    """What the server printed of its own environment."""
    lines = result.stdout.decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_the_environment_of_the_host_stays_outside(warm: Mcp) -> None:
    result = warm.run("run", REFERENCE, "--", "environment", env=SECRETS)
    assert result.status == 0, result.stderr
    found = environment(result)
    assert "sesame-9d1c" not in str(found)
    assert not set(found) & {*SECRETS, "MCP_HOME", "MCP_TEST_MARKER"}
    assert found.get("HOME") != warm.folder


def test_variables_that_are_given_arrive(warm: Mcp, tmp_path: object) -> None:
    file = f"{tmp_path}/variables"
    with open(file, "w") as opened:
        opened.write("# a comment\nFROM_FILE=one two\n")
    flags = ["--env", "GIVEN=a=b", "--env", "FROM_HOST", "--env-file", file]
    result = warm.run(
        "run", *flags, REFERENCE, "--", "environment", env={"FROM_HOST": "kept", "OTHER": "lost"}
    )
    assert result.status == 0, result.stderr
    found = environment(result)
    assert (found["GIVEN"], found["FROM_HOST"], found["FROM_FILE"]) == ("a=b", "kept", "one two")
    assert "OTHER" not in found


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONSTARTUP", "NODE_OPTIONS"])
def test_variables_that_inject_code_do_not_pass_from_the_host(warm: Mcp, name: str) -> None:
    refused(warm.run("run", "--env", name, REFERENCE, "--", "environment", env={name: "/x"}), "env-refused")


def test_a_manifest_gets_the_names_it_asks_for_minus_what_it_denies(mcp: Mcp, registry: Registry) -> None:
    names = {"allowed_names": ["LOG_LEVEL", "API_PASSWORD"], "deny_patterns": ["*_PASSWORD"]}
    form = manifest_form("test/names@1.0.0", "python3", "-I", "-S", "${bundle}/main.py", environment=names)
    registry.publish(package(form, programs.single().bundle))
    host = {"LOG_LEVEL": "debug", "API_PASSWORD": "sesame", "UNASKED": "x"}
    found = environment(mcp.run("run", "test/names@1.0.0", "--", "environment", env=host))
    assert found["LOG_LEVEL"] == "debug"
    assert not set(found) & {"API_PASSWORD", "UNASKED"}


def test_mounted_folders_and_nothing_beside_them(warm: Mcp, tmp_path: object) -> None:
    for name in ("readable", "writable", "beside"):
        os.mkdir(f"{tmp_path}/{name}")
        os.chmod(f"{tmp_path}/{name}", 0o777)
        with open(f"{tmp_path}/{name}/file", "w") as opened:
            opened.write(name)
    os.symlink(f"{tmp_path}/beside", f"{tmp_path}/writable/way-out")
    flags = ["--mount", f"{tmp_path}/readable:/r", "--mount", f"{tmp_path}/writable:/w/deep:rw"]
    hidden = [f"{tmp_path}/beside/file", "/w/deep/way-out/file", "/etc/passwd-", "/var/lib", warm.home]
    seen = ["/r", "/r/file", "/w/deep", "/w/deep/file"]
    assert all(os.access(path, os.R_OK) for path in (f"{tmp_path}/beside/file", "/var/lib", warm.home))
    result = warm.run("run", *flags, REFERENCE, "--", "files", *seen, *hidden)
    assert result.status == 0, result.stderr
    assert dict(line.split(" ") for line in result.stdout.decode().splitlines()) == {
        "/r": "r-",
        "/r/file": "r-",
        "/w/deep": "rw",
        "/w/deep/file": "rw",
        **dict.fromkeys(hidden, "--"),
    }


def test_a_run_is_recorded_from_start_to_end(warm: Mcp, tmp_path: object) -> None:
    config = f"{tmp_path}/config.yaml"
    with open(config, "w") as opened:
        opened.write(f"audit:\n  file: {tmp_path}/audit.log\n")
    flags = ["--config", config, "run", "--env", "API_TOKEN=sesame-2b7e"]
    assert warm.run(*flags, REFERENCE, "--", "leave", "3").status == 3
    assert warm.run("--config", config, "run", "--offline", "test/none@1.0.0").status == 125
    with open(f"{tmp_path}/audit.log") as opened:
        text = opened.read()
    start, end, refusal = (json.loads(line) for line in text.splitlines())
    assert (start["event"], end["event"], refusal["event"]) == ("start", "end", "refused")
    assert start["run_id"] == end["run_id"] != refusal["run_id"]
    assert end["exit_code"] == 3
    assert start["reference"] == REFERENCE
    assert refusal["code"] == "offline-missing"
    assert "API_TOKEN" in text
    assert "sesame-2b7e" not in text


def test_a_dry_run_tells_the_plan_and_starts_nothing(warm: Mcp) -> None:
    result = warm.run("run", "--dry-run", "--json", REFERENCE, "--", "environment")
    assert result.status == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["ok"] is True
    assert "main.py" in json.dumps(answer["result"])
    assert b"PATH=" not in result.stdout


def test_hosts_are_those_of_the_manifest_and_of_grants(mcp: Mcp, registry: Registry) -> None:
    network = {"allowlist": ["API.Example.com.", "10.0.0.0/8", "169.254.169.254"]}
    form = manifest_form("test/hosts@1.0.0", "python3", "-I", "-S", "${bundle}/main.py", network=network)
    registry.publish(package(form, programs.single().bundle))
    result = mcp.run("run", "--dry-run", "--json", "--allow-net", "10.0.0.0/8:5432", "test/hosts@1.0.0")
    policy = json.loads(result.stdout)["result"]["policy"]
    assert policy["network"] == ["api.example.com", "10.0.0.0/8:5432"]
    assert policy["network_closed"] == ["169.254.169.254"]
    plan = mcp.run("run", "--dry-run", "test/hosts@1.0.0").stdout.decode()
    assert "api.example.com; asked for and closed: 10.0.0.0/8, 169.254.169.254\n" in plan
    result = mcp.run("run", "test/hosts@1.0.0", "--", "environment")
    assert result.status == 0, result.stderr
    assert "closed without --allow-net: 10.0.0.0/8, 169.254.169.254" in result.stderr
    with open(f"{mcp.home}/audit.log") as opened:
        start = next(record for record in map(json.loads, opened) if record["event"] == "start")
    assert start["policy"]["network"] == ["api.example.com"]
    assert start["policy"]["network_closed"] == ["10.0.0.0/8", "169.254.169.254"]


def test_the_operators_denial_stands_above_a_grant(warm: Mcp, tmp_path: object) -> None:
    config = f"{tmp_path}/config.yaml"
    with open(config, "w") as opened:
        opened.write("policy: {network: {deny: ['*.example.com']}}\n")
    run = ("--config", config, "run", REFERENCE, "--allow-net")
    result = warm.run(*run, "api.example.com", "--", "environment")
    refused(result, "network-refused")
    assert "denies *.example.com" in result.message
    refused(warm.run(*run, "127.1", "--", "environment"), "network-refused")
    assert warm.run(*run, "example.com", "--", "environment").status == 0
