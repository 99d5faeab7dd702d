"""Lock files: stable, reviewable, without secrets; hostile ones are refused with their place."""

import json
import os

import pytest

from mcp_client.digest import Digest
from mcp_client.errors import MCPError
from mcp_client.lock import entry, lockable, read_lock, write_lock
from mcp_client.reference import parse_reference
from mcp_client.resolution import Descriptor, Resolution

ONE = parse_reference("acme/one@1.0.0")
M, B = "a" * 64, "b" * 64
SIGNED = "https://bucket.test/b?X-Amz-Signature=5ec2e7&X-Amz-Expires=60"


def resolution(reference=ONE, manifest_url="/m", bundle_url="/b", **changes):
    made = Resolution(
        reference,
        "https://registry.test",
        Descriptor(Digest(M), manifest_url, 10),
        Descriptor(Digest(B), bundle_url, None),
        "published",
        "1.0.0",
    )
    return made._replace(**changes)


def form(**changes):
    artifact = {"digest": f"sha256:{M}", "url": "/m", "size_bytes": 10}
    return {
        "registry": "https://registry.test",
        "manifest": artifact,
        "bundle": {"digest": f"sha256:{B}", "url": "/b"},
        **changes,
    }


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "mcp.lock")


def write(path, value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    with open(path, "wb") as file:
        file.write(data)
    return path


def test_what_is_written_is_read_and_is_the_same_bytes_again(path):
    two = parse_reference(f"acme/two@sha:{'c' * 40}")
    locked = {two: lockable(resolution(two)), ONE: lockable(resolution())}
    write_lock(path, locked)
    with open(path, "rb") as file:
        first = file.read()
    assert read_lock(path) == locked
    write_lock(path, dict(reversed(list(read_lock(path).items()))))
    with open(path, "rb") as file:
        assert file.read() == first
    assert first.index(b"acme/one@") < first.index(b"acme/two@")
    assert os.listdir(os.path.dirname(path)) == ["mcp.lock"]


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("/artifacts/b", True),
        ("https://cdn.test/acme/one/b.tar.gz", True),
        (f"/artifact?digest=sha256:{B}", True),
        (f"/artifact?digest=sha256%3A{B}&kind=bundle", True),
        (SIGNED, False),
        ("https://cdn.test/b?sv=2024-01-01&se=2026&sp=r&sig=c2VjcmV0", False),
        ("/b?token", False),
        ("/b?a=1.0.0&b=secret", False),
        ("https://me:secret@cdn.test/b", False),
        ("/b#secret", False),
    ],
)
def test_no_url_with_a_secret_is_written(path, url, kept):
    write_lock(path, {ONE: lockable(resolution(bundle_url=url))})
    assert read_lock(path)[ONE].bundle.url == (url if kept else "")
    with open(path) as file:
        text = file.read()
    assert not any(secret in text for secret in ("5ec2e7", "c2VjcmV0", "token", "secret"))


def test_a_reference_that_is_not_there_is_named_with_the_file(path):
    write(path, {"version": 1, "packages": {str(ONE): form()}})
    with pytest.raises(MCPError) as caught:
        entry(read_lock(path), parse_reference("acme/two@1.0.0"), path)
    assert caught.value.code == "lock-missing"
    assert path in caught.value.message
    assert "acme/two@1.0.0" in caught.value.message
    with pytest.raises(MCPError) as caught:
        read_lock(f"{path}.none")
    assert caught.value.code == "lock-missing"


HOSTILE = {
    "empty": b"",
    "not-json": b"lock: true",
    "not-text": b"\xff\xfe",
    "list": [],
    "deep": b"[" * 200_000,
    "huge": b" " * (5 << 20),
    "huge-number": b'{"version": ' + b"1" * 10_000 + b', "packages": {}}',
    "no-version": {"packages": {}},
    "newer": {"version": 2, "packages": {}},
    "true-version": {"version": True, "packages": {}},
    "more": {"version": 1, "packages": {}, "run": "sh"},
    "packages": {"version": 1, "packages": [1]},
    "twice": b'{"version": 1, "packages": {}, "packages": {}}',
    "reference": {"version": 1, "packages": {"acme/one@latest": form()}},
    "escape": {"version": 1, "packages": {"\x1b[2Jacme/one": form()}},
    "entry": {"version": 1, "packages": {str(ONE): 1}},
    "unknown": {"version": 1, "packages": {str(ONE): form(status="published")}},
    "registry": {"version": 1, "packages": {str(ONE): form(registry="https://me:secret@x.test")}},
    "registry-spelling": {"version": 1, "packages": {str(ONE): form(registry="https://registry.test:443/")}},
    "registry-type": {"version": 1, "packages": {str(ONE): form(registry=None)}},
    "digest": {"version": 1, "packages": {str(ONE): form(bundle={"digest": "sha256:../../x"})}},
    "digest-type": {"version": 1, "packages": {str(ONE): form(bundle={"digest": 1})}},
    "size": {"version": 1, "packages": {str(ONE): form(bundle={"digest": f"sha256:{B}", "size_bytes": -1})}},
    "size-bool": {
        "version": 1,
        "packages": {str(ONE): form(bundle={"digest": f"sha256:{B}", "size_bytes": True})},
    },
    "url": {"version": 1, "packages": {str(ONE): form(bundle={"digest": f"sha256:{B}", "url": "\x1b[2J"})}},
    "url-long": {
        "version": 1,
        "packages": {str(ONE): form(bundle={"digest": f"sha256:{B}", "url": "x" * 9000})},
    },
    "version-type": {"version": 1, "packages": {str(ONE): form(resolved_version=["1"])}},
    "other-manifest": {"version": 1, "packages": {f"acme/one@digest:sha256:{B}": form()}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_lock_is_refused_in_printable_words(path, name):
    with pytest.raises(MCPError) as caught:
        read_lock(write(path, HOSTILE[name]))
    assert caught.value.code == "lock-invalid"
    assert caught.value.message.isprintable()
    assert "secret" not in caught.value.message
    assert len(caught.value.message) < 1000


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MCPError) as caught:
        read_lock(str(tmp_path / "pipe"))
    assert caught.value.code == "lock-invalid"


def test_a_lock_that_cannot_be_written_leaves_nothing(tmp_path):
    folder = tmp_path / "none"
    with pytest.raises(MCPError) as caught:
        write_lock(str(folder / "mcp.lock"), {})
    assert caught.value.code == "lock-unwritable"
    assert os.listdir(tmp_path) == []
