"""A closed network: one machine fills a folder, any web server shows it, another machine runs from it."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator

import pytest
from kit import processes, programs, web
from kit.bundle import Package, manifest_form, pack_files, package
from kit.command import Mcp, refused
from kit.registry import Fault, Registry

COMMIT = "sha:0123abc"
VERSIONS = ("1.0.0", "1.0.0-rc.1+build.5", "1.0.0-RC.1")


# What their default configurations leave to be wished for.
WARNINGS: dict[str, set[str]] = {"nginx": set(), "python": {"ranges"}, "node": set(), "s3": {"answer type"}}


def server(reference: str) -> Package:
    """All of them have the same bundle."""
    with open(programs.SOURCE) as file:
        bundle = pack_files({"main.py": file.read()})
    return package(manifest_form(reference, "python3", "-I", "-S", "${bundle}/main.py"), bundle)


PACKAGES = [server(f"{name}@{version}") for name in ("test/one", "test/two.x_y") for version in VERSIONS]
ONE = PACKAGES[0]
DIGEST = f"test/one@digest:{ONE.digests[0]}"
REFERENCES = [*(one.reference for one in PACKAGES), f"test/one@{COMMIT}"]


def publish(registry: Registry) -> None:
    registry.publish(*PACKAGES)
    answer = registry.answer(ONE.reference)
    assert answer is not None
    registry.answers[f"test/one@{COMMIT}"] = {**answer, "status": "deprecated"}


@pytest.fixture
def origin(registry: Registry) -> Registry:
    publish(registry)
    return registry


@pytest.fixture(scope="session")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("mirrored"))
    with Registry() as registry:
        publish(registry)
        result = Mcp(folder, registry.url).run("pull", "-q", "--to", os.path.join(folder, "all"), *REFERENCES)
    assert result.status == 0
    assert [line.rpartition(" is ")[2] for line in result.stderr.splitlines()] == ["deprecated"]
    return os.path.join(folder, "all")


@pytest.fixture
def mirror(mirrored: str) -> Iterator[str]:
    """A copy that every user of this machine can reach: a web server is another one."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield shutil.copytree(mirrored, os.path.join(folder, "mirror"))


@pytest.fixture
def elsewhere(tmp_path: os.PathLike[str]) -> Iterator[Mcp]:
    """Another machine: nothing is cached, and no registry is set."""
    command = Mcp(os.path.join(tmp_path, "elsewhere"))
    yield command
    processes.assert_gone(command.marker)


def contents(folder: str) -> dict[str, bytes]:
    found = {}
    for parent, _, names in os.walk(folder):
        for path in (os.path.join(parent, name) for name in names):
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def artifact(folder: str, data: bytes) -> str:
    return os.path.join(folder, "artifacts", "sha256", hashlib.sha256(data).hexdigest())


def test_what_is_shared_is_stored_once_and_names_are_plain(mirror: str) -> None:
    found = contents(mirror)
    assert len([name for name in found if name.startswith("artifacts/")]) == len(PACKAGES) + 1
    assert found[os.path.relpath(artifact(mirror, ONE.bundle), mirror)] == ONE.bundle
    assert "packages/test/one/sha-0123abc.json" in found
    assert not any(set(name) & set(':%?#\\"*|<> ') for name in found)
    assert all(os.stat(os.path.join(mirror, name)).st_mode & 0o777 == 0o644 for name in found)


@pytest.mark.parametrize("kind", web.SERVERS)
def test_any_web_server_over_it_is_a_registry(mirror: str, elsewhere: Mcp, kind: str) -> None:
    with web.SERVERS[kind](mirror) as url:
        asked = [*REFERENCES, DIGEST]
        result = elsewhere.run("pull", "--json", "--registry", url, *asked)
        assert result.status == 0, result.stderr
        told = {one["reference"]: one for one in json.loads(result.stdout)["result"]["packages"]}
        for one in PACKAGES:
            assert (told[one.reference]["manifest"], told[one.reference]["bundle"]) == one.digests
        for reference in (f"test/one@{COMMIT}", DIGEST):
            assert told[reference]["manifest"] == ONE.digests[0]
            assert told[reference]["status"] == "deprecated"
        missing = elsewhere.run("pull", "--registry", url, "test/one@9.9.9")
        refused(missing._replace(stdout=b""), "package-not-found", status=1)

        looked = elsewhere.run("doctor", "--json", "--registry", url, "--package", ONE.reference)
        assert looked.status == 0, looked.stderr
        findings = json.loads(looked.stdout)["result"]["findings"]
        assert {one["check"] for one in findings if one["result"] == "warning"} == WARNINGS[kind]

    done = elsewhere.run("run", "--offline", "--registry", url, ONE.reference, "--", "leave", "3")
    assert done.status == 3, done.stderr


def test_a_mirror_of_a_mirror_is_the_same(mirror: str, elsewhere: Mcp) -> None:
    onward = os.path.join(elsewhere.folder, "onward")
    with web.nginx(mirror) as url:
        assert elsewhere.run("pull", "--to", onward, "--registry", url, *REFERENCES).status == 0
    assert contents(onward) == contents(mirror)
    third = os.path.join(elsewhere.folder, "third")
    assert elsewhere.run("pull", "--to", third, "--registry", f"file://{onward}", *REFERENCES).status == 0
    assert contents(third) == contents(mirror)


@pytest.mark.parametrize("kind", ["nginx", "python"])
def test_a_file_that_was_cut_is_noticed_and_not_kept(mirror: str, elsewhere: Mcp, kind: str) -> None:
    os.truncate(artifact(mirror, ONE.bundle), len(ONE.bundle) - 100)
    with web.SERVERS[kind](mirror) as url:
        result = elsewhere.run("run", "--registry", url, ONE.reference, "--", "leave", "3")
    refused(result, "download-truncated" if result.code == "download-truncated" else "digest-mismatch")
    assert elsewhere.cached("bundles", "trees", "staging") == []


def test_a_download_from_it_goes_on_where_it_broke(mirror: str, elsewhere: Mcp) -> None:
    """Between nginx and the client stands one that cuts the first answer; nginx sends the rest of it."""
    with web.nginx(mirror) as url, web.cutting(url, after=300) as (front, log):
        result = elsewhere.run("pull", "--registry", front, ONE.reference)
    assert result.status == 0, result.stderr
    assert [line for line in log if line.startswith("bytes=")]


def without_network() -> list[str]:
    own = [] if os.geteuid() == 0 else ["--user", "--map-current-user"]
    return ["unshare", *own, "--net"]


def test_a_machine_without_any_network_runs_from_it(mirror: str, elsewhere: Mcp) -> None:
    prefix = without_network()
    reach = ["curl", "-s", "--max-time", "2", "http://127.0.0.1:1/"]
    assert subprocess.run([*prefix, *reach], check=False).returncode == 7
    arguments = ("run", "--registry", f"file://{mirror}", ONE.reference, "--", "leave", "3")
    result = elsewhere.run(*arguments, prefix=prefix)
    assert result.status == 3, result.stderr


def test_an_answer_that_moved_is_refused_and_the_mirror_stays(
    mirror: str, origin: Registry, elsewhere: Mcp
) -> None:
    before = contents(mirror)
    moved = package(manifest_form("test/one@1.0.0", "python3", "other.py"), ONE.bundle)
    origin.publish(moved)
    result = elsewhere.run("pull", "--to", mirror, "--registry", origin.url, ONE.reference)
    refused(result._replace(stdout=b""), "version-moved", status=1)
    assert ONE.digests[0] in result.message
    assert moved.digests[0] in result.message
    assert contents(mirror) == before


def test_many_processes_fill_one_folder_and_fetch_everything_once(origin: Registry, mcp: Mcp) -> None:
    folder = os.path.join(mcp.folder, "mirror")
    origin.faults["bundle"] = Fault(drip=0.02)
    packages = PACKAGES[:4]
    running = [mcp.start("pull", "-q", "--to", folder, one.reference) for one in packages * 2]
    for process in running:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert len(origin.requests("bundle")) == 1
    assert len(origin.requests("manifest")) == len(packages)
    assert len([name for name in contents(folder) if name.startswith("packages/")]) == 2 * len(packages)
    assert not os.path.exists(os.path.join(folder, ".incoming"))


def test_who_is_killed_in_the_middle_leaves_nothing_to_be_seen(origin: Registry, mcp: Mcp) -> None:
    folder = os.path.join(mcp.folder, "mirror")
    origin.faults["bundle"] = Fault(drip=0.2)
    with mcp.start("pull", "-q", "--to", folder, ONE.reference) as process:
        assert origin.wait_for("bundle")
        process.send_signal(signal.SIGKILL)
    assert not os.path.exists(os.path.join(folder, "packages"))
    origin.faults.clear()

    assert mcp.run("pull", "-q", "--to", folder, ONE.reference).status == 0
    assert len(contents(folder)) == 4
    assert not os.path.exists(os.path.join(folder, ".incoming"))
