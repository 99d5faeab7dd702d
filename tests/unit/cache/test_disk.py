"""Disks that are full, read-only or closed."""

import os
import shutil
import subprocess
import sys
import tempfile

import pytest
from kit import mounted
from kit.bundle import pack, pack_files, regular

SCRIPT = """
import hashlib, os, resource, sys, threading
from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest
from mcp_client.errors import MCPError
from mcp_client.resolution import Descriptor

folder, source, *rest = sys.argv[1:]
if rest and rest[0] == "small-files":
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
cache = Cache(CacheSettings(folder))
with open(source, "rb") as file:
    data = file.read()
descriptor = Descriptor(Digest(hashlib.sha256(data).hexdigest()), "", None)

def left():
    return [
        os.path.join(kind, name)
        for kind in ("manifests", "bundles", "trees", "staging")
        if os.path.isdir(os.path.join(folder, kind))
        for name in os.listdir(os.path.join(folder, kind))
        if kind != "bundles" or not os.path.isfile(cache.artifact_path("bundle", descriptor.digest))
    ]

def attempt(action, *arguments):
    try:
        action(*arguments)
    except MCPError as error:
        assert error.hint and folder in error.message, error.message
        print(action.__name__, error.code, left())
    else:
        print(action.__name__, "done")

chunks = lambda: iter([data[:70000], data[70000:]])
if rest and rest[0] == "at-once":
    attempt(cache.add_bundle, descriptor, chunks, 1 << 30)
    print(left(), threading.active_count())
    sys.exit()
attempt(cache.add, "bundle", descriptor, chunks, 1 << 30)
if os.path.isfile(cache.artifact_path("bundle", descriptor.digest)):
    attempt(cache.unpack, descriptor.digest)
    attempt(cache.remove, {descriptor.digest})
print(left())
"""


def run(prefix, folder, data, tmp_path, *rest):
    source = tmp_path / "source"
    source.write_bytes(data)
    command = [*prefix, sys.executable, "-c", SCRIPT, folder, source, *rest]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def small(folder, options):
    """A prefix for commands, if this machine lets us mount."""
    try:
        prefix = mounted.tmpfs(folder, options)
        works = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    except (OSError, RuntimeError):
        works = False
    if not works:
        pytest.skip("mounting is not allowed here")
    return prefix


def compressible(size):
    return pack([(regular("f", bytes(size)), bytes(size))])


def test_a_disk_that_gets_full_while_downloading(stored, tmp_path):
    prefix = small(stored.folder, "size=256k")
    lines = run(prefix, stored.folder, os.urandom(1_000_000), tmp_path)
    assert lines == ["add disk-full []", "[]"]


def test_a_disk_that_gets_full_while_unpacking(stored, tmp_path):
    prefix = small(stored.folder, "size=512k")
    lines = run(prefix, stored.folder, compressible(1_000_000), tmp_path)
    assert lines == ["add done", "unpack disk-full []", "remove done", "[]"]


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ("size=256k", os.urandom(1_000_000)),
        ("size=512k", compressible(1_000_000)),
        ("size=400k", compressible(410_000)),
        ("nr_inodes=30", pack_files({str(n): "" for n in range(50)})),
    ],
    ids=["bundle", "tree", "last-write", "files"],
)
def test_a_disk_that_gets_full_while_both_are_under_way(stored, tmp_path, options, data):
    prefix = small(stored.folder, options)
    assert run(prefix, stored.folder, data, tmp_path, "at-once") == ["add_bundle disk-full []", "[] 1"]


def test_a_last_write_that_fits_in_part_is_noticed(stored, tmp_path):
    """A disk that gets full takes the part it has room for, and says so by a number only."""
    prefix = small(stored.folder, "size=400k")
    lines = run(prefix, stored.folder, compressible(410_000), tmp_path)
    assert lines == ["add done", "unpack disk-full []", "remove done", "[]"]


@pytest.mark.parametrize("size", [390_000, 395_000, 400_000, 405_000])
def test_a_tree_for_which_there_is_just_room_is_kept(stored, tmp_path, size):
    """Even if no note can be made of its size."""
    prefix = small(stored.folder, "size=400k")
    lines = run(prefix, stored.folder, compressible(size), tmp_path)
    assert lines == ["add done", "unpack done", "remove done", "[]"]


def test_a_disk_without_room_for_another_file(stored, tmp_path):
    prefix = small(stored.folder, "nr_inodes=30")
    lines = run(prefix, stored.folder, pack_files({str(n): "" for n in range(50)}), tmp_path)
    assert lines == ["add done", "unpack disk-full []", "remove done", "[]"]


def test_a_limit_on_files_is_as_a_full_disk(stored, tmp_path):
    lines = run([], stored.folder, os.urandom(150_000), tmp_path, "small-files")
    assert lines == ["add disk-full []", "[]"]


def test_a_limit_on_files_while_unpacking(stored, tmp_path):
    lines = run([], stored.folder, compressible(150_000), tmp_path, "small-files")
    assert lines == ["add done", "unpack disk-full []", "remove done", "[]"]


def test_a_read_only_disk(stored, tmp_path):
    prefix = small(stored.folder, "ro")
    assert run(prefix, stored.folder, b"data", tmp_path) == ["add cache-unwritable []", "[]"]


def test_a_file_in_the_way(stored, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    assert run([], str(blocked / "cache"), b"data", tmp_path) == ["add cache-unwritable []", "[]"]


READ = """
import os, sys
import mcp_client.cache.inventory, mcp_client.cache.publish
from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings
from mcp_client.errors import MCPError
from mcp_client.reference import parse_reference
from mcp_client.resolution import Descriptor

if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
cache = Cache(CacheSettings(sys.argv[1]))
package = cache.find(parse_reference("a/b@1.0.0"), "https://registry.test")
os.close(cache.hold(package.tree))
print(package.manifest_form, os.listdir(package.tree), cache.resolutions.dialect("https://registry.test"))
cache.resolutions.touch(package.resolution)
cache.resolutions.remember_dialect("https://registry.test", "get")
print(len(cache.entries()), len(cache.resolutions.references()), cache.evict(set()))
bundle = package.resolution.bundle
cache.add("bundle", bundle, lambda: iter([]), 1)
for action in (
    lambda: cache.add("manifest", Descriptor(bundle.digest, "", None), lambda: iter([b""]), 1),
    lambda: cache.resolutions.record(package.resolution, {}),
    lambda: cache.remove({bundle.digest}),
):
    try:
        action()
    except MCPError as error:
        print(error.code)
"""


@pytest.fixture
def public_folder():
    """A folder others may enter; those of pytest are its user's."""
    path = tempfile.mkdtemp()
    os.chmod(path, 0o755)
    yield os.path.join(path, "cache")
    for parent, _, _ in os.walk(path):
        os.chmod(parent, 0o755)
    shutil.rmtree(path)


@pytest.mark.parametrize("journal", ["closed", "left"])
def test_a_cache_that_may_only_be_read_is_read(stored, public_folder, journal):
    """With and without the journal of a writer that was killed."""
    stored.package("a/b@1.0.0")
    stored.cache.resolutions.remember_dialect("https://registry.test", "post")
    if journal == "closed":
        stored.cache.close()
    assert os.path.exists(os.path.join(stored.folder, "metadata.db-wal")) == (journal == "left")
    shutil.copytree(stored.folder, public_folder)
    for parent, _, files in os.walk(public_folder, topdown=False):
        for name in files:
            os.chmod(os.path.join(parent, name), 0o444)
        os.chmod(parent, 0o555)
    run = subprocess.run(
        [sys.executable, "-c", READ, public_folder], capture_output=True, text=True, check=False
    )
    assert run.stderr == ""
    assert run.stdout.splitlines() == [
        "{'name': 'a/b@1.0.0'} ['f'] post",
        "3 1 []",
        *["cache-unwritable"] * 3,
    ]
