"""A bundle is unpacked while it comes in; nothing of it counts before its digest has matched."""

import os
import random
import subprocess
import sys
import threading

import pytest
from kit.bundle import link, pack, pack_files, regular

from mcp_client.errors import MCPError

BUNDLE = pack_files({"main.py": "pass", "lib/a.py": "x"})
UNSAFE = pack([(regular("f", b"x" * 9), b"x" * 9), (link("l", "/etc/passwd"), b"")])
LIMIT = 50_000_000


@pytest.fixture(autouse=True)
def no_thread_outlives_the_call():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


def refused(code, action, *arguments):
    with pytest.raises(MCPError) as caught:
        action(*arguments)
    assert caught.value.code == code, caught.value.message
    assert caught.value.hint
    return caught.value


def pieces(data, size=1000):
    return [data[at : at + size] for at in range(0, len(data), size)]


def never():
    raise AssertionError("it was asked for")


def content(path):
    with open(path, "rb") as file:
        return file.read()


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_the_file_and_the_tree_are_there_afterwards(stored, size):
    descriptor = stored.descriptor(BUNDLE, len(BUNDLE))
    tree = stored.cache.add_bundle(descriptor, lambda: iter(pieces(BUNDLE, size)), len(BUNDLE))
    assert tree == stored.cache.tree_path(descriptor.digest)
    assert content(f"{tree}/main.py") == b"pass"
    assert os.stat(tree).st_mode & 0o777 == 0o555
    path = stored.cache.artifact_path("bundle", descriptor.digest)
    assert content(path) == BUNDLE
    assert os.stat(path).st_mode & 0o777 == 0o444
    assert stored.names("staging") == []
    assert {entry.kind: entry.size for entry in stored.cache.entries()} == {
        "bundle": len(BUNDLE),
        "tree": 5,
    }


def test_a_package_that_is_here_is_not_asked_for_again(stored):
    tree = stored.add_bundle(BUNDLE)
    before = os.stat(tree)
    assert stored.cache.add_bundle(stored.descriptor(BUNDLE), never, 1) == tree
    assert os.path.samestat(os.stat(tree), before)


def test_a_bundle_that_is_here_is_unpacked_from_there(stored):
    digest = stored.add(BUNDLE)
    tree = stored.cache.add_bundle(stored.descriptor(BUNDLE), never, 1)
    assert content(f"{tree}/lib/a.py") == b"x"
    assert content(stored.cache.artifact_path("bundle", digest)) == BUNDLE


@pytest.mark.parametrize("damage", [b"", b"words", BUNDLE[:-1], UNSAFE], ids=["no", "words", "cut", "unsafe"])
def test_a_bundle_that_was_damaged_here_is_fetched_anew(stored, damage):
    path = stored.cache.artifact_path("bundle", stored.add(BUNDLE))
    os.chmod(path, 0o644)
    with open(path, "wb") as file:
        file.write(damage)
    tree = stored.add_bundle(BUNDLE)
    assert sorted(os.listdir(tree)) == ["lib", "main.py"]
    assert content(path) == BUNDLE
    assert stored.names("staging") == []


WRONG = {
    "whole": BUNDLE,
    "unsafe": UNSAFE,
    "no-archive": b"words",
    "nothing": b"",
    "damaged": BUNDLE[:60] + b"?" + BUNDLE[61:],
    "cut": BUNDLE[:-5],
    "bomb": pack([(regular(str(n), bytes(90_000)), bytes(90_000)) for n in range(100)]),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_bytes_are_a_mismatch_whatever_they_would_unpack_to(stored, name):
    """What is inside of them is not even mentioned: it is not what anybody promised."""
    cache, promised = stored.open(max_unpacked=100_000), stored.descriptor(b"promised")
    error = refused(
        "digest-mismatch", cache.add_bundle, promised, lambda: iter(pieces(WRONG[name], 50_000)), LIMIT
    )
    assert str(promised.digest) in error.message
    assert str(stored.digest(WRONG[name])) in error.message
    assert not {"entry", "limit"} & set(error.details)
    assert "bundle cannot" not in error.message
    assert stored.names() == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (UNSAFE, "bundle-unsafe"),
        (b"words", "bundle-invalid"),
        (BUNDLE[:-1], "bundle-invalid"),
        (BUNDLE + b"more", "bundle-invalid"),
        (b"", "bundle-invalid"),
        (WRONG["bomb"], "bundle-too-large"),
    ],
)
@pytest.mark.parametrize("before", ["elsewhere", "here"])
def test_a_promised_bundle_that_cannot_be_unpacked_is_not_kept(stored, data, code, before):
    if before == "here":
        stored.add(data)
    cache = stored.open(max_unpacked=100_000)
    refused(code, cache.add_bundle, stored.descriptor(data), lambda: iter(pieces(data, 9000)), LIMIT)
    assert stored.names() == []


def test_more_than_the_limit_is_refused(stored):
    for size in (None, len(BUNDLE)):
        descriptor = stored.descriptor(BUNDLE, size)
        refused(
            "download-too-large",
            stored.cache.add_bundle,
            *(descriptor, lambda: iter(pieces(BUNDLE, 50)), len(BUNDLE) - 1),
        )
    assert stored.names() == []


def test_a_bomb_never_fills_the_disk(stored):
    """Unpacking ends at its limit; the download goes on, for only its end can say whose bytes these are."""
    cache, most = stored.open(max_unpacked=1_000_000), []
    bomb = WRONG["bomb"] + random.Random(1).randbytes(3_000_000)

    def chunks():
        for piece in pieces(bomb, 20_000):
            yield piece
            most.append(
                sum(
                    os.lstat(os.path.join(parent, name)).st_size
                    for parent, _, names in os.walk(os.path.join(stored.folder, "staging"))
                    for name in names
                    if name != "bundle.tar.gz"
                )
            )

    refused("bundle-too-large", cache.add_bundle, stored.descriptor(bomb), chunks, LIMIT)
    assert len(most) == len(pieces(bomb, 20_000))
    assert 500_000 < max(most) <= 1_000_000


@pytest.mark.parametrize(
    "error",
    [
        MCPError("download-truncated", "cut", hint="again"),
        ConnectionResetError(104, "reset"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("sent", [b"", BUNDLE[:100], BUNDLE, UNSAFE, WRONG["bomb"]], ids=len)
def test_an_error_of_the_download_passes_as_it_is(stored, error, sent):
    """However far the other threads are, and whatever they think of what came so far."""

    def chunks():
        yield from pieces(sent, 30_000)
        raise error

    cache = stored.open(max_unpacked=100_000)
    with pytest.raises(type(error)) as caught:
        cache.add_bundle(stored.descriptor(BUNDLE), chunks, LIMIT)
    assert caught.value is error
    assert stored.names() == []


def test_a_download_is_let_go_of_when_nothing_more_is_wanted(stored):
    ended = []

    def chunks():
        try:
            while True:
                yield b"x" * 1000
        finally:
            ended.append(True)

    refused("download-too-large", stored.cache.add_bundle, stored.descriptor(b"x"), chunks, 5000)
    assert ended == [True]


MEMORY = """
import hashlib, resource, sys
from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest
from mcp_client.resolution import Descriptor
import mcp_client.cache.publish

with open(sys.argv[2], "rb") as file:
    digest = Digest(hashlib.file_digest(file, "sha256").hexdigest())
resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def chunks():
    with open(sys.argv[2], "rb") as file:
        while data := file.read(1 << 20):
            yield data

Cache(CacheSettings(sys.argv[1])).add_bundle(Descriptor(digest, "", None), chunks, 1 << 30)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", ["incompressible", "compressible"])
def test_memory_does_not_grow_with_the_bundle(stored, tmp_path, kind):
    """A registry that is quicker than the disk has to wait. In kilobytes."""
    data = os.urandom(1 << 20) * 32 if kind == "incompressible" else bytes(100 << 20)
    source = tmp_path / "source"
    source.write_bytes(pack([(regular("f", data), data)], level=int(kind == "compressible")))
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, stored.folder, source], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 20_000
