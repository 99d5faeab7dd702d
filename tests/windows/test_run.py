"""``mcp run`` on Windows: a real server program from a directory registry, and nothing of it left behind."""

import json
import msvcrt
import os
import re
import signal
import subprocess
import sys

import pytest
from windows_kit import ANSWER, Package, is_alive, is_wine, wait_until

DEGRADED = "--allow-degraded"
INITIALIZE = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "initialize"}) + "\n"


def children(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"child (\d+)", text)]


def started_child(process) -> int:
    """The number of the process that the server started; it says so on standard error."""
    while line := process.stderr.readline().decode():
        if line.startswith("child"):
            return int(line.split()[1])
    raise AssertionError("the server started nothing")


def test_a_server_answers_initialize(mcp, package):
    status, out, err = mcp("run", DEGRADED, package(), stdin=INITIALIZE)

    assert (status, out.count("\n"), "\r" in out) == (0, 1, False), err
    answer = json.loads(out)
    assert (answer["id"], answer["result"]["serverInfo"]["name"]) == (7, ANSWER)


def test_a_cached_package_runs_offline(mcp, package):
    reference = package()
    assert mcp("pull", reference)[0] == 0

    status, out, err = mcp("run", "--offline", DEGRADED, reference, stdin=INITIALIZE)

    assert (status, ANSWER in out) == (0, True), err


def test_nothing_runs_with_less_unless_it_was_accepted(mcp, package):
    status, out, err = mcp("run", package(), stdin=INITIALIZE)

    assert (status, out) == (125, "")
    assert "control-missing" in err
    assert "--allow-degraded" in err


@pytest.mark.parametrize("number", [0, 3, 255])
def test_the_servers_status_is_ours(mcp, package, number):
    assert mcp("run", DEGRADED, package("--exit", str(number)))[0] == number


def test_a_crash_is_told_as_windows_tells_it(mcp, package):
    status, _, err = mcp("run", DEGRADED, package("--crash"))

    assert status & 0xFFFFFFFF == 0xC0000005, err


def test_killing_mcp_kills_the_server_and_its_child(start, package, ask):
    process = start("run", DEGRADED, package("--child", subprocess=True))
    child = started_child(process)
    assert ask(process, "initialize")["result"]["serverInfo"]["name"] == ANSWER
    import psutil

    tree = [process.pid, *[one.pid for one in psutil.Process(process.pid).children(recursive=True)], child]
    assert len(set(tree)) >= 3
    assert all(map(is_alive, tree))

    process.kill()

    assert wait_until(lambda: not any(map(is_alive, tree))), [one for one in tree if is_alive(one)]


def test_the_child_goes_when_the_server_ends(start, package):
    process = start("run", DEGRADED, package("--child", subprocess=True))
    child = started_child(process)
    assert is_alive(child)

    process.stdin.close()

    assert process.wait(60) == 0
    assert wait_until(lambda: not is_alive(child))


def test_a_timeout_ends_the_tree(start, package):
    process = start("run", DEGRADED, "--timeout", "2s", package("--child", "--sleep", subprocess=True))
    child = started_child(process)

    assert process.wait(60) == 124
    assert wait_until(lambda: not is_alive(child))


def test_a_server_that_ignores_the_end_of_its_input_is_ended(start, package, home):
    os.makedirs(home)
    with open(os.path.join(home, "config.yaml"), "w", encoding="utf-8") as file:
        file.write("executor:\n  grace: 1s\n")
    process = start("run", DEGRADED, package("--child", "--sleep", subprocess=True))
    child = started_child(process)

    process.stdin.close()

    assert process.wait(60) == 128 + 9
    assert wait_until(lambda: not is_alive(child))


def test_ctrl_break_ends_the_tree(start, package):
    if is_wine():
        pytest.skip("Wine without a console passes no control events on; run on Windows")
    flag = subprocess.CREATE_NEW_PROCESS_GROUP
    process = start("run", DEGRADED, package("--child", "--sleep", subprocess=True), creationflags=flag)
    child = started_child(process)

    process.send_signal(signal.CTRL_BREAK_EVENT)

    assert process.wait(60) == 128 + 9
    assert wait_until(lambda: not is_alive(child))


def test_its_private_folders_go_with_it(mcp, package, home):
    status, _, err = mcp("run", DEGRADED, package("--environment"))

    assert status == 0, err
    lines = [line.split(" ", 1)[1] for line in err.splitlines() if line.startswith("variable ")]
    variables = dict(line.split("=", 1) for line in lines)
    assert variables["TEMP"].startswith(os.path.join(home, "cache", "scratch"))
    assert variables["USERPROFILE"] == variables["HOME"] == os.path.dirname(variables["TEMP"])
    assert os.listdir(os.path.join(home, "cache", "scratch")) == []


def test_the_environment_is_what_was_named(mcp, package):
    reference = package("--environment", environment={"allowed_names": ["WANTED"]})
    _, _, err = mcp("run", DEGRADED, reference, env={"WANTED": "é €", "SECRET": "no", "PYTHONSTARTUP": "no"})

    names = {line.split(" ", 1)[1].split("=", 1)[0] for line in err.splitlines() if "variable " in line}
    assert "WANTED=é €" in err
    assert not {"SECRET", "PYTHONSTARTUP", "MCP_HOME", "MCP_REGISTRY_URL"} & names


ARGUMENTS = [
    *("plain", "two words", 'a "quote"', "back\\slash", "end\\", "end space \\", "", "é€", "%PATH%", "a&b|c"),
    *('\\"', '\\\\"x y', "tab\tin", "--flag=a b"),
]


def test_arguments_arrive_as_they_were_given(mcp, package):
    _, _, err = mcp("run", DEGRADED, package("--arguments"), "--", *ARGUMENTS)

    assert [line.split(" ", 1)[1] for line in err.splitlines() if line.startswith("argument")] == ARGUMENTS


def test_it_starts_in_its_bundle(mcp, package, home):
    _, _, err = mcp("run", DEGRADED, package("--directory"))

    told = next(line for line in err.splitlines() if line.startswith("directory")).split(" ", 1)[1]
    assert os.path.samefile(os.path.dirname(told), os.path.join(home, "cache", "trees"))
    assert os.path.basename(told).startswith("sha256-")


def test_only_three_handles_are_inherited(environment, package, programs, tmp_path):
    server = os.path.join(programs, "server.exe")
    ours = [sys.executable, "-m", "mcp_client", "run", DEGRADED]
    with open(tmp_path / "ours", "w", encoding="utf-8") as file:
        handle = msvcrt.get_osfhandle(file.fileno())
        os.set_handle_inheritable(handle, True)
        asked = ["--handle", str(handle)]
        told = [
            subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=120,
                check=False,
                close_fds=False,
            ).stderr
            for command in ([server, *asked], [*ours, package(), "--", *asked])
        ]

    assert b"handle ours" in told[0]
    assert b"handle none" in told[1], told[1]


def test_a_batch_file_gets_safe_arguments_only(mcp, registry, programs):
    script = b"@echo off\r\necho got %1 1>&2\r\n"
    package = Package(programs, files={"run.cmd": script}, command="./run.cmd")
    reference = registry.publish(package)

    status, _, err = mcp("run", DEGRADED, reference, "--", "a b")
    assert (status, 'got "a b"' in err) == (0, True), err

    for attack in ('"&calc.exe', "a%CMDCMDLINE:~-1%&calc.exe", "x^&y", "a|b", "a\nb", "\uff02&calc"):
        status, _, err = mcp("run", DEGRADED, reference, "--", attack)
        assert (status, "entrypoint-not-executable" in err) == (126, True), attack


def test_what_is_no_program_is_refused(mcp, registry, programs):
    reference = registry.publish(Package(programs, files={"run.sh": b"#!/bin/sh\n"}, command="./run.sh"))

    status, _, err = mcp("run", DEGRADED, reference)

    assert (status, "entrypoint-not-executable" in err) == (126, True), err


def test_a_folder_is_given_where_it_is(mcp, package, tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    reference = package()

    assert mcp("run", DEGRADED, "--mount", f"{folder}:ro", reference, stdin=INITIALIZE)[0] == 0
    status, _, err = mcp("run", DEGRADED, "--mount", f"{folder}:rw", reference)
    assert (status, "mount-refused" in err, "icacls" in err) == (125, True, True), err


@pytest.mark.parametrize(
    "options",
    [(), ("--port", "8765"), ("--stdio",), ("--dry-run",)],
    ids=["plain", "port", "stdio", "dry-run"],
)
def test_a_server_that_listens_is_refused_in_one_message(mcp, package, home, options):
    reference = package(transport="http", http={"port": 8080})

    status, out, err = mcp("run", DEGRADED, *options, reference)

    assert (status, out) == (125, ""), err
    assert err.count("sandbox-unavailable") == 1, err
    assert "Linux or macOS" in err
    assert "Traceback" not in err
    assert not os.path.exists(os.path.join(home, "cache", "scratch"))


def test_options_for_servers_that_listen_are_understood_as_elsewhere(mcp, package):
    reference = package()

    status, out, err = mcp("run", DEGRADED, "--stdio", reference, stdin=INITIALIZE)
    assert (status, ANSWER in out) == (0, True), err
    status, out, err = mcp("run", DEGRADED, "--port", "8765", reference)
    assert (status, out, err.count("transport-unsupported")) == (125, "", 1), err
