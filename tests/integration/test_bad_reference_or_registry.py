"""What can be wrong before a byte of the package is there: each with a code of its own, and nothing kept."""

import socket

import pytest
from kit import programs
from kit.command import Mcp, refused
from kit.registry import Fault, Registry

ONE = programs.single()
REFERENCE = ONE.reference


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "plain",
        "Org/Name@1.2.3",
        "a/b/c@1.2.3",
        "../x@1.2.3",
        "a/b@1.2.3/../..",
        "a/b@sha:xyz",
        "a/b@digest:md5:0",
    ],
)
def test_a_malformed_reference(mcp: Mcp, registry: Registry, reference: str) -> None:
    refused(mcp.run("run", reference), "reference-invalid")
    assert registry.log == []
    assert mcp.cached() == []


@pytest.mark.parametrize(
    "reference", ["test/single", "test/single@latest", "test/single@^1.0.0", "test/single@1"]
)
def test_a_reference_that_can_mean_something_else_tomorrow(
    mcp: Mcp, registry: Registry, reference: str
) -> None:
    registry.publish(ONE)
    refused(mcp.run("run", reference), "reference-mutable")
    assert mcp.cached() == []


def test_an_unknown_package(mcp: Mcp) -> None:
    result = mcp.run("run", "test/unknown@1.0.0")
    refused(result, "package-not-found")
    assert "test/unknown@1.0.0" in result.stderr
    assert mcp.cached() == []


def test_a_registry_that_is_down(mcp: Mcp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    result = mcp.run("run", REFERENCE, env={"MCP_REGISTRY_URL": address})
    refused(result, "registry-unavailable")
    assert "127.0.0.1" in result.message
    assert mcp.cached() == []


@pytest.mark.parametrize("place", ["resolve", "manifest", "bundle"])
def test_a_registry_that_is_too_slow(mcp: Mcp, registry: Registry, place: str) -> None:
    mcp.configure("registry:\n  timeout: 200ms\n")
    registry.publish(ONE)
    registry.faults[place] = Fault(delay=60)
    refused(mcp.run("run", REFERENCE), "registry-unavailable")
    assert mcp.cached("bundles", "trees", "staging") == []


FAULTS = {
    "server-error": (Fault(status=500, body=b"boom"), "registry-unavailable"),
    "unauthorized": (Fault(status=401, body=b"{}"), "unauthorized"),
    "forbidden": (Fault(status=403, body=b"{}"), "forbidden"),
    "too-many": (Fault(status=429, body=b"{}", headers={"Retry-After": "0"}), "rate-limited"),
    "rejected": (Fault(status=418, body=b'{"error": "teapot", "message": "no"}'), "registry-rejected"),
}


@pytest.mark.parametrize("place", ["resolve", "bundle"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_registry_that_refuses(mcp: Mcp, registry: Registry, name: str, place: str) -> None:
    fault, code = FAULTS[name]
    registry.publish(ONE)
    registry.faults[place] = fault
    refused(mcp.run("run", REFERENCE), code)
    assert mcp.cached("bundles", "trees", "staging") == []


def test_a_missing_token_says_how_to_log_in(mcp: Mcp, registry: Registry) -> None:
    registry.publish(ONE)
    registry.token = "sesame"
    result = mcp.run("run", REFERENCE)
    refused(result, "unauthorized")
    assert "mcp login" in str(result.hint)


def test_one_bad_answer_is_no_failure(mcp: Mcp, registry: Registry) -> None:
    registry.publish(ONE)
    registry.faults = {"resolve": Fault(status=503, body=b"", times=1), "manifest": Fault(cut=5, times=1)}
    assert mcp.run("run", REFERENCE, "--", "leave", "3").status == 3


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>hello</html>", b"[]", b"{}", b'{"manifest": 1, "bundle": 2}', b"\xff\xfe", b"[" * 100_000],
    ids=["empty", "html", "list", "no-fields", "wrong-types", "not-text", "deep"],
)
def test_a_registry_that_answers_garbage(mcp: Mcp, registry: Registry, body: bytes) -> None:
    registry.publish(ONE)
    registry.faults["resolve"] = Fault(body=body)
    refused(mcp.run("run", REFERENCE), "registry-protocol")
    assert mcp.cached() == []


@pytest.mark.parametrize("kind", ["manifest", "bundle"])
@pytest.mark.parametrize(
    "digest", ["sha256:../../x", "../../../etc/passwd", "sha256:" + "A" * 64, "md5:" + "0" * 32, ""]
)
def test_a_digest_that_is_no_digest(mcp: Mcp, registry: Registry, kind: str, digest: str) -> None:
    registry.publish(ONE)
    answer = registry.answer(REFERENCE)
    assert answer is not None
    answer[kind] = {**answer[kind], "digest": digest}
    registry.answers[REFERENCE] = answer
    refused(mcp.run("run", REFERENCE), "digest-invalid")
    assert mcp.cached() == []
    assert registry.requests("manifest") == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://["])
def test_an_artifact_that_is_elsewhere(mcp: Mcp, registry: Registry, url: str) -> None:
    registry.publish(ONE)
    answer = registry.answer(REFERENCE)
    assert answer is not None
    answer["bundle"] = {**answer["bundle"], "url": url}
    registry.answers[REFERENCE] = answer
    refused(mcp.run("run", REFERENCE), "registry-protocol")
    assert mcp.cached("bundles", "trees", "staging") == []


def test_a_redirect_without_an_end(mcp: Mcp, registry: Registry) -> None:
    registry.publish(ONE)
    registry.faults["resolve"] = Fault(status=307, headers={"Location": "/v1/packages/test/single/resolve"})
    refused(mcp.run("run", REFERENCE), "registry-protocol")


@pytest.mark.parametrize("kind", ["manifest", "bundle"])
@pytest.mark.parametrize("change", ["every-byte", "one-bit"])
def test_an_artifact_with_another_digest(mcp: Mcp, registry: Registry, kind: str, change: str) -> None:
    registry.publish(ONE)
    real, expected = getattr(ONE, kind), ONE.digests[kind == "bundle"]
    other = {"every-byte": b"?" * len(real), "one-bit": bytes([real[0] ^ 1]) + real[1:]}
    registry.faults[kind] = Fault(body=other[change])
    result = mcp.run("run", REFERENCE)
    refused(result, "digest-mismatch")
    assert expected in result.stderr
    assert not any(expected in entry for entry in mcp.cached())
    assert mcp.cached("trees", "staging") == []


@pytest.mark.parametrize("kind", ["manifest", "bundle"])
def test_a_download_that_never_gets_to_its_end(mcp: Mcp, registry: Registry, kind: str) -> None:
    registry.publish(ONE)
    registry.faults[kind] = Fault(cut=10)
    refused(mcp.run("run", REFERENCE), "download-truncated")
    assert mcp.cached("bundles", "trees", "staging") == []


@pytest.mark.parametrize("kind", ["manifest", "bundle"])
def test_a_download_without_an_end(mcp: Mcp, registry: Registry, kind: str) -> None:
    mcp.configure("registry:\n  max_manifest: 100kB\n  max_bundle: 100kB\n")
    registry.publish(ONE)
    registry.faults[kind] = Fault(body=b"x" * 1_000_000)
    answer = registry.answer(REFERENCE)
    assert answer is not None
    del answer[kind]["size_bytes"]
    registry.answers[REFERENCE] = answer
    refused(mcp.run("run", REFERENCE), "download-too-large")
    assert mcp.cached("bundles", "trees", "staging") == []


@pytest.mark.parametrize("status", ["revoked", "quarantined"])
def test_a_package_that_was_revoked(mcp: Mcp, registry: Registry, status: str) -> None:
    registry.publish(ONE)
    answer = registry.answer(REFERENCE)
    assert answer is not None
    registry.answers[REFERENCE] = {**answer, "status": status}
    refused(mcp.run("run", REFERENCE), "package-revoked")
    assert mcp.cached() == []


def test_a_version_that_means_something_else_today(mcp: Mcp, registry: Registry) -> None:
    registry.publish(ONE)
    assert mcp.run("run", REFERENCE, "--", "leave", "3").status == 3
    assert mcp.run("cache", "rm", "--all").status == 0
    moved = ONE._replace(manifest=ONE.manifest + b"\n")
    registry.publish(moved)
    refused(mcp.run("run", REFERENCE), "version-moved")
    assert mcp.cached() == []
