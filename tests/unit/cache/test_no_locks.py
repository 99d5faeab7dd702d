"""File systems on which flock(2) and fcntl(2) lock nothing: some NFS, SMB, 9p and FUSE mounts, by a shim."""

import errno
import os
import subprocess
import sys

import pytest
from kit import faults

SCRIPT = """
import os, sys, time
from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings
from mcp_client.errors import MCPError
from mcp_client.reference import parse_reference
from mcp_client.resolution import Descriptor

cache = Cache(CacheSettings(sys.argv[1]), print)
package = cache.find(parse_reference("a/b@1.0.0"), "https://registry.test")
if package is None:
    print("nothing")
else:
    started = time.monotonic()
    os.close(cache.hold(package.tree))
    cache.resolutions.touch(package.resolution)
    print(os.listdir(package.tree), len(cache.entries()))
for action in (
    lambda: cache.add("manifest", package.resolution.bundle, lambda: iter([b""]), 1),
    lambda: cache.remove({package.resolution.bundle.digest}),
    lambda: cache.resolutions.record(package.resolution, {}),
) if package else (lambda: cache.database.write("delete from dialect", [()]),):
    try:
        action()
    except MCPError as error:
        print(error.code, "|", error.message, "|", error.hint)
print(cache.evict(set()))
"""
NUMBERS = [errno.ENOLCK, errno.EOPNOTSUPP]


def run(folder, number):
    environment = {
        **os.environ,
        "LD_PRELOAD": faults.shim(),
        "FAULT_FOLDER": folder,
        "FAULT_LOCKS": str(int(number)),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: errno.errorcode[number])
def test_what_is_cached_runs_and_nothing_is_written(stored, number):
    stored.package("a/b@1.0.0")
    stored.cache.close()
    before = stored.names()
    first, *refusals, last = run(stored.folder, number)
    assert first == "['f'] 3"
    assert len(refusals) == 3
    assert all(line.startswith("cache-unwritable") for line in refusals)
    assert "no locks that work" in refusals[0]
    assert "local disk" in refusals[0]
    assert last == "[]"
    assert stored.names() == before
    assert not [name for name in os.listdir(stored.folder) if "damaged" in name]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: errno.errorcode[number])
def test_an_empty_cache_stays_one(stored, number):
    os.makedirs(stored.folder)
    nothing, refusal, last = run(stored.folder, number)
    assert nothing == "nothing"
    assert refusal.startswith("cache-unwritable")
    assert last == "[]"
    # What the attempt left is no damage to whoever comes next, here or on the server's own disk.
    assert run(stored.folder, number) == [nothing, refusal, last]
    stored.package("a/b@1.0.0")
