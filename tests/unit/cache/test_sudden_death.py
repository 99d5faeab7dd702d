"""kill -9 at any moment leaves nothing or a whole entry, and the next writer sweeps what was begun."""

import hashlib
import os
import random
import subprocess
import sys
import time

from kit.bundle import pack_files

FILES = {f"d{n}/f{n}": str(n) * 500 for n in range(60)}
BUNDLES = {f"{n}.tar.gz": pack_files({"number": str(n), **FILES}) for n in range(4)}

WORK = """
import itertools, os, sys
from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest
from mcp_client.resolution import Descriptor
import hashlib
import mcp_client.cache.inventory, mcp_client.cache.publish

folder, sources = sys.argv[1:]
cache = Cache(CacheSettings(folder))
print("ready", flush=True)
while True:
    for name in sorted(os.listdir(sources)):
        with open(os.path.join(sources, name), "rb") as file:
            data = file.read()
        descriptor = Descriptor(Digest(hashlib.sha256(data).hexdigest()), "", None)
        pieces = [data[at:at + 500] for at in range(0, len(data), 500)]
        cache.add_bundle(descriptor, lambda: iter(pieces), 10_000_000)
    for entry in cache.entries():
        cache.remove({entry.digest})
"""


def is_whole(tree):
    found = {}
    for parent, _, files in os.walk(tree):
        for name in files:
            path = os.path.join(parent, name)
            with open(path) as file:
                found[os.path.relpath(path, tree)] = file.read()
    number = found.pop("number", None)
    return (
        number is not None
        and found == FILES
        and os.path.basename(tree) == f"sha256-{hashlib.sha256(BUNDLES[f'{number}.tar.gz']).hexdigest()}"
    )


def test_a_kill_at_any_moment_leaves_whole_entries_only(stored, tmp_path):
    sources = tmp_path / "sources"
    sources.mkdir()
    for name, data in BUNDLES.items():
        (sources / name).write_bytes(data)
    leftovers = 0
    for _ in range(30):
        with subprocess.Popen(
            [sys.executable, "-c", WORK, stored.folder, sources], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(random.uniform(0, 0.15))
            process.kill()
        for name in stored.names("bundles"):
            with open(os.path.join(stored.folder, name, "bundle.tar.gz"), "rb") as file:
                assert f"bundles/sha256:{hashlib.sha256(file.read()).hexdigest()}" == name
        for name in stored.names("trees"):
            assert is_whole(os.path.join(stored.folder, name)), name
        leftovers += len(stored.names("staging"))
        stored.cache.entries()
    assert leftovers, "no kill came at a moment that matters"
    stored.add(os.urandom(8))
    assert stored.names("staging") == []


def test_the_next_writer_sweeps_what_is_nobodys(stored):
    """Read-only trees and folders without a right to them included; what somebody works on stays."""
    left = os.path.join(stored.folder, "staging", "left")
    os.makedirs(os.path.join(left, "tree", "d"))
    for path in ("tree/f", "tree/d/g"):
        with open(os.path.join(left, path), "w"):
            pass
    os.symlink("/etc", os.path.join(left, "tree", "link"))
    for path in ("tree/d", "tree"):
        os.chmod(os.path.join(left, path), 0o555)
    during = []

    def chunks():
        during.extend(stored.names("staging"))
        stored.open().add("manifest", stored.descriptor(b"other"), lambda: iter([b"other"]), 100)
        during.extend(stored.names("staging"))
        yield b"data"

    stored.cache.add("bundle", stored.descriptor(b"data"), chunks, 100)
    assert len(during) == 2
    assert during[0] == during[1] != "staging/left"
    assert stored.names("staging") == []
    assert os.path.isdir("/etc")
