import json
import os
import stat
import subprocess
import sys

import pytest
from kit.bundle import link, pack, pack_files

from mcp_client.errors import MCPError

BUNDLE = pack_files({"main.py": "pass", "lib/a.py": "x"})


def refused(code, action, *arguments, **options):
    with pytest.raises(MCPError) as caught:
        action(*arguments, **options)
    assert caught.value.code == code, caught.value.message
    assert caught.value.hint
    return caught.value


def never():
    raise AssertionError("it was asked for again")


@pytest.mark.parametrize("kind", ["manifest", "bundle"])
@pytest.mark.parametrize("data", [b"", b"x" * 300_000])
def test_an_artifact_is_stored_under_its_digest(stored, kind, data):
    descriptor = stored.descriptor(data, len(data))
    chunks = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    path = stored.cache.add(kind, descriptor, lambda: iter(chunks), len(data))
    assert path == stored.cache.artifact_path(kind, descriptor.digest)
    assert f"{kind}s/sha256:{descriptor.digest.hex}/" in path
    with open(path, "rb") as file:
        assert file.read() == data
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o444
    assert stored.names("staging") == []


def test_a_stored_artifact_is_not_asked_for_again(stored):
    stored.add(BUNDLE)
    stored.cache.add("bundle", stored.descriptor(BUNDLE), never, 1)


@pytest.mark.parametrize("damage", [b"other bytes", b"", None])
def test_a_stored_artifact_that_was_damaged_is_replaced(stored, damage):
    """None: the folder is there, and the file is gone."""
    digest = stored.add(BUNDLE)
    path = stored.cache.artifact_path("bundle", digest)
    os.unlink(path)
    if damage is not None:
        with open(path, "wb") as file:
            file.write(damage)
    with open(os.path.join(os.path.dirname(path), "stray"), "wb"):
        pass
    stored.add(BUNDLE)
    with open(path, "rb") as file:
        assert file.read() == BUNDLE
    assert os.listdir(os.path.dirname(path)) == ["bundle.tar.gz"]
    assert stored.names("staging") == []


def test_a_mismatch_names_both_digests_and_keeps_nothing(stored):
    expected = stored.descriptor(b"expected")
    error = refused("digest-mismatch", stored.cache.add, "manifest", expected, lambda: iter([b"got"]), 100)
    assert str(expected.digest) in error.message
    assert str(stored.digest(b"got")) in error.message
    assert stored.names() == []


@pytest.mark.parametrize("chunks", [[b"x" * 101], [b"x"] * 101, [b"x" * 100, b"", b"x"]])
def test_more_than_the_limit_is_refused_and_not_kept(stored, chunks):
    """Even if the digest would be right."""
    descriptor = stored.descriptor(b"".join(chunks))
    refused("download-too-large", stored.cache.add, "bundle", descriptor, lambda: iter(chunks), 100)
    assert stored.names() == []


def test_an_endless_download_is_refused(stored):
    def endless():
        while True:
            yield b"x" * 1000

    refused("download-too-large", stored.cache.add, "bundle", stored.descriptor(b"x"), endless, 1_000_000)
    assert stored.names() == []


def test_a_declared_size_above_the_limit_is_refused_before_a_byte_is_asked_for(stored):
    refused("download-too-large", stored.cache.add, "bundle", stored.descriptor(b"x", 101), never, 100)
    assert stored.names() == []


@pytest.mark.parametrize(
    "error",
    [
        MCPError("download-truncated", "cut", hint="again"),
        ConnectionResetError(104, "reset"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("sent", [0, 1])
def test_an_error_of_the_download_passes_as_it_is_and_keeps_nothing(stored, error, sent):
    """An OSError of the network, in particular, says nothing about the cache."""

    def chunks():
        yield from [b"x"] * sent
        raise error

    with pytest.raises(type(error)) as caught:
        stored.cache.add("bundle", stored.descriptor(b"x" * 10), chunks, 100)
    assert caught.value is error
    assert stored.names() == []
    stored.add(b"x" * 10)


def test_an_unsafe_bundle_is_not_kept(stored):
    for bundle, code in ((pack([(link("l", "/etc"), b"")]), "bundle-unsafe"), (b"words", "bundle-invalid")):
        digest = stored.add(bundle)
        refused(code, stored.cache.unpack, digest)
        assert stored.names() == []


def test_a_bundle_above_the_limits_is_not_kept(stored):
    for limits in ({"max_unpacked": 4}, {"max_entries": 2}):
        digest = stored.add(BUNDLE)
        refused("bundle-too-large", stored.open(**limits).unpack, digest)
        assert stored.names() == []


def test_a_bundle_that_was_removed_meanwhile_cannot_be_unpacked(stored):
    refused("cache-damaged", stored.cache.unpack, stored.digest(BUNDLE))
    assert stored.names() == []


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_tree_is_read_only_whatever_the_umask(stored, mask):
    before = os.umask(mask)
    try:
        tree = stored.cache.unpack(stored.add(BUNDLE))
    finally:
        os.umask(before)
    modes = {
        os.path.relpath(parent, tree): os.stat(parent).st_mode & 0o7777 for parent, _, _ in os.walk(tree)
    }
    assert modes == {".": 0o555, "lib": 0o555}
    assert os.stat(f"{tree}/lib/a.py").st_mode & 0o7777 == 0o444


def test_a_cache_is_private_unless_its_folder_was_made_for_others(stored, tmp_path):
    before = os.umask(0)
    try:
        stored.add(BUNDLE)
        stored.cache.resolutions.remember_dialect("https://registry.test", "post")
    finally:
        os.umask(before)
    modes = {
        name: os.stat(os.path.join(stored.folder, name)).st_mode & 0o777 for name in os.listdir(stored.folder)
    }
    assert os.stat(stored.folder).st_mode & 0o777 == 0o700
    assert modes["bundles"] == 0o755
    assert modes["staging"] == modes["locks"] == 0o700
    assert not any(mode & 0o022 for mode in modes.values())


AS_ANOTHER_USER = """
import os, sys
os.chdir(sys.argv[1])
os.setgroups([]); os.setgid(65534); os.setuid(65534)
found = []
for parent, folders, files in os.walk(".", onerror=print):
    for name in files:
        with open(os.path.join(parent, name), "rb") as file:
            found.append(file.read().decode())
try:
    open("new", "w")
except PermissionError:
    found.append("closed")
print(sorted(found))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_tree_of_root_is_readable_by_the_user_servers_run_as(stored):
    before = os.umask(0o077)
    try:
        tree = stored.cache.unpack(stored.add(BUNDLE))
    finally:
        os.umask(before)
    run = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER_USER, tree], capture_output=True, text=True, check=True
    )
    assert run.stdout == "['closed', 'pass', 'x']\n"


def test_a_tree_is_unpacked_once(stored):
    digest = stored.add(BUNDLE)
    tree = stored.cache.unpack(digest)
    before = os.stat(tree)
    os.unlink(stored.cache.artifact_path("bundle", digest))
    assert stored.cache.unpack(digest) == tree
    assert os.path.samestat(os.stat(tree), before)


def test_a_tree_left_open_by_a_killed_process_is_closed(stored):
    digest = stored.add(BUNDLE)
    tree = stored.cache.unpack(digest)
    os.chmod(tree, 0o755)
    stored.cache.unpack(digest)
    assert os.stat(tree).st_mode & 0o777 == 0o555


def test_a_file_in_the_place_of_a_tree_is_replaced(stored):
    digest = stored.add(BUNDLE)
    tree = stored.cache.tree_path(digest)
    os.makedirs(os.path.dirname(tree))
    with open(tree, "w"):
        pass
    assert os.path.isfile(os.path.join(stored.cache.unpack(digest), "main.py"))


TEN = """
import json, os, sys
from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest
from mcp_client.resolution import Descriptor

folder, source, digest, called = sys.argv[1:]
cache = Cache(CacheSettings(folder))

def chunks():
    with open(called, "ab", buffering=0) as file:
        file.write(b"x")
    with open(source, "rb") as file:
        while data := file.read(1000):
            yield data

print("ready", flush=True)
sys.stdin.readline()
descriptor = Descriptor(Digest(digest), "", None)
tree = cache.add_bundle(descriptor, chunks, 10_000_000)
path = cache.artifact_path("bundle", descriptor.digest)
cache.resolutions.remember_dialect(f"https://{os.getpid()}.test", "post")
print(json.dumps([os.stat(path).st_ino, os.stat(tree).st_ino, os.listdir(tree)]))
"""


def test_ten_processes_store_and_unpack_a_bundle_once_in_all(stored, tmp_path):
    """And make one database together."""
    source, called = tmp_path / "source", tmp_path / "called"
    source.write_bytes(BUNDLE)
    arguments = [sys.executable, "-c", TEN, stored.folder, source, stored.digest(BUNDLE).hex, called]
    processes = [
        subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(10)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 10
    assert len(set(answers)) == 1
    assert sorted(json.loads(answers[0])[2]) == ["lib", "main.py"]
    assert called.read_bytes() == b"x"
    assert stored.names("staging") == []
    assert len(stored.cache.database.select("select origin from dialect")) == 10
