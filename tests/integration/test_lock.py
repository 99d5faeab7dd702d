"""The same bytes for a team and for CI, with no question to a registry; what a hostile lock cannot do."""

import json
import os
from typing import Any

import pytest
from kit import programs
from kit.bundle import Package, manifest_form, pack_files, package
from kit.command import Mcp, refused
from kit.registry import Fault, Registry

ONE, TWO = programs.single(), programs.forking()
LEAVE = ("--", "leave", "3")
TOKEN = "sesame-open-1234567890"


@pytest.fixture(autouse=True)
def project(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder to work in, as the current one."""
    folder = os.path.join(tmp_path, "project")
    os.mkdir(folder)
    monkeypatch.chdir(folder)
    return folder


def read(path: str = "mcp.lock") -> dict[str, Any]:
    with open(path) as file:
        form: dict[str, Any] = json.load(file)
    return form


def change(place: tuple[str, ...], value: object, path: str = "mcp.lock") -> None:
    form = read(path)
    inner = form["packages"][ONE.reference]
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with open(path, "w") as file:
        json.dump(form, file)


@pytest.fixture
def locked(mcp: Mcp, registry: Registry) -> Mcp:
    """``mcp.lock`` with one package, and a cache and a memory that are empty, as on a colleague's machine."""
    registry.publish(ONE)
    assert mcp.run("lock", ONE.reference).status == 0
    forget(mcp)
    registry.log.clear()
    return mcp


def forget(mcp: Mcp) -> None:
    assert mcp.run("cache", "rm", "--all").status == 0
    for name in os.listdir(mcp.cache):
        if name.startswith("metadata.db"):
            os.unlink(os.path.join(mcp.cache, name))


def test_a_lock_grows_stays_the_same_and_runs_without_a_question(mcp: Mcp, registry: Registry) -> None:
    registry.publish(ONE, TWO)
    assert mcp.run("lock", TWO.reference).status == 0
    assert mcp.run("lock", ONE.reference).status == 0
    with open("mcp.lock", "rb") as file:
        first = file.read()
    assert list(read()["packages"]) == sorted([ONE.reference, TWO.reference])
    before = os.stat("mcp.lock").st_ino
    assert mcp.run("lock").status == 0
    assert mcp.run("lock", "--check").status == 0
    with open("mcp.lock", "rb") as file:
        assert file.read() == first
    assert os.stat("mcp.lock").st_ino == before
    forget(mcp)
    registry.log.clear()
    pulled = mcp.run("pull", "--locked", "--json")
    assert pulled.status == 0, pulled.stderr
    assert [one["cached"] for one in json.loads(pulled.stdout)["result"]["packages"]] == [False, False]
    assert mcp.run("run", "--locked", ONE.reference, *LEAVE).status == 3
    assert mcp.run("run", "--locked", "--offline", ONE.reference, *LEAVE).status == 3
    assert registry.requests("resolve") == []
    assert len(registry.requests("bundle")) == len({one.path for one in registry.requests("bundle")})
    # Without the lock the registry has yet to say what it means.
    assert mcp.run("run", ONE.reference, *LEAVE).status == 3
    assert len(registry.requests("resolve")) == 1


def test_a_cold_run_takes_exactly_what_is_locked(locked: Mcp, registry: Registry) -> None:
    registry.publish(ONE._replace(manifest=ONE.manifest + b"\n"))
    assert locked.run("run", "--lock", os.path.abspath("mcp.lock"), ONE.reference, *LEAVE).status == 3
    assert registry.requests("resolve") == []
    with open(os.path.join(locked.home, "audit.log")) as log:
        start = next(record for record in map(json.loads, log) if record["event"] == "start")
    assert (start["manifest_digest"], start["bundle_digest"]) == ONE.digests


def test_what_was_pulled_before_needs_no_download(locked: Mcp, registry: Registry) -> None:
    assert locked.run("pull", ONE.reference).status == 0
    registry.log.clear()
    assert locked.run("pull", "--locked", "--offline").status == 0
    assert locked.run("run", "--locked", "--offline", ONE.reference, *LEAVE).status == 3
    assert registry.log == []


def test_a_reference_that_is_not_locked_is_named_with_the_file(locked: Mcp, registry: Registry) -> None:
    registry.publish(TWO)
    for arguments in (("run", "--locked", TWO.reference), ("pull", "--locked", TWO.reference)):
        result = locked.run(*arguments)
        assert result.code == "lock-missing"
        assert "mcp.lock" in result.message
        assert TWO.reference in result.message
    os.unlink("mcp.lock")
    refused(locked.run("run", "--locked", ONE.reference), "lock-missing")
    assert registry.log == []


def evil() -> Package:
    form = manifest_form("test/single@1.0.0", "python3", "-I", "-S", "${bundle}/main.py")
    return package(form, pack_files({"main.py": "raise SystemExit(66)"}))


def test_a_changed_digest_runs_nothing_else_than_it_proves(locked: Mcp, registry: Registry) -> None:
    change(("bundle", "digest"), f"sha256:{'e' * 64}")
    refused(locked.run("run", "--locked", ONE.reference), "digest-mismatch")
    assert locked.cached("trees", "staging") == []
    # Bytes that are another package's are no better for their digest.
    other = TWO
    registry.publish(other)
    change(("manifest",), {"digest": other.digests[0], "url": f"/artifacts/manifest/{other.digests[0]}"})
    refused(locked.run("run", "--locked", ONE.reference), "manifest-mismatch")
    assert registry.requests("resolve") == []


def forge(registry: Registry) -> None:
    """Let the lock name another package's bytes, which are really there."""
    registry.publish(evil())
    manifest, bundle = evil().digests
    change(("manifest",), {"digest": manifest, "url": f"/artifacts/manifest/{manifest}"})
    change(("bundle",), {"digest": bundle, "url": f"/artifacts/bundle/{bundle}"})


def test_a_forged_lock_is_never_taken_for_the_registrys_answer(locked: Mcp, registry: Registry) -> None:
    """Else a hostile repository could choose what ``mcp run`` without a lock starts the next time."""
    forge(registry)
    registry.publish(ONE)
    forged = locked.run("run", "--locked", ONE.reference)
    assert forged.status == 66
    assert locked.run("run", ONE.reference, *LEAVE).status == 3
    assert len(registry.requests("resolve")) == 1
    # By now the registry's own word is known, and the lock says something else.
    refused(locked.run("run", "--locked", ONE.reference), "version-moved")


def test_a_lock_that_contradicts_what_is_known_is_refused(locked: Mcp, registry: Registry) -> None:
    assert locked.run("pull", ONE.reference).status == 0
    forge(registry)
    result = locked.run("run", "--locked", ONE.reference)
    refused(result, "version-moved")
    for digest in (*ONE.digests, *evil().digests):
        assert digest in result.message
    assert "mcp.lock" in result.message


def test_a_locked_package_that_is_known_as_revoked_is_refused(locked: Mcp, registry: Registry) -> None:
    assert locked.run("pull", ONE.reference).status == 0
    answer = registry.answer(ONE.reference)
    assert answer is not None
    registry.answers[ONE.reference] = {**answer, "status": "quarantined"}
    assert locked.run("pull", "--refresh", ONE.reference).code == "package-revoked"
    refused(locked.run("run", "--locked", ONE.reference), "package-revoked")
    assert locked.run("pull", "--locked").code == "package-revoked"
    check = locked.run("lock", "--check")
    assert (check.status, check.code) == (1, "package-revoked")


def test_check_tells_what_is_not_current(locked: Mcp, registry: Registry) -> None:
    registry.publish(TWO)
    assert locked.run("lock", "--check").status == 0
    assert locked.run("lock", "--check", TWO.reference).code == "lock-outdated"
    change(("bundle", "size_bytes"), 1)
    check = locked.run("lock", "--check")
    assert (check.status, check.code) == (1, "lock-outdated")
    registry.publish(ONE._replace(manifest=ONE.manifest + b"\n"))
    moved = locked.run("lock", "--check")
    assert (moved.status, moved.code) == (1, "version-moved")
    assert ONE.digests[0] in moved.message
    assert locked.run("lock").code == "version-moved"
    assert read()["packages"][ONE.reference]["manifest"]["digest"] == ONE.digests[0]
    os.unlink("mcp.lock")
    assert locked.run("lock", "--check").code == "lock-missing"


def test_a_registry_of_presigned_urls(mcp: Mcp, registry: Registry) -> None:
    """Their secrets are not written down, and what to do instead is said."""
    registry.publish(ONE)
    answer = registry.answer(ONE.reference)
    assert answer is not None
    bundle = {**answer["bundle"], "url": f"{answer['bundle']['url']}?X-Amz-Signature=5ec2e7"}
    registry.answers[ONE.reference] = {**answer, "bundle": bundle}
    assert mcp.run("lock", ONE.reference).status == 0
    with open("mcp.lock") as file:
        assert "5ec2e7" not in file.read()
    forget(mcp)
    result = mcp.run("run", "--locked", ONE.reference)
    refused(result, "lock-incomplete")
    assert "mcp pull" in str(result.hint)
    assert mcp.run("pull", ONE.reference).status == 0
    assert mcp.run("run", "--locked", ONE.reference, *LEAVE).status == 3


@pytest.mark.parametrize("stored", [False, True])
def test_the_token_of_the_environment_is_not_for_the_registry_of_a_lock(
    mcp: Mcp, registry: Registry, stored: bool
) -> None:
    """A lock of a stranger's repository names the stranger's registry."""
    with Registry() as stranger:
        stranger.publish(ONE)
        assert mcp.run("lock", ONE.reference, "--registry", stranger.url).status == 0
        forget(mcp)
        stranger.log.clear()
        mcp.env["MCP_REGISTRY_TOKEN"] = TOKEN
        if stored:
            done = mcp.run("login", "--token-stdin", "--registry", stranger.url, given=b"for-the-stranger")
            assert done.status == 0
        assert mcp.run("run", "--locked", ONE.reference, *LEAVE).status == 3
        seen = {one.authorization for one in stranger.log}
        assert seen == {"Bearer for-the-stranger" if stored else None}
        # The control: at the configured registry the token is used.
        registry.publish(TWO)
        assert mcp.run("pull", TWO.reference).status == 0
        assert {one.authorization for one in registry.log} == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("place", "value", "code"),
    [
        (("manifest", "url"), "file:///etc/passwd", "registry-protocol"),
        (("manifest", "url"), "http://192.0.2.1/m", "registry-protocol"),
        (("registry",), "http://192.0.2.1", "config-invalid"),
        (("registry",), "file:///nowhere", "registry-protocol"),
        (("manifest", "url"), "/nothing", "package-not-found"),
        (("manifest", "size_bytes"), 7, "digest-mismatch"),
    ],
)
def test_a_hostile_lock_gets_no_further_than_a_hostile_registry(
    locked: Mcp, registry: Registry, place: tuple[str, ...], value: object, code: str
) -> None:
    change(place, value)
    refused(locked.run("run", "--locked", ONE.reference), code)
    assert locked.cached("trees", "staging") == []
    assert registry.requests("resolve") == []


def test_an_endless_artifact_of_a_lock_is_bounded(locked: Mcp, registry: Registry) -> None:
    locked.configure("registry:\n  max_bundle: 100kB\n")
    registry.faults["bundle"] = Fault(body=b"x" * 1_000_000)
    form = read()
    del form["packages"][ONE.reference]["bundle"]["size_bytes"]
    with open("mcp.lock", "w") as file:
        json.dump(form, file)
    refused(locked.run("run", "--locked", ONE.reference), "download-too-large")


def test_a_lock_does_not_lead_to_the_services_of_this_machine(locked: Mcp, registry: Registry) -> None:
    """They would be asked by somebody they trust; whoever names the registry himself may."""
    locked.env["MCP_REGISTRY_URL"] = "embedded"
    refused(locked.run("run", "--locked", ONE.reference), "registry-protocol")
    assert registry.log == []
    assert locked.run("run", "--locked", ONE.reference, "--registry", registry.url, *LEAVE).status == 3
