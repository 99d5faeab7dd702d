import os
import shutil
import subprocess
import sys

import pytest

from mcp_client.errors import MCPError


class Warned(list):
    """A cache of its own over the same folder, and what it warned of."""

    def __init__(self, stored):
        self.cache = stored.open()
        self.cache._warn = self.append


@pytest.fixture
def package(stored):
    return stored.package("test/a@1.0.0", size=1000)


@pytest.fixture
def fresh(stored, package):
    return Warned(stored)


def paths(stored, package):
    digest = package.bundle.digest
    return stored.cache.tree_path(digest), stored.cache.artifact_path("bundle", digest)


def change(tree):
    os.chmod(tree, 0o755)
    path = os.path.join(tree, "f")
    os.unlink(path)
    with open(path, "w") as file:
        file.write("changed")
    os.chmod(path, 0o444)
    os.chmod(tree, 0o555)


def spoil(path):
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.write(b"spoilt")


def read(tree):
    with open(os.path.join(tree, "f")) as file:
        return file.read()


def quarantined(stored):
    return [name.split("-")[2] for name in stored.names("quarantine")]


def find(fresh, package):
    return fresh.cache.find(package.reference, package.registry)


def test_an_untouched_tree_is_not_compared(stored, fresh, package, monkeypatch):
    monkeypatch.setattr("mcp_client.cache.heal.find_difference", pytest.fail)
    assert find(fresh, package)
    assert fresh == []


def test_a_changed_tree_is_unpacked_anew_without_a_registry(stored, fresh, package):
    tree, _ = paths(stored, package)
    change(tree)
    found = find(fresh, package)
    assert read(found.tree).startswith("test/a@1.0.0")
    assert quarantined(stored) == ["tree"]
    assert len(fresh) == 1
    assert "f has 7 bytes instead of 1000" in fresh[0]
    assert "\n" not in fresh[0]
    # Proven once, it is known again.
    assert stored.open().is_noted(package.bundle.digest)
    assert find(Warned(stored), package)


@pytest.mark.parametrize("how", ["emptied", "removed", "a link"])
def test_a_tree_that_is_hardly_there(stored, fresh, package, how, tmp_path):
    tree, _ = paths(stored, package)
    os.chmod(tree, 0o755)
    os.rename(tree, tmp_path / "tree")
    if how == "emptied":
        os.mkdir(tree)
    elif how == "a link":
        os.symlink(tmp_path / "tree", tree)
    found = find(fresh, package)
    assert not os.path.islink(found.tree)
    assert read(found.tree).startswith("test/a@1.0.0")
    assert len(fresh) == len(quarantined(stored)) == (how != "removed")


def test_a_copied_cache_is_proven_once_and_warns_of_nothing(stored, package, tmp_path):
    tree, _ = paths(stored, package)
    stored.cache.close()
    shutil.move(stored.folder, tmp_path / "old")
    subprocess.run(["cp", "-R", tmp_path / "old", stored.folder], check=True)
    fresh = Warned(stored)
    assert not fresh.cache.is_noted(package.bundle.digest)
    assert find(fresh, package).tree == tree
    assert fresh == []
    assert quarantined(stored) == []
    assert stored.open().is_noted(package.bundle.digest)


def test_a_tree_whose_note_was_never_made_is_proven(stored, fresh, package):
    """Its process was killed between the rename and the note."""
    stored.cache.database.write("delete from entry where size > ?", [(0,)])
    assert find(fresh, package)
    assert stored.open().is_noted(package.bundle.digest)


def test_a_root_left_open_by_a_removal_that_failed_is_closed(stored, fresh, package):
    tree, _ = paths(stored, package)
    os.chmod(tree, 0o755)
    assert find(fresh, package)
    assert os.stat(tree).st_mode & 0o7777 == 0o555
    assert fresh == []
    assert stored.open().is_noted(package.bundle.digest)


def test_without_an_intact_bundle_only_a_download_helps(stored, fresh, package):
    tree, archive = paths(stored, package)
    change(tree)
    spoil(archive)
    assert find(fresh, package) is None
    assert quarantined(stored) == ["bundle"]
    assert "damaged" in fresh.cache.doubts[package.bundle.digest]
    # The bundle comes back; the tree is proven by it, and replaced.
    with open(os.path.join(stored.folder, stored.names("quarantine")[0], "bundle.tar.gz"), "rb") as file:
        data = b"\x1f\x8b\x08\x00\x00\x00" + file.read()[6:]
    assert stored.add(data) == package.bundle.digest
    fresh.cache.unpack(package.bundle.digest)
    assert sorted(quarantined(stored)) == ["bundle", "tree"]
    assert read(find(fresh, package).tree).startswith("test/a@1.0.0")


def test_a_whole_tree_is_kept_until_its_bundle_is_back(stored, fresh, package):
    """A copied cache without its bundles: nothing is thrown away that the next download proves."""
    tree, archive = paths(stored, package)
    with open(archive, "rb") as file:
        data = file.read()
    shutil.rmtree(os.path.dirname(archive))
    stored.cache.database.write("update entry set identity = ? where kind = 'tree'", [("",)])
    inode = os.stat(tree).st_ino
    assert find(fresh, package) is None
    stored.add(data)
    assert fresh.cache.unpack(package.bundle.digest) == tree
    assert os.stat(tree).st_ino == inode
    assert quarantined(stored) == []
    assert fresh == []


def test_a_file_that_was_named_is_watched_from_then_on(stored, fresh, package):
    digest = package.bundle.digest
    for name in ("deep/er/main.py", "deep/other.py"):
        fresh.cache.watch(digest, [name])
    lines = fresh.cache.database.select("select identity from entry where kind = 'tree'")[0][0].splitlines()
    assert {"deep/er/main.py", "deep/other.py", "f"} <= {line.split(" ", 5)[5] for line in lines}
    assert fresh.cache.is_noted(digest)


PROVE = """
import sys
from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest
cache = Cache(CacheSettings(sys.argv[1]), print)
digest = Digest(sys.argv[2])
sys.stdin.readline()
assert cache._restore(digest) or cache.is_noted(digest)
assert cache.is_noted(digest)
"""


def test_many_that_find_the_same_damage_mend_it_once(stored, package):
    tree, _ = paths(stored, package)
    change(tree)
    command = [sys.executable, "-c", PROVE, stored.folder, package.bundle.digest.hex]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(6)]
    said = [process.communicate("go\n")[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6
    assert sum("was changed" in text for text in said) == 1
    assert quarantined(stored) == ["tree"]
    assert read(tree).startswith("test/a@1.0.0")


# -- where nothing may be written --------------------------------------------------------------------------


@pytest.fixture
def read_only(fresh, monkeypatch):
    """What a cache of another user is like; root may write anywhere, so it is said here."""
    monkeypatch.setattr(type(fresh.cache), "writable", False)
    monkeypatch.setattr("mcp_client.cache.heal.quarantine", pytest.fail)
    return fresh


def test_a_faithful_copy_passes_where_nothing_may_be_written(stored, read_only, package, monkeypatch):
    tree, _ = paths(stored, package)
    os.chmod(tree, 0o755)
    os.chmod(tree, 0o555)
    monkeypatch.setattr("mcp_client.cache.heal.find_difference", pytest.fail)
    assert find(read_only, package)


def test_another_one_is_proven_each_time(stored, read_only, package):
    tree, _ = paths(stored, package)
    os.utime(os.path.join(tree, "f"), (5, 5))
    assert find(read_only, package)
    assert not read_only.cache.is_noted(package.bundle.digest)


@pytest.mark.parametrize("bundle", ["intact", "spoilt", "gone"])
def test_damage_is_told_where_nothing_may_be_written(stored, read_only, package, bundle):
    tree, archive = paths(stored, package)
    change(tree)
    if bundle == "spoilt":
        spoil(archive)
    elif bundle == "gone":
        shutil.rmtree(os.path.dirname(archive))
    with pytest.raises(MCPError) as caught:
        find(read_only, package)
    assert caught.value.code == "cache-damaged"
    assert "mcp cache verify" in caught.value.hint
    assert read(tree) == "changed"


# -- verify ------------------------------------------------------------------------------------------------


def verify(fresh):
    seen = []
    found = {f.entry.kind: f for f in fresh.cache.verify(fresh.cache.entries(), seen.append)}
    assert len(seen) == 3
    return found


def test_everything_is_whole(fresh):
    assert {kind: finding.state for kind, finding in verify(fresh).items()} == dict.fromkeys(
        ("manifest", "bundle", "tree"), "whole"
    )


def test_what_is_damaged_goes_to_the_quarantine(stored, fresh, package):
    tree, _ = paths(stored, package)
    spoil(stored.cache.artifact_path("manifest", package.manifest.digest))
    change(tree)
    found = verify(fresh)
    assert {kind: finding.state for kind, finding in found.items()} == {
        "manifest": "damaged",
        "bundle": "whole",
        "tree": "damaged",
    }
    assert sorted(quarantined(stored)) == ["manifest", "tree"]
    assert all(os.path.isdir(found[kind].moved) for kind in ("manifest", "tree"))
    assert [entry.kind for entry in fresh.cache.entries()] == ["bundle"]


def test_a_change_that_a_run_does_not_notice_is_found(stored, fresh, package):
    tree, _ = paths(stored, package)
    change(tree)
    fresh.cache.note_tree(package.bundle.digest)
    assert fresh.cache.is_noted(package.bundle.digest)
    assert verify(fresh)["tree"].state == "damaged"


def test_a_tree_without_its_bundle_cannot_be_proven_and_stays(stored, fresh, package):
    tree, archive = paths(stored, package)
    spoil(archive)
    found = verify(fresh)
    assert (found["bundle"].state, found["tree"].state) == ("damaged", "unproven")
    assert os.path.isdir(tree)
    assert quarantined(stored) == ["bundle"]


def test_a_proven_copy_is_noted(stored, fresh, package):
    stored.cache.database.write("update entry set identity = ? where kind = 'tree'", [("",)])
    assert verify(fresh)["tree"].state == "whole"
    assert fresh.cache.is_noted(package.bundle.digest)


def test_nothing_is_moved_where_nothing_may_be_written(stored, read_only, package):
    change(paths(stored, package)[0])
    finding = verify(read_only)["tree"]
    assert (finding.state, finding.moved) == ("damaged", None)


def test_what_is_removed_meanwhile_is_not_damage(stored, fresh, package):
    entries = fresh.cache.entries()
    stored.cache.remove({package.manifest.digest, package.bundle.digest})
    assert list(fresh.cache.verify(entries)) == []


def test_a_bundle_that_is_evicted_just_before_it_is_unpacked_again_is_fetched(
    stored, fresh, package, monkeypatch
):
    """Another process makes room between the proof of the bundle and its use; the run does not fail."""
    change(paths(stored, package)[0])
    publish = __import__("mcp_client.cache.publish", fromlist=["publish_tree"]).publish_tree

    def evict_then_publish(folder, archive, *rest):
        shutil.rmtree(os.path.dirname(archive))
        return publish(folder, archive, *rest)

    monkeypatch.setattr("mcp_client.cache.publish.publish_tree", evict_then_publish)
    assert find(fresh, package) is None
    assert "removed" in fresh.cache.doubts[package.bundle.digest]
