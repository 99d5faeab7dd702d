"""A cache that others only read, disks that are full, and packages that vanish at the wrong moment."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from kit import folder as registry_folder
from kit import mounted, programs
from kit.bundle import manifest_form, pack_files, package
from kit.command import Mcp, Result, refused
from kit.faults import WHOLE
from kit.registry import Registry

from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings

REFERENCE = programs.single().reference


def sealed(folder: str) -> None:
    """Take away every right to write, as an operator who copies, or a read-only mount, does."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = os.path.join(parent, name)
            os.chmod(path, os.stat(path).st_mode & 0o555 | 0o444)
        os.chmod(parent, 0o555)


def opened(folder: str) -> None:
    for parent, _, _ in os.walk(folder):
        os.chmod(parent, 0o755)


class Shared:
    """A cache that was pulled into, and a user with a home of his own who may not write it."""

    def __init__(self, folder: str, registry: str) -> None:
        self.cache = os.path.join(folder, "mcp-cache")
        self.operator = Mcp(os.path.join(folder, "operator"), registry)
        self.user = Mcp(os.path.join(folder, "user"), registry)
        for one in (self.operator, self.user):
            one.env["MCP_CACHE_DIR"] = self.cache

    def run(self, *arguments: str) -> Result:
        """``mcp`` as the user; root is without the right that makes modes mean nothing (capabilities(7))."""
        powerless = ["setpriv", "--bounding-set=-dac_override", "--"] if os.geteuid() == 0 else []
        return self.user.run(*arguments, prefix=powerless)


@pytest.fixture
def shared(registry: Registry, tmp_path: os.PathLike[str]) -> Iterator[Shared]:
    registry.publish(programs.single())
    made = Shared(str(tmp_path), registry.url)
    pulled = made.operator.run("pull", REFERENCE)
    assert pulled.status == 0, pulled
    yield made
    opened(str(tmp_path))


def test_a_shared_cache_serves_those_who_may_only_read_it(shared: Shared, registry: Registry) -> None:
    registry.close()
    sealed(shared.cache)
    before = {path: os.lstat(path).st_mtime_ns for path in tree_of(shared.cache)}
    for _ in range(2):
        ran = shared.run("run", REFERENCE, "--", "leave", "3")
        assert ran.status == 3, ran
        assert "warning" not in ran.stderr
    listed = shared.run("cache", "ls", "--json")
    assert len(json.loads(listed.stdout)["result"]["entries"]) == 3
    assert shared.run("cache", "verify").status == 0
    assert {path: os.lstat(path).st_mtime_ns for path in tree_of(shared.cache)} == before


def test_what_is_missing_there_is_told_with_what_to_do(shared: Shared, registry: Registry) -> None:
    registry.publish(programs.forking())
    sealed(shared.cache)
    missing = shared.run("run", programs.forking().reference, "--", "leave", "3")
    refused(missing, "cache-unwritable")
    assert "MCP_CACHE_DIR" in str(missing.hint)
    removed = shared.run("cache", "rm", REFERENCE)
    assert (removed.status, removed.code) == (1, "cache-unwritable")


def test_a_faithful_copy_of_a_shared_cache_runs(shared: Shared) -> None:
    subprocess.run(["cp", "-a", shared.cache, f"{shared.cache}.copy"], check=True)
    sealed(f"{shared.cache}.copy")
    shared.user.env["MCP_CACHE_DIR"] = f"{shared.cache}.copy"
    assert shared.run("run", REFERENCE, "--", "leave", "3").status == 3


def test_a_changed_tree_of_a_shared_cache_does_not_run(shared: Shared) -> None:
    (tree,) = (os.path.join(shared.cache, "trees", name) for name in os.listdir(f"{shared.cache}/trees"))
    opened(tree)
    os.chmod(os.path.join(tree, "main.py"), 0o644)
    with open(os.path.join(tree, "main.py"), "a") as file:
        file.write("print('changed')")
    sealed(shared.cache)
    result = shared.run("run", REFERENCE, "--", "leave", "3")
    refused(result, "cache-damaged")
    assert "mcp cache verify" in str(result.hint)


def test_a_cache_on_a_read_only_medium(mcp: Mcp, registry: Registry, tmp_path: os.PathLike[str]) -> None:
    """Nobody can write there, root neither: a layer of an image, a squashfs, a bind mount."""
    registry.publish(programs.single())
    assert mcp.run("pull", REFERENCE).status == 0
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    inside = mounted.tmpfs(str(tmp_path / "unused"), "size=64k")
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode or os.geteuid():
        pytest.skip("mounting is not allowed here")
    prefix = [*inside, "sh", "-c", script, "sh", mcp.cache]
    ran = mcp.run("run", REFERENCE, "--", "leave", "3", prefix=prefix)
    assert ran.status == 3, ran
    registry.publish(programs.forking())
    refused(mcp.run("run", programs.forking().reference, prefix=prefix), "cache-unwritable")


def tree_of(folder: str) -> list[str]:
    return [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in ["", *names]]


# -- vanishing ---------------------------------------------------------------------------------------------


def test_a_package_that_is_evicted_just_before_it_is_held_is_fetched_again(
    mcp: Mcp, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp_client.acquire import acquire, hold_package
    from mcp_client.app import App
    from mcp_client.reference import parse_reference

    registry.publish(programs.single())
    for name in ("MCP_HOME", "MCP_REGISTRY_URL"):
        monkeypatch.setenv(name, mcp.env[name])
    app = App()
    hold, times = Cache.hold, []

    def remove_then_hold(cache: Cache, tree: str) -> int:
        times.append(tree)
        if len(times) <= 2:
            other = Cache(CacheSettings(mcp.cache, max_size=1))
            assert other.evict(set())
            other.close()
        return hold(cache, tree)

    monkeypatch.setattr(Cache, "hold", remove_then_hold)
    package, descriptor = hold_package(app, lambda: acquire(app, parse_reference(REFERENCE)))
    assert os.path.isdir(package.tree)
    os.close(descriptor)
    app.close()
    assert len(times) == 3
    assert len(registry.requests("bundle")) == 3


def test_it_gives_up_when_somebody_removes_it_each_time(
    mcp: Mcp, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp_client.acquire import acquire, hold_package
    from mcp_client.app import App
    from mcp_client.errors import MCPError
    from mcp_client.reference import parse_reference

    registry.publish(programs.single())
    for name in ("MCP_HOME", "MCP_REGISTRY_URL"):
        monkeypatch.setenv(name, mcp.env[name])

    def gone(_cache: Cache, _tree: str) -> int:
        raise MCPError("cache-damaged", "gone", hint="run the same command again")

    monkeypatch.setattr(Cache, "hold", gone)
    app = App()
    with pytest.raises(MCPError) as caught:
        hold_package(app, lambda: acquire(app, parse_reference(REFERENCE)))
    assert caught.value.code == "cache-damaged"
    app.close()


# -- in the way --------------------------------------------------------------------------------------------


def test_a_lock_that_cannot_be_made(mcp: Mcp, registry: Registry) -> None:
    registry.publish(programs.single())
    os.makedirs(mcp.cache)
    with open(os.path.join(mcp.cache, "locks"), "w"):
        pass
    result = mcp.run("pull", REFERENCE)
    assert (result.status, result.code) == (1, "cache-unwritable")
    assert "locks" in result.message
    os.unlink(os.path.join(mcp.cache, "locks"))
    assert mcp.run("pull", REFERENCE).status == 0


def test_a_staging_folder_that_cannot_be_removed(mcp: Mcp, registry: Registry) -> None:
    """A mount point, as a leftover of a container: it stays, and nobody minds."""
    registry.publish(programs.single())
    left = os.path.join(mcp.cache, "staging", "left")
    prefix = mounted.tmpfs(os.path.join(left, "mounted"), "size=64k")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    assert mcp.run("pull", REFERENCE, prefix=prefix).status == 0
    assert mcp.cached("staging") == ["staging/left"]
    assert mcp.run("cache", "rm", REFERENCE).status == 0
    assert mcp.run("pull", REFERENCE).status == 0
    assert mcp.cached("staging") == []


# -- a disk that is really full ----------------------------------------------------------------------------

ON_A_SMALL_DISK = """
"$1" pull "$2"; echo "small $?"
mount -o remount,size=16m "$3"
"$1" pull "$2" >/dev/null && "$1" cache verify >/dev/null; echo "large $?"
ls "$3/cache/staging" | wc -l
"""


@pytest.mark.parametrize("size", range(16, 640, 8) if WHOLE else (48, 96, 160, 320, 1024))
def test_a_disk_of_any_size(mcp: Mcp, tmp_path: os.PathLike[str], size: int) -> None:
    """The pull succeeds or says that the disk is full, and succeeds when there is room."""
    bundle = pack_files({f"{n}": os.urandom(9000) for n in range(12)})
    url = registry_folder.publish(
        f"{tmp_path}/registry", package(manifest_form("test/some@1.0.0", "python3", "${bundle}/0"), bundle)
    )
    prefix = mounted.tmpfs(mcp.home, f"size={size}k")
    script = ["sh", "-c", ON_A_SMALL_DISK, "sh"]
    if os.geteuid() or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    executable = os.path.join(os.path.dirname(sys.executable), "mcp")
    done = subprocess.run(
        [*prefix, *script, executable, "test/some@1.0.0", mcp.home],
        env={**mcp.env, "MCP_REGISTRY_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout.split()
    assert "Traceback" not in done.stderr
    assert said[-3:-1] == ["large", "0"], done
    assert said[-1] == "0"
    small = said[said.index("small") + 1]
    assert small == "0" or "error[disk-full]" in done.stderr, done
    assert small == "0" or size < 448, "there was room"
