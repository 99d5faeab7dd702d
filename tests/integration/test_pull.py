"""``mcp pull`` in a job without a terminal: nobody's end of input is the end of its work; a signal is."""

import json
import os
import signal

import pytest
from kit import processes, programs
from kit.bundle import Package, manifest_form, pack_files, package
from kit.command import Mcp
from kit.registry import Fault, Registry

REFERENCE = programs.single().reference


@pytest.mark.parametrize("command", [("pull",), ("run", "--dry-run")], ids=" ".join)
def test_a_closed_input_does_not_end_it(mcp: Mcp, registry: Registry, command: tuple[str, ...]) -> None:
    registry.publish(programs.single())
    registry.faults["bundle"] = Fault(delay=0.5)
    result = mcp.run(*command, REFERENCE, given=b"")
    assert result.status == 0, result.stderr
    assert REFERENCE in result.stdout.decode()
    assert len(mcp.cached("trees")) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("fault", [Fault(delay=60), Fault(drip=0.2)], ids=["silent", "slow"])
def test_a_signal_ends_it_and_nothing_stays(
    mcp: Mcp, registry: Registry, number: signal.Signals, fault: Fault
) -> None:
    registry.publish(programs.forking())
    registry.faults["bundle"] = fault
    with mcp.start("pull", programs.forking().reference) as process:
        assert processes.wait_until(lambda: bool(registry.requests("bundle")))
        assert processes.wait_until(lambda: mcp.cached("staging") != [])
        process.send_signal(number)
        assert process.wait(3) in (128 + number, -number)
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert mcp.cached("bundles", "trees", "staging") == []


def numbered(count: int) -> list[Package]:
    """Packages of their own that share one bundle."""
    bundle = pack_files({"main.py": "pass"})
    return [
        package(manifest_form(f"test/many@1.0.{number}", "python3", "${bundle}/main.py"), bundle)
        for number in range(count)
    ]


def test_several_at_once_share_what_they_can_and_report_in_order(mcp: Mcp, registry: Registry) -> None:
    many = numbered(9)
    registry.publish(*many, programs.single())
    references = [one.reference for one in many]
    missing = ["test/none@1.0.0", "test/none@2.0.0"]
    asked = [missing[0], *references, REFERENCE, missing[1]]
    result = mcp.run("pull", "--json", *asked)
    assert result.status == 1
    packages = json.loads(result.stdout)["result"]["packages"]
    assert [one["reference"] for one in packages] == asked
    assert [one["reference"] for one in packages if "error" in one] == missing
    assert result.stderr.count("error[package-not-found]") == 2
    paths = [one.path for one in registry.log if one.place in {"manifest", "bundle"}]
    assert len(paths) == len(set(paths)) == 10 + 2
    assert len(mcp.cached("trees")) == 2
    again = mcp.run("pull", *references, REFERENCE)
    assert again.stdout.decode().count("cached") == 10


def test_quiet_says_only_what_goes_wrong(mcp: Mcp, registry: Registry) -> None:
    registry.publish(programs.single())
    result = mcp.run("pull", "-q", REFERENCE)
    assert (result.status, result.stdout, result.stderr) == (0, b"", "")
    result = mcp.run("pull", "--quiet", REFERENCE, "test/none@1.0.0")
    assert (result.status, result.code, result.stdout) == (1, "package-not-found", b"")


def test_ctrl_c_ends_all_of_them_at_once(mcp: Mcp, registry: Registry) -> None:
    many = numbered(6)
    registry.publish(*many, programs.single())
    registry.faults["bundle"] = Fault(delay=600)
    with mcp.start("pull", *[one.reference for one in many], REFERENCE) as running:
        assert processes.wait_until(lambda: len(registry.requests("bundle")) >= 1, 60)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=30)
    assert (running.returncode, stdout) == (130, b"")
    assert b"Traceback" not in stderr
    assert b"xception" not in stderr
    registry.faults.clear()
    assert mcp.run("pull", *[one.reference for one in many]).status == 0
    assert mcp.cached("staging") == []


def test_accepting_a_move_is_deliberate_complete_and_recorded(mcp: Mcp, registry: Registry) -> None:
    one = programs.single()
    registry.publish(one)
    assert mcp.run("pull", REFERENCE).status == 0
    moved = one._replace(manifest=one.manifest + b"\n")
    registry.publish(moved)
    refusal = mcp.run("pull", "--refresh", REFERENCE)
    assert (refusal.status, refusal.code) == (1, "version-moved")
    for digest in (*one.digests, *moved.digests):
        assert digest in refusal.message
    # What was noted of it holds for the cached package, too.
    assert mcp.run("run", REFERENCE).code == "version-moved"

    os.unlink(os.path.join(mcp.home, "audit.log"))
    os.mkdir(os.path.join(mcp.home, "audit.log"))
    assert mcp.run("pull", "--accept-moved", REFERENCE).code == "audit-unwritable"
    assert mcp.run("run", REFERENCE).code == "version-moved"
    os.rmdir(os.path.join(mcp.home, "audit.log"))

    accepted = mcp.run("pull", "--accept-moved", REFERENCE)
    assert accepted.status == 0, accepted.stderr
    for digest in (*one.digests, *moved.digests):
        assert digest in accepted.stderr
    with open(os.path.join(mcp.home, "audit.log")) as log:
        (record,) = [record for record in map(json.loads, log) if record["event"] == "moved"]
    assert (record["manifest_before"], record["bundle_before"]) == one.digests
    assert (record["manifest_digest"], record["bundle_digest"]) == moved.digests
    assert mcp.run("run", "--offline", REFERENCE, "--", "leave", "3").status == 3
    # From now on the old one is the one that moved.
    registry.publish(one)
    assert mcp.run("pull", "--refresh", REFERENCE).code == "version-moved"


def test_accepting_does_not_accept_what_is_revoked(mcp: Mcp, registry: Registry) -> None:
    registry.publish(programs.single())
    answer = registry.answer(REFERENCE)
    assert answer is not None
    registry.answers[REFERENCE] = {**answer, "status": "revoked"}
    assert mcp.run("pull", "--accept-moved", REFERENCE).code == "package-revoked"


@pytest.mark.parametrize("spelling", ["{}/", "HTTP://{}", "http://127.0.0.1.:{port}"])
def test_one_registry_has_one_memory_however_it_is_written(
    mcp: Mcp, registry: Registry, spelling: str
) -> None:
    one = programs.single()
    registry.publish(one)
    assert mcp.run("pull", REFERENCE).status == 0
    registry.publish(one._replace(manifest=one.manifest + b"\n"))
    host = registry.url.removeprefix("http://")
    url = spelling.format(registry.url if spelling == "{}/" else host, port=host.rpartition(":")[2])
    assert mcp.run("pull", "--refresh", REFERENCE, "--registry", url).code == "version-moved"


@pytest.mark.parametrize("kind", ["sha", "digest"])
def test_the_version_that_an_answer_claims_is_the_manifests(mcp: Mcp, registry: Registry, kind: str) -> None:
    one = programs.single()
    registry.publish(one)
    selector = f"sha:{'a' * 40}" if kind == "sha" else f"digest:{one.digests[0]}"
    reference = f"test/single@{selector}"
    answer = registry.answer(REFERENCE)
    assert answer is not None
    registry.answers[reference] = {**answer, "version": "2.0.0"}
    result = mcp.run("pull", reference)
    assert result.code == "manifest-mismatch"
    assert "2.0.0" in result.message
    registry.answers[reference] = answer
    assert mcp.run("pull", reference).status == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_several_at_once_and_nothing_stays(
    mcp: Mcp, registry: Registry, number: signal.Signals
) -> None:
    packages = [
        package(manifest_form(f"test/{name}@1.0.0", "python3", "${bundle}/main.py"), pack_files({name: ""}))
        for name in ("one", "two")
    ]
    registry.publish(*packages)
    registry.faults["bundle"] = Fault(delay=60)
    with mcp.start("pull", *(one.reference for one in packages)) as process:
        assert processes.wait_until(
            lambda: len(mcp.cached("staging")) == 2 and len(registry.requests("bundle")) == 2
        )
        process.send_signal(number)
        assert process.wait(3) in (128 + number, -number)
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert mcp.cached("bundles", "trees", "staging") == []
