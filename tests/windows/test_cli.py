"""The other commands on Windows: doctor, pull, cache, login, info, lock, and the names of the cache."""

import json
import os

import pytest
from windows_kit import Package

from mcp_client import system
from mcp_client.cache.names import checked_path
from mcp_client.errors import MCPError


def test_doctor_tries_every_control(mcp, registry):
    status, out, _ = mcp("doctor", "--json")
    report = json.loads(out)
    states = {control["name"]: control["state"] for control in report["result"]["controls"]}

    assert status == 1  # a wall does not hold, and less was not accepted
    assert states["descriptors"] == "enforced"
    assert states["network"] == "unavailable"
    assert {"identity", "privileges", "filesystem", "subprocess", "processes", "memory", "cpu"} <= set(states)
    broken = [check for check in report["result"]["checks"] if check["required"] and not check["works"]]
    assert broken == []


def test_a_package_is_pulled_listed_verified_and_removed(mcp, package, home):
    reference = package()
    status, out, err = mcp("pull", "--json", reference)
    assert status == 0, err

    for folder in ("manifests", "bundles", "trees"):
        names = os.listdir(os.path.join(home, "cache", folder))
        assert names
        assert all(name.startswith("sha256-") and ":" not in name for name in names)
    status, out, err = mcp("cache", "ls", "--json")
    assert (status, reference in out) == (0, True), err
    status, out, err = mcp("cache", "verify", "--json")
    assert (status, '"damaged"' in out) == (0, False), out + err
    status, out, err = mcp("cache", "rm", "--all", "--yes")
    if status == 2:
        status, out, err = mcp("cache", "rm", "--all")
    assert status == 0, err
    assert os.listdir(os.path.join(home, "cache", "trees")) == []


def test_a_changed_tree_is_found_and_mended(mcp, package, home):
    reference = package()
    assert mcp("pull", reference)[0] == 0
    trees = os.path.join(home, "cache", "trees")
    (name,) = os.listdir(trees)
    program = os.path.join(trees, name, "bin", "server.exe")
    with open(program, "ab") as file:
        file.write(b"more")

    status, _, err = mcp("run", "--allow-degraded", reference)

    assert (status, "was changed" in err) == (0, True), err
    with open(program, "rb") as file:
        assert not file.read().endswith(b"more")


def test_what_a_server_runs_from_is_not_removed(start, mcp, package, ask):
    reference = package()
    process = start("run", "--allow-degraded", reference)
    ask(process, "initialize")

    status, _, err = mcp("cache", "rm", "--all")

    assert (status, "in-use" in err) == (1, True), err
    assert "result" in ask(process, "ping", 2)


def test_login_keeps_the_token_closed_to_others(mcp, home, tmp_path):
    status, _, err = mcp(
        "login", "--token-stdin", "--registry", "https://registry.example.com", stdin="very-secret\n"
    )
    assert status == 0, err
    path = os.path.join(home, "auth.json")
    descriptor = system.open_fd(path, os.O_RDONLY | system.O_CLOEXEC)
    exposure = system.exposure(descriptor)
    os.close(descriptor)
    assert exposure == 0
    with open(path, encoding="utf-8") as file:
        assert "very-secret" in file.read()

    status, _, err = mcp("logout", "--registry", "https://registry.example.com")
    assert status == 0, err
    with open(path, encoding="utf-8") as file:
        assert "very-secret" not in file.read()


def test_a_token_that_others_may_read_is_not_used(mcp, home):
    from mcp_client.windows import owners

    at = ("--registry", "https://registry.example.com")
    assert mcp("login", "--token-stdin", *at, stdin="very-secret\n")[0] == 0
    path = os.path.join(home, "auth.json")
    owners.apply(path, f"D:P(A;;FA;;;{owners.account_sid()})(A;;FR;;;WD)", owners.DACL)

    status, _, err = mcp("logout", *at)

    assert (status, "credentials-unreadable" in err, "icacls" in err) == (1, True, True), err


def test_info_and_lock_know_the_package(mcp, package, tmp_path):
    reference = package()
    status, out, err = mcp("info", "--json", reference)
    assert (status, "windows-amd64" in out) == (0, True), err

    lock = str(tmp_path / "mcp.lock")
    status, _, err = mcp("lock", "-o", lock, reference)
    assert status == 0, err
    status, _, err = mcp("run", "--allow-degraded", "--lock", lock, reference)
    assert status == 0, err


def test_every_run_leaves_a_chained_record(mcp, package, home):
    reference = package()
    for _ in range(2):
        assert mcp("run", "--allow-degraded", reference)[0] == 0

    with open(os.path.join(home, "audit.log"), encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    assert [record["event"] for record in records] == ["start", "end"] * 2
    assert records[0]["enforcement"]["network"] == "unavailable"
    assert records[0]["degraded"] is True
    assert records[1]["exit_code"] == 0
    assert str(records[0]["uid"]).startswith("S-1-5-")
    assert all(one["prev"] for one in records[1:])


@pytest.mark.parametrize(
    "name",
    [
        *("bin/con", "NUL.txt", "a./b", "b ", "x:y", "com1.log", "lpt\u00b9", "a?b", "nul .txt", "CONIN$"),
        *("..\\evil", "C:evil", "c:/evil", "\\\\server\\share\\evil", "a/../../evil"),
    ],
)
def test_names_that_windows_reads_otherwise_are_refused(name):
    with pytest.raises(MCPError) as refused:
        checked_path(name)

    assert refused.value.code == "bundle-unsafe"


@pytest.mark.parametrize("name", ["bin/console", "nullable.txt", "a.b/c", "com10.log", ".hidden", "é/€"])
def test_usual_names_are_taken(name):
    assert checked_path(name) == name


def test_nothing_of_a_bundle_with_such_a_name_is_kept(mcp, registry, programs, home):
    reference = registry.publish(Package(programs, files={"lpt\u00b9": b"x"}))

    status, _, err = mcp("pull", reference)

    assert (status, "bundle-unsafe" in err) == (1, True), err
    assert not os.path.exists(os.path.join(home, "cache", "trees"))
