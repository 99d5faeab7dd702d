"""Packages are compiled once, beside a run, and servers start from that; what fails there fails no run."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kit import faults
from kit.bundle import Package, manifest_form, pack_files, package
from kit.command import Mcp, Running
from kit.compiling import compile_now
from kit.programs import node_22
from kit.registry import Registry

# -v tells on standard error where the code of each module comes from.
MAIN = """
import sys, part.one, part.two
print(part.one.VALUE + part.two.VALUE, flush=True)
sys.stdin.read()
"""
FILES = {
    "main.py": MAIN,
    "part/__init__.py": "",
    "part/one.py": "VALUE = 'one '\n",
    "part/two.py": "VALUE = 'two'\n",
    "part/broken.py": "this is no Python\n",
    "data/table.txt": "1 2 3",
}
FROM_COMPILED = "code object from '/bundle/part/__pycache__/one."
NODE_FILES = {
    "main.mjs": "import { value } from './part.mjs';\nconsole.log(value());\nprocess.stdin.resume();\n",
    "part.mjs": "export const value = () => 'from a module';\n",
}


def python_package(name: str = "compiled", files: dict[str, str] | None = None, **fields: Any) -> Package:
    form = manifest_form(f"test/{name}@1.0.0", "python3", "-v", "${bundle}/main.py", **fields)
    return package(form, pack_files(FILES if files is None else files))


def node_package(name: str = "node", *args: str, **fields: Any) -> Package:
    form = manifest_form(f"test/{name}@1.0.0", "node", "${bundle}/main.mjs", *args, **fields)
    return package(form, pack_files(NODE_FILES))


def pulled(mcp: Mcp, registry: Registry, *packages: Package) -> str:
    """Publish and fetch; the first reference."""
    registry.publish(*packages)
    for each in packages:
        assert mcp.run("pull", each.reference).status == 0
    return packages[0].reference


def events(mcp: Mcp, name: str) -> list[dict[str, Any]]:
    with open(os.path.join(mcp.home, "audit.log"), encoding="utf-8") as file:
        return [record for record in map(json.loads, file) if record["event"] == name]


def verified(mcp: Mcp) -> bool:
    result = mcp.run("cache", "verify")
    return result.status == 0


def forms(mcp: Mcp) -> list[str]:
    """Relative paths of what was compiled."""
    return [
        f"{parent}/{name}"
        for parent in mcp.cached("compiled")
        for name in sorted(os.listdir(os.path.join(mcp.cache, parent)))
    ]


def await_form(mcp: Mcp) -> None:
    deadline = time.monotonic() + 120
    while not forms(mcp):
        assert time.monotonic() < deadline, "nothing was compiled"
        time.sleep(0.1)


def first_line(running: Running) -> bytes:
    assert running.stdout is not None
    return running.stdout.readline()


def test_a_python_server_starts_from_what_was_compiled(mcp: Mcp, registry: Registry) -> None:
    reference = pulled(mcp, registry, python_package())
    before = mcp.run("run", reference, given=b"")
    assert FROM_COMPILED not in before.stderr

    made = compile_now(mcp, reference)
    assert made.folder is not None, made.error
    after = mcp.run("run", reference, given=b"")

    assert before.stdout == after.stdout == b"one two\n"
    assert FROM_COMPILED in after.stderr, after.stderr
    names = sorted(os.listdir(os.path.join(made.folder, "part", "__pycache__")))
    tag = sys.implementation.cache_tag
    assert names == [f"__init__.{tag}.pyc", f"one.{tag}.pyc", f"two.{tag}.pyc"]
    # All else is the tree's own, and takes no room.
    with open(os.path.join(made.folder, "data", "table.txt")) as file:
        assert file.read() == "1 2 3"
    assert verified(mcp)
    listed = json.loads(mcp.run("cache", "ls", "--json").stdout)["result"]["entries"]
    sizes = {entry["kind"]: entry["size"] for entry in listed}
    assert 0 < sizes["compiled"] < 10_000
    assert mcp.run("cache", "rm", reference).status == 0
    assert mcp.cached("compiled", "trees", "staging") == []


def test_the_tree_keeps_the_identity_it_had(mcp: Mcp, registry: Registry) -> None:
    """A link changes the time of an inode; were a watched one linked, each run would prove the tree again."""
    reference = pulled(mcp, registry, python_package())
    assert compile_now(mcp, reference).folder is not None
    # A proof needs the bundle, and would fetch it.
    bundle = os.path.join(mcp.cache, mcp.cached("bundles")[0])
    os.rename(bundle, f"{mcp.folder}/aside")

    result = mcp.run("run", "--offline", reference, given=b"")

    assert result.status == 0, result.stderr
    assert FROM_COMPILED in result.stderr


def test_it_happens_beside_the_first_run(mcp: Mcp, registry: Registry) -> None:
    reference = pulled(mcp, registry, python_package())
    with mcp.start("run", reference) as running:
        assert first_line(running) == b"one two\n"
        await_form(mcp)
        _, errors = running.communicate(b"")
        assert running.returncode == 0
        assert FROM_COMPILED.encode() not in errors
    (record,) = events(mcp, "compile")
    assert record["run_id"] == events(mcp, "start")[0]["run_id"]
    assert record["bundle_digest"] == python_package().digests[1]
    assert FROM_COMPILED in mcp.run("run", reference, given=b"").stderr
    assert mcp.cached("staging") == []


def test_many_at_once_compile_once(mcp: Mcp, registry: Registry) -> None:
    reference = pulled(mcp, registry, python_package())
    running = [mcp.start("run", reference, stderr=subprocess.DEVNULL) for _ in range(8)]
    try:
        assert [first_line(each) for each in running] == [b"one two\n"] * len(running)
        await_form(mcp)
    finally:
        for each in running:
            each.communicate(b"")
    assert [each.returncode for each in running] == [0] * len(running)
    assert len(events(mcp, "compile")) == 1
    assert verified(mcp)


def test_two_jobs_for_one_package(mcp: Mcp, registry: Registry) -> None:
    """Whoever is second, with or without a claim, waits for nobody and makes nothing."""
    reference = pulled(mcp, registry, python_package())
    held = os.path.join(mcp.cache, "locks")
    os.makedirs(held, exist_ok=True)
    digest = python_package().digests[1].removeprefix("sha256:")
    code = f"import fcntl, sys; file = open({held!r} + '/compiled-{digest}.lock', 'w'); "
    code += "fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert compile_now(mcp, reference) == (None, None)
        other.communicate()
    assert forms(mcp) == []


def test_a_short_session_leaves_it_to_another_one(mcp: Mcp, registry: Registry) -> None:
    """Hosts begin a server to look at it, and end it at once."""
    reference = pulled(mcp, registry, python_package())
    assert mcp.run("run", reference, given=b"").status == 0
    assert events(mcp, "compile") == []
    assert compile_now(mcp, reference).folder is not None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_the_session(mcp: Mcp, registry: Registry, number: int) -> None:
    """In the middle of its work; the fixture looks that nothing is left running."""
    files = {f"part/m{n}.py": "x = 1\n" * 20_000 for n in range(100)}
    reference = pulled(mcp, registry, python_package(files={**FILES, **files}))
    with mcp.start("run", reference, stderr=subprocess.DEVNULL) as running:
        assert first_line(running) == b"one two\n"
        deadline = time.monotonic() + 60
        while not events(mcp, "compile"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(number)
        running.wait()
    assert verified(mcp)
    made = mcp.run("run", reference, given=b"")
    assert made.status == 0, made


def test_it_can_be_switched_off(mcp: Mcp, registry: Registry) -> None:
    reference = pulled(mcp, registry, python_package())
    assert compile_now(mcp, reference).folder is not None
    mcp.configure("executor:\n  compile: false\n")

    result = mcp.run("run", reference, given=b"")

    assert result.stdout == b"one two\n"
    assert FROM_COMPILED not in result.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {"executable": "/usr/bin/false"},
        {"_COMPILE_SECONDS": 0},
        {"_MOST_BYTES": 100},
        {"limits": [64 << 20, 1000, 1, 3]},
    ],
    ids=["no interpreter", "no time", "no room", "no descriptors"],
)
def test_a_failure_changes_nothing(mcp: Mcp, registry: Registry, changes: dict[str, Any]) -> None:
    reference = pulled(mcp, registry, python_package())
    made = compile_now(mcp, reference, changes=changes)
    assert made.folder is None
    assert forms(mcp) == []
    assert mcp.cached("staging") == []
    assert mcp.run("run", reference, given=b"").stdout == b"one two\n"
    with mcp.start("run", "--dry-run", reference) as running:
        running.communicate()
    assert running.returncode == 0


def test_one_who_touched_what_was_compiled_is_noticed(mcp: Mcp, registry: Registry) -> None:
    reference = pulled(mcp, registry, python_package())
    made = compile_now(mcp, reference)
    assert made.folder is not None
    inside = os.path.join(made.folder, "part", "__pycache__")
    place = os.path.join(inside, os.listdir(inside)[0])
    os.chmod(inside, 0o755)
    os.rename(place, f"{place}.old")
    with open(place, "w") as file:
        file.write("not what was compiled")

    assert not verified(mcp)

    assert forms(mcp) == []
    assert verified(mcp)
    assert mcp.run("run", reference, given=b"").stdout == b"one two\n"
    assert compile_now(mcp, reference).folder == made.folder


def test_a_damaged_tree_takes_its_double_with_it(mcp: Mcp, registry: Registry) -> None:
    """They share their files: what is wrong with one is wrong with the other."""
    others = {f"a{n}.txt": "" for n in range(20)}
    reference = pulled(mcp, registry, python_package(files={**FILES, **others}))
    made = compile_now(mcp, reference)
    assert made.folder is not None
    tree = os.path.join(mcp.cache, mcp.cached("trees")[0])
    place = os.path.join(tree, "part", "two.py")
    os.chmod(place, 0o644)
    with open(place, "w") as file:
        file.write("VALUE = 'evil'\n")
    os.chmod(place, 0o444)
    with open(os.path.join(made.folder, "part", "two.py")) as file:
        assert "evil" in file.read()

    assert not verified(mcp)

    assert mcp.run("run", reference, given=b"").stdout == b"one two\n"


def test_a_server_keeps_what_it_started_from(mcp: Mcp, registry: Registry) -> None:
    reference = pulled(mcp, registry, python_package())
    assert compile_now(mcp, reference).folder is not None
    with mcp.start("run", reference, stderr=subprocess.DEVNULL) as running:
        assert first_line(running) == b"one two\n"
        assert mcp.run("cache", "rm", reference).code == "in-use"
        assert mcp.run("cache", "rm", "--all").code == "in-use"
        assert len(forms(mcp)) == 1
        running.communicate(b"")
    assert mcp.run("cache", "rm", "--all").status == 0
    assert forms(mcp) == []


def faulty(mcp: Mcp, at: int, action: int) -> Mcp:
    preload = {"LD_PRELOAD": faults.shim(), "FAULT_FOLDER": mcp.cache}
    other = Mcp(mcp.folder, mcp.env["MCP_REGISTRY_URL"])
    other.env = {**mcp.env, **preload, "FAULT_AT": str(at), "FAULT_ACTION": str(action)}
    return other


@pytest.mark.parametrize("at", range(3, 106, 1 if faults.WHOLE else 12))
def test_a_kill_at_any_step_leaves_nothing_or_a_whole_form(mcp: Mcp, registry: Registry, at: int) -> None:
    reference = pulled(mcp, registry, python_package())
    action = (faults.KILL_BEFORE, faults.KILL_AFTER)[at % 2]
    with pytest.raises(AssertionError):
        compile_now(faulty(mcp, at, action), reference)
    assert verified(mcp)
    assert mcp.run("run", reference, given=b"").stdout == b"one two\n"
    assert mcp.run("cache", "rm", reference).status == 0
    assert forms(mcp) == []
    # Whoever writes next sweeps what was left.
    assert mcp.run("pull", reference).status == 0
    assert mcp.cached("staging") == []


def test_a_full_disk_leaves_nothing(mcp: Mcp, registry: Registry) -> None:
    reference = pulled(mcp, registry, python_package())
    other = faulty(mcp, 28, errno.ENOSPC)
    other.env["FAULT_STICKY"] = "1"
    made = compile_now(other, reference)
    assert made.folder is None
    assert made.error is not None
    assert forms(mcp) == []
    assert verified(mcp)


def test_node_starts_from_its_compile_cache(mcp: Mcp, registry: Registry) -> None:
    reference = pulled(mcp, registry, node_package())
    mcp.env["PATH"] = f"{os.path.dirname(node_22())}:{mcp.env['PATH']}"
    asked = ("--env", "NODE_DEBUG_NATIVE=COMPILE_CACHE")
    assert b"from a module" in mcp.run("run", reference, given=b"").stdout

    made = compile_now(mcp, reference)
    assert made.folder is not None, made.error
    result = mcp.run("run", *asked, reference, given=b"")

    told = result.stdout.decode() + result.stderr
    assert "from a module" in told
    assert "file:///bundle/part.mjs was accepted" in told, told
    assert "was not" not in told.replace("because cache was not", "")
    assert verified(mcp)


def test_node_is_compiled_for_one_manifest_only(mcp: Mcp, registry: Registry) -> None:
    """Another manifest of the same bundle may be a stranger's, and say what is executed for it."""
    mcp.env["PATH"] = f"{os.path.dirname(node_22())}:{mcp.env['PATH']}"
    one, two = node_package("one"), node_package("two", "--import", "data:text/javascript,evil")
    assert one.digests[1] == two.digests[1]
    pulled(mcp, registry, one, two)
    assert compile_now(mcp, one.reference).folder is not None
    (before,) = forms(mcp)

    plan = json.loads(mcp.run("run", "--dry-run", "--json", two.reference).stdout)["result"]
    assert "NODE_COMPILE_CACHE" not in plan["environment"]
    plan = json.loads(mcp.run("run", "--dry-run", "--json", one.reference).stdout)["result"]
    assert "NODE_COMPILE_CACHE" in plan["environment"]
    assert f"bind {mcp.cache}/{before} -> /compiled (ro, noexec)" in plan["mounts"]


def test_whoever_has_own_ways_keeps_them(mcp: Mcp, registry: Registry) -> None:
    reference = pulled(mcp, registry, python_package())
    assert compile_now(mcp, reference).folder is not None
    result = mcp.run("run", "--env", "PYTHONPYCACHEPREFIX=/tmp", reference, given=b"")
    assert result.stdout == b"one two\n"
    assert FROM_COMPILED not in result.stderr


def test_older_node_is_left_alone(mcp: Mcp, registry: Registry) -> None:
    reference = pulled(mcp, registry, node_package(runtime={"node": "<22.10"}))
    plan = mcp.run("run", "--dry-run", "--json", reference)
    if plan.status:
        pytest.skip("there is no older Node here")
    with pytest.raises(AssertionError, match="nothing to do"):
        compile_now(mcp, reference)


def test_packages_of_one_bundle_share_what_python_compiled(mcp: Mcp, registry: Registry) -> None:
    """Nothing of the package is executed for it, so the manifest has no part in it."""
    one, two = python_package("one"), python_package("two")
    pulled(mcp, registry, one, two)
    assert compile_now(mcp, one.reference).folder is not None
    assert FROM_COMPILED in mcp.run("run", two.reference, given=b"").stderr


def test_two_at_the_same_time(mcp: Mcp, registry: Registry) -> None:
    one, two = python_package("one"), python_package("two", {**FILES, "other.py": "x = 1"})
    pulled(mcp, registry, one, two)
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda each: compile_now(mcp, each.reference), (one, two)))
    assert all(each.folder for each in made), made
    assert verified(mcp)
