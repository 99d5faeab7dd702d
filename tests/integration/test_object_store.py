"""Artifacts in an object store that the registry leads to by presigned URLs: a real and strict one."""

import os
from collections.abc import Iterator

import pytest
from kit import programs, servers
from kit.bundle import Package
from kit.command import Mcp
from kit.objects import ObjectStore
from kit.registry import Fault, Registry

TOKEN = "sesame-0c5e7f2a9b"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with ObjectStore(str(tmp_path_factory.mktemp("objects"))) as started:
        yield started


def _publish(registry: Registry, store: ObjectStore, package: Package) -> None:
    registry.token = TOKEN
    registry.publish(package)
    store.put("manifest", package.manifest)
    store.put("bundle", package.bundle)


@pytest.mark.parametrize("version", [2, 4])
def test_the_store_refuses_a_second_credential(store: ObjectStore, version: int) -> None:
    store.put("manifest", b"{}")
    url = store.presigned("manifest", version)
    assert store.ask("GET", url) == (200, b"{}")
    assert store.ask("GET", url, headers={"Authorization": f"Bearer {TOKEN}"})[0] == 400
    if version == 2:
        assert store.ask("GET", url.replace("Signature=", "Signature=x"))[0] == 403


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize("how", ["redirect", "answer"])
def test_a_presigned_url_gets_no_token(
    mcp: Mcp, registry: Registry, store: ObjectStore, version: int, how: str
) -> None:
    package = programs.single()
    _publish(registry, store, package)
    answer = registry.answer(package.reference)
    assert answer is not None
    for kind in ("manifest", "bundle"):
        url = store.presigned(kind, version)
        answer[kind]["url"] = url if how == "answer" else answer[kind]["url"]
        if how == "redirect":
            registry.faults[kind] = Fault(status=302, headers={"Location": url}, body=b"")
    registry.answers[package.reference] = answer
    result = mcp.run("run", package.reference, "--", "leave", "3", env={"MCP_REGISTRY_TOKEN": TOKEN})
    assert result.status == 3, result.stderr
    assert {entry.authorization for entry in registry.log} == {f"Bearer {TOKEN}"}
    assert len(registry.log) == (3 if how == "redirect" else 1)


def test_a_broken_download_goes_on_in_the_store(mcp: Mcp, registry: Registry, store: ObjectStore) -> None:
    """The first part is the registry's own, so the rest comes from a server with other tags."""
    package = servers.everything_server().package
    _publish(registry, store, package)
    location = {"Location": store.presigned("bundle", 2)}
    registry.faults["bundle"] = Fault(
        cut=1_000_000, times=1, then=Fault(status=307, headers=location, body=b"")
    )
    result = mcp.run("pull", package.reference, env={"MCP_REGISTRY_TOKEN": TOKEN})
    assert result.status == 0, result.stderr
    ranges = [entry.range for entry in registry.requests("bundle")]
    assert len(ranges) == 2
    assert ranges[1] is not None
    assert ranges[1] > "bytes=0-"


def test_a_url_whose_time_is_over(mcp: Mcp, registry: Registry, store: ObjectStore) -> None:
    package = programs.single()
    _publish(registry, store, package)
    url = store.presigned("bundle", 2).replace("Expires=", "Expires=1&X=")
    registry.faults["bundle"] = Fault(status=302, headers={"Location": url}, body=b"")
    result = mcp.run("pull", package.reference, env={"MCP_REGISTRY_TOKEN": TOKEN})
    assert result.code == "forbidden"
    assert "the registry led there" in str(result.hint)
    assert "Signature" not in result.stderr
    assert os.listdir(os.path.join(mcp.cache, "staging")) == []
