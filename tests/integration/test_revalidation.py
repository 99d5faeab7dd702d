"""Beside a running server its registry is asked how the package stands: once, silently, out of the way."""

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping

import pytest
from kit import processes, programs
from kit.command import Mcp, Result, Running, refused
from kit.registry import Fault, Registry

ONE = programs.single()
REFERENCE = ONE.reference
LEAVE = ("run", REFERENCE, "--", "leave", "3")
HELLO = b'{"jsonrpc": "2.0", "id": 1, "result": {}}\n'
TOKEN = "sesame-open-1234567890"


@pytest.fixture
def old(mcp: Mcp, registry: Registry) -> Mcp:
    """A package that was pulled so long ago that it is time to ask."""
    registry.publish(ONE)
    assert mcp.run("pull", REFERENCE).status == 0
    age(mcp)
    registry.log.clear()
    return mcp


def age(mcp: Mcp, *, tried: float = 0.0) -> None:
    with sqlite3.connect(os.path.join(mcp.cache, "metadata.db")) as database:
        database.execute("update resolution set checked = 0, tried = ?", (tried,))
    database.close()


def say(registry: Registry, **changes: object) -> None:
    registry.answers.pop(REFERENCE, None)
    answer = registry.answer(REFERENCE)
    assert answer is not None
    registry.answers[REFERENCE] = {**answer, **changes}


def meanwhile(mcp: Mcp, happens: Callable[[], bool], *arguments: str, env: Mapping[str, str] = {}) -> Result:
    """A session that lasts until something ``happens``."""
    with mcp.start(*(arguments or ("run", REFERENCE, "--", "hello")), env=env) as running:
        assert processes.wait_until(happens, 60), processes.carrying(mcp.marker)
        stdout, stderr = running.communicate(b"", timeout=60)
    return Result(running.returncode, stdout, stderr.decode())


def checked(mcp: Mcp) -> bool:
    """Whether the registry's answer has been noted."""
    with sqlite3.connect(os.path.join(mcp.cache, "metadata.db")) as database:
        ((checked,),) = database.execute("select checked from resolution")
    database.close()
    return bool(checked)


def is_over(mcp: Mcp, registry: Registry) -> bool:
    """Whether somebody has asked, and is done with it."""
    running = processes.carrying(mcp.marker).values()
    return bool(registry.requests("resolve")) and not any("recheck" in line for line in running)


def records(mcp: Mcp, event: str) -> list[dict[str, object]]:
    path = os.path.join(mcp.home, "audit.log")
    if not os.path.exists(path):
        return []
    with open(path) as log:
        return [record for record in map(json.loads, log) if record["event"] == event]


def test_a_revoked_package_is_told_of_recorded_and_refused_the_next_time(
    old: Mcp, registry: Registry
) -> None:
    say(registry, status="revoked", message="key \x1b[31mleaked")
    first = meanwhile(old, lambda: bool(records(old, "status")))
    assert (first.status, first.stdout) == (0, HELLO)
    (line,) = first.stderr.splitlines()
    assert "revoked" in line
    assert "key \\x1b[31mleaked" in line
    assert "the server runs on" in line
    (record,) = records(old, "status")
    assert (record["code"], record["reference"]) == ("package-revoked", REFERENCE)
    assert record["run_id"] == records(old, "start")[0]["run_id"]
    refused(old.run(*LEAVE), "package-revoked")
    refused(old.run("run", "--offline", REFERENCE), "package-revoked")
    # Whoever asks again, and hears that all is well, may run it.
    registry.answers.clear()
    assert old.run("pull", "--refresh", REFERENCE).status == 0
    assert old.run(*LEAVE).status == 3


def test_a_package_that_moved_is_refused_the_next_time_with_all_digests(old: Mcp, registry: Registry) -> None:
    other = f"sha256:{'f' * 64}"
    answer = registry.answer(REFERENCE)
    assert answer is not None
    say(registry, bundle={**answer["bundle"], "digest": other})
    assert "means something else" in meanwhile(old, lambda: bool(records(old, "status"))).stderr
    assert records(old, "status")[0]["code"] == "version-moved"
    result = old.run(*LEAVE)
    refused(result, "version-moved")
    for digest in (*ONE.digests, other):
        assert digest in result.message


def test_a_deprecated_package_warns_once_a_run_in_the_registrys_words(old: Mcp, registry: Registry) -> None:
    say(registry, status="deprecated", message="use test/better")
    assert meanwhile(old, lambda: checked(old)).stderr == ""
    result = old.run(*LEAVE)
    assert result.status == 3
    assert result.stderr == f"mcp: warning: {REFERENCE} is deprecated: use test/better\n"


def test_it_is_asked_once_a_day_however_many_start(old: Mcp, registry: Registry) -> None:
    running = [old.start("run", REFERENCE, "--", "hello") for _ in range(8)]
    assert processes.wait_until(lambda: len(records(old, "start")) == 8 and checked(old), 60)
    for one in running:
        with one:
            one.communicate(b"", timeout=60)
        assert one.returncode == 0
    assert len(registry.requests("resolve")) == 1
    assert old.run(*LEAVE).status == 3
    assert len(registry.requests("resolve")) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503, body=b"no"),
        Fault(body=b"<html>"),
        Fault(body=b"[" * 3_000_000),
        Fault(status=404, body=b'{"error": "not_found"}'),
        Fault(delay=60),
        Fault(status=401, body=b'{"error": "unauthorized", "message": "\x1b[2J"}'),
    ],
    ids=["down", "garbage", "huge", "gone", "slow", "unauthorized"],
)
def test_trouble_with_the_registry_is_silent_and_not_tried_again_at_once(
    old: Mcp, registry: Registry, fault: Fault
) -> None:
    registry.faults["resolve"] = fault
    slow = fault.delay > 0
    result = meanwhile(old, lambda: bool(registry.requests("resolve")) if slow else is_over(old, registry))
    assert (result.status, result.stdout, result.stderr) == (0, HELLO, "")
    asked = len(registry.requests("resolve"))
    assert asked >= 1
    assert old.run(*LEAVE).status == 3
    assert len(registry.requests("resolve")) == asked
    # Some minutes later it is.
    registry.faults.clear()
    age(old, tried=time.time() - 400)
    assert meanwhile(old, lambda: checked(old)).status == 0
    assert len(registry.requests("resolve")) == asked + 1


@pytest.mark.parametrize("how", ["offline", "variable", "setting", "never", "embedded"])
def test_where_nobody_may_be_asked_nobody_is(old: Mcp, registry: Registry, how: str) -> None:
    arguments = ("run", "--offline", *LEAVE[1:]) if how == "offline" else LEAVE
    if how in {"setting", "never"}:
        old.configure("registry: " + ("{offline: true}" if how == "setting" else "{revalidate: never}"))
    if how == "embedded":
        arguments = ("run", "acme/hello-world@1.2.3", "--registry", "embedded")
        assert old.run(*arguments, given=b"").status == 0
        age(old)
    result = old.run(*arguments, given=b"", env={"MCP_OFFLINE": "1"} if how == "variable" else {})
    assert result.status == (0 if how == "embedded" else 3), result.stderr
    assert registry.log == []


def test_a_folder_is_asked_too(mcp: Mcp, tmp_path: os.PathLike[str]) -> None:
    """A mirror's folder is where a closed network hears that a package was withdrawn."""
    folder = os.path.join(tmp_path, "registry")
    place = os.path.join(folder, "packages", "test", "single")
    os.makedirs(place)
    manifest, bundle = ONE.digests
    answer = {"manifest": {"digest": manifest, "url": "m"}, "bundle": {"digest": bundle, "url": "b"}}
    for name, data in (("m", ONE.manifest), ("b", ONE.bundle)):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)

    def publish(**changes: str) -> None:
        with open(os.path.join(place, "1.0.0.json"), "w") as file:
            json.dump({**answer, **changes}, file)

    publish()
    mcp.env["MCP_REGISTRY_URL"] = f"file://{folder}"
    assert mcp.run("pull", REFERENCE).status == 0
    publish(status="quarantined")
    age(mcp)
    assert meanwhile(mcp, lambda: checked(mcp)).status == 0
    refused(mcp.run(*LEAVE), "package-revoked")


@pytest.fixture
def asking(old: Mcp, registry: Registry) -> Iterator[tuple[Running, int]]:
    """A server that runs, and beside it the process that asks, for as long as nobody answers."""
    registry.token = TOKEN
    registry.faults["resolve"] = Fault(delay=60)
    with old.start("run", REFERENCE, "--", "hello", env={"MCP_REGISTRY_TOKEN": TOKEN}) as running:
        assert processes.wait_until(lambda: len(registry.requests("resolve")) == 1)
        (child,) = [pid for pid, line in processes.carrying(old.marker).items() if "recheck" in line]
        yield running, child


def descriptors(pid: int) -> dict[int, str]:
    folder = f"/proc/{pid}/fd"
    return {int(name): os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}


def test_who_asks_holds_nothing_of_the_session(asking: tuple[Running, int]) -> None:
    running, child = asking
    held, session = descriptors(child), descriptors(running.pid)
    assert held[0] == held[1] == os.devnull
    assert held[2] == session[2]
    shared = {where for number, where in held.items() if number != 2} & set(session.values())
    assert shared <= {os.devnull, session[2]}
    assert os.getsid(child) != os.getsid(running.pid)
    with open(f"/proc/{child}/cmdline", "rb") as file:
        assert TOKEN.encode() not in file.read()
    assert os.getpriority(os.PRIO_PROCESS, child) > os.getpriority(os.PRIO_PROCESS, running.pid)


def test_who_asks_dies_with_the_session(asking: tuple[Running, int], old: Mcp) -> None:
    running, child = asking
    running.send_signal(signal.SIGKILL)
    # Dead; when its number goes is up to whoever inherits it.
    assert processes.wait_until(lambda: child not in processes.carrying(old.marker))


def test_an_urging_caller_does_not_wait_for_the_answer(asking: tuple[Running, int], old: Mcp) -> None:
    running, child = asking
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=30)
    assert not os.path.exists(f"/proc/{child}")
    assert records(old, "end")


def test_the_end_of_who_asks_is_no_end_of_the_session(asking: tuple[Running, int]) -> None:
    """And it is reaped while the server goes on."""
    running, child = asking
    os.kill(child, signal.SIGSEGV)
    assert processes.wait_until(lambda: not os.path.exists(f"/proc/{child}"))
    assert running.poll() is None
    running.communicate(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n', timeout=30)
    assert running.returncode == 0


def test_the_token_is_sent_and_told_to_nobody(old: Mcp, registry: Registry) -> None:
    registry.token = TOKEN
    registry.faults["resolve"] = Fault(status=500, body=TOKEN.encode())
    arguments = ("--log-level", "debug", "run", REFERENCE, "--", "hello")
    result = meanwhile(old, lambda: is_over(old, registry), *arguments, env={"MCP_REGISTRY_TOKEN": TOKEN})
    assert "could not be asked" in result.stderr
    assert registry.requests("resolve")[0].authorization == f"Bearer {TOKEN}"
    assert TOKEN not in result.stderr
    with open(os.path.join(old.home, "audit.log")) as log:
        assert TOKEN not in log.read()
