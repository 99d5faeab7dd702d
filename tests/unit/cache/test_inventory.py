import os
import subprocess
import sys
import time

import pytest
from kit.bundle import pack_files

from mcp_client.errors import MCPError

OLD = 1_000_000_000.0


def kinds(entries):
    return sorted(entry.kind for entry in entries)


def references(entries):
    return [entry.references[0] for entry in entries]


def in_use(cache, digests):
    with pytest.raises(MCPError) as caught:
        cache.remove(digests)
    assert caught.value.code == "in-use"
    assert caught.value.hint


@pytest.fixture
def three(stored):
    """Packages a, b and c, used in this order long ago."""
    packages = [stored.package(f"test/{name}@1.0.0", size=10_000) for name in "abc"]
    for n, package in enumerate(packages):
        stored.used(package, OLD + n)
    return packages


# -- what is there -----------------------------------------------------------------------------------------


def test_an_empty_cache_has_no_entries(stored):
    assert stored.cache.entries() == []
    assert stored.cache.evict(set()) == []
    assert stored.cache.remove({stored.digest(b"x")}) == []
    assert not os.path.exists(stored.folder)


def test_entries_tell_what_they_are(stored):
    package = stored.package("test/a@1.0.0", size=1000)
    stored.used(package, OLD)
    found = {entry.kind: entry for entry in stored.cache.entries()}
    assert found.keys() == {"manifest", "bundle", "tree"}
    assert found["tree"].size == 1000
    assert found["manifest"].size == len("test/a@1.0.0")
    assert found["bundle"].size == os.path.getsize(f"{found['bundle'].path}/bundle.tar.gz")
    assert found["manifest"].digest == package.manifest.digest
    assert found["tree"].digest == found["bundle"].digest == package.bundle.digest
    assert {entry.references for entry in found.values()} == {("test/a@1.0.0",)}
    assert {entry.used for entry in found.values()} == {OLD}
    assert found["tree"].path == stored.cache.tree_path(package.bundle.digest)


def test_the_entry_used_last_comes_first(stored, three):
    assert references(stored.cache.entries())[::3] == ["test/c@1.0.0", "test/b@1.0.0", "test/a@1.0.0"]


def test_what_several_references_share_was_used_with_the_last_of_them(stored):
    package = stored.package("test/a@1.0.0")
    stored.used(package, OLD)
    again = stored.resolution("test/a@sha:0123456", b"test/a@1.0.0", b"other bundle")
    stored.cache.resolutions.record(again, {})
    stored.used(again, OLD + 5)
    (manifest,) = [entry for entry in stored.cache.entries() if entry.kind == "manifest"]
    assert manifest.references == ("test/a@1.0.0", "test/a@sha:0123456")
    assert manifest.used == OLD + 5


def test_a_tree_without_a_note_of_its_size_is_measured(stored):
    """Its process was killed before it could make one."""
    stored.package("test/a@1.0.0", size=1000)
    stored.cache.database.write("delete from entry where size > ?", [(0,)])
    assert [entry.size for entry in stored.cache.entries() if entry.kind == "tree"] == [1000]


def test_what_no_reference_needs_has_the_time_it_was_stored(stored):
    before = time.time() - 5
    stored.add(b"x")
    (entry,) = stored.cache.entries()
    assert entry.references == ()
    assert before < entry.used < time.time() + 5


def test_what_is_none_of_ours_is_left_alone(stored):
    stored.package("test/a@1.0.0")
    strange = ["x", "sha256:" + "0" * 63, "sha256:" + "G" * 64, "md5:" + "0" * 64, "0" * 64, "\udcff" * 70]
    for name in strange:
        os.mkdir(os.path.join(stored.folder, "trees", name))
    with open(os.path.join(stored.folder, "trees", "sha256:" + "0" * 64), "w"):
        pass
    os.symlink("/etc", os.path.join(stored.folder, "trees", "sha256:" + "1" * 64))
    assert len(stored.cache.entries()) == 3
    assert len(stored.open(max_size=0).evict(set())) == 3
    assert len(os.listdir(os.path.join(stored.folder, "trees"))) == len(strange) + 2


# -- removing ----------------------------------------------------------------------------------------------


def test_removing_takes_all_that_has_the_digest_and_nothing_else(stored, three):
    a = three[0]
    assert kinds(stored.cache.remove({a.bundle.digest})) == ["bundle", "tree"]
    assert kinds(stored.cache.remove({a.manifest.digest})) == ["manifest"]
    assert stored.cache.remove({a.bundle.digest, a.manifest.digest}) == []
    assert set(references(stored.cache.entries())) == {"test/b@1.0.0", "test/c@1.0.0"}
    assert stored.names("staging") == []


def test_a_removed_package_is_not_found_but_remembered(stored, three):
    a = three[0]
    stored.cache.remove({a.bundle.digest})
    assert stored.cache.find(a.reference, a.registry) is None
    assert stored.cache.resolutions.find(a.reference, a.registry).resolution == a


def test_nothing_is_removed_when_one_is_in_use(stored, three):
    a, b, c = three
    everything = {digest for package in three for digest in (package.manifest.digest, package.bundle.digest)}
    held = stored.open().hold(stored.cache.tree_path(b.bundle.digest))
    in_use(stored.cache, everything)
    assert len(stored.cache.entries()) == 9
    assert len(stored.cache.remove({a.bundle.digest, c.bundle.digest})) == 4
    os.close(held)
    assert len(stored.cache.remove(everything)) == 5
    assert stored.names() == []


def test_a_tree_is_held_by_each_of_several_servers(stored):
    package = stored.package("test/a@1.0.0")
    tree = stored.cache.tree_path(package.bundle.digest)
    first, second = stored.cache.hold(tree), stored.cache.hold(tree)
    assert not os.get_inheritable(first)
    os.close(first)
    in_use(stored.cache, {package.bundle.digest})
    os.close(second)
    assert stored.cache.remove({package.bundle.digest})


def test_a_tree_that_is_gone_cannot_be_held(stored):
    package = stored.package("test/a@1.0.0")
    tree = stored.cache.tree_path(package.bundle.digest)
    stored.cache.remove({package.bundle.digest})
    with pytest.raises(MCPError) as caught:
        stored.cache.hold(tree)
    assert caught.value.code == "cache-damaged"
    assert caught.value.hint == "run the same command again"


def test_a_tree_that_is_being_removed_cannot_be_held(stored, monkeypatch):
    """The hold is tried at the one moment when the remover has the lock and has not moved the tree yet."""
    package = stored.package("test/a@1.0.0")
    tree = stored.cache.tree_path(package.bundle.digest)
    codes = []
    rename = os.rename

    def hold_then_rename(source, target):
        if source == tree:
            with pytest.raises(MCPError) as caught:
                stored.open().hold(tree)
            codes.append(caught.value.code)
        rename(source, target)

    monkeypatch.setattr(os, "rename", hold_then_rename)
    stored.cache.remove({package.bundle.digest})
    assert codes == ["cache-damaged"]
    assert stored.names("trees") == []


def test_a_tree_that_was_unpacked_anew_meanwhile_is_not_held_by_its_old_lock(stored, monkeypatch):
    package = stored.package("test/a@1.0.0")
    tree = stored.cache.tree_path(package.bundle.digest)
    flock = __import__("fcntl").flock
    with monkeypatch.context() as patch:

        def replace_then_flock(descriptor, operation):
            patch.undo()
            os.chmod(tree, 0o755)
            os.rename(tree, f"{stored.folder}/elsewhere")
            os.mkdir(tree)
            flock(descriptor, operation)

        patch.setattr("mcp_client.system.flock", replace_then_flock)
        with pytest.raises(MCPError) as caught:
            stored.cache.hold(tree)
    assert caught.value.code == "cache-damaged"
    os.close(stored.cache.hold(tree))


def test_what_another_process_removes_meanwhile_is_not_missed(stored, three, monkeypatch):
    a = three[0]
    entries = stored.cache.entries()
    stored.cache.remove({a.bundle.digest})
    with monkeypatch.context() as patch:
        patch.setattr("mcp_client.cache.inventory.list_entries", lambda cache, **_: entries)
        assert kinds(stored.open().remove({a.bundle.digest, a.manifest.digest})) == ["manifest"]
    # Whatever imports it from there while it is replaced would keep the replacement.
    assert len(stored.open(max_size=0).evict(set())) == 6


# -- evicting ----------------------------------------------------------------------------------------------


def test_nothing_goes_while_there_is_room(stored, three):
    total = sum(entry.size for entry in stored.cache.entries())
    assert stored.open(max_size=total).evict(set()) == []


def test_what_was_used_least_recently_goes_first(stored, three):
    stored.used(three[0], OLD + 10)
    gone = stored.open(max_size=25_000).evict(set())
    assert [(entry.kind, entry.references[0]) for entry in gone] == [
        ("tree", "test/b@1.0.0"),
        ("bundle", "test/b@1.0.0"),
    ]
    assert stored.cache.find(three[0].reference, three[0].registry)
    assert stored.names("staging") == []


def test_a_use_saves_a_package(stored, three):
    stored.cache.resolutions.touch(three[0])
    stored.open(max_size=15_000).evict(set())
    assert stored.cache.find(three[0].reference, three[0].registry)
    assert not stored.cache.find(three[2].reference, three[2].registry)


def test_a_package_that_is_wanted_now_stays_however_large(stored, three):
    keep = {three[0].manifest.digest, three[0].bundle.digest}
    gone = stored.open(max_size=0, ttl=1.0).evict(keep)
    assert set(references(gone)) == {"test/b@1.0.0", "test/c@1.0.0"}
    assert set(references(stored.cache.entries())) == {"test/a@1.0.0"}


def test_a_tree_in_use_stays(stored, three):
    held = stored.open().hold(stored.cache.tree_path(three[0].bundle.digest))
    stored.open(max_size=0).evict(set())
    assert {entry.references[0] for entry in stored.cache.entries()} == {"test/a@1.0.0"}
    assert kinds(stored.cache.entries()) == ["bundle", "tree"], "what proves the tree went without it"
    assert stored.cache.find(three[0].reference, three[0].registry)
    os.close(held)
    stored.open(max_size=0).evict(set())
    assert stored.names() == []


def test_what_nobody_used_for_the_time_to_live_goes(stored, three):
    stored.cache.resolutions.touch(three[1])
    gone = stored.open(ttl=3600.0).evict(set())
    assert set(references(gone)) == {"test/a@1.0.0", "test/c@1.0.0"}
    assert stored.open(ttl=3600.0).evict(set()) == []


def test_without_a_time_to_live_age_does_not_matter(stored, three):
    assert stored.cache.evict(set()) == []


def test_what_another_process_is_pulling_stays(stored):
    """It is stored, and no reference points to it before it is unpacked; later, nobody wants it any more."""
    digest = stored.add(b"a bundle")
    assert stored.open(max_size=0, ttl=0.0).evict(set()) == []
    stored.cache.database.write("update entry set stored = ? where digest = ?", [(OLD, str(digest))])
    assert kinds(stored.open(max_size=0).evict(set())) == ["bundle"]


def test_what_cannot_be_removed_does_not_stop_the_rest(stored, three, monkeypatch):
    stuck = stored.cache.tree_path(three[0].bundle.digest)
    rename = os.rename

    def refuse(source, target):
        if source == stuck:
            raise PermissionError(13, "Permission denied", source)
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    assert len(stored.open(max_size=0).evict(set())) == 8
    assert [entry.path for entry in stored.cache.entries()] == [stuck]


def test_what_is_fetched_again_is_being_pulled_though_an_old_reference_points_to_it(stored, three):
    """Else two processes that pull what both had before would evict each other's for ever."""
    a = three[0]
    stored.cache.remove({a.bundle.digest, a.manifest.digest})
    bundle = pack_files({"f": b"test/a@1.0.0".ljust(10_000, b"x")})
    stored.cache.unpack(stored.add(bundle))
    gone = stored.open(max_size=0).evict(set())
    assert set(references(gone)) == {"test/b@1.0.0", "test/c@1.0.0"}
    assert kinds(stored.cache.entries()) == ["bundle", "tree"]
    stored.cache.resolutions.touch(a)
    assert kinds(stored.open(max_size=0).evict(set())) == ["bundle", "tree"]


EVICT = """
import sys
from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings
cache = Cache(CacheSettings(sys.argv[1], max_size=int(sys.argv[2])))
print("ready", flush=True)
sys.stdin.readline()
print(len(cache.evict(set())))
"""


def test_many_that_evict_at_once_remove_no_more_than_one_would(stored):
    for n in range(12):
        stored.used(stored.package(f"test/p{n}@1.0.0", size=10_000), OLD + n)
    total = sum(entry.size for entry in stored.cache.entries())
    command = [sys.executable, "-c", EVICT, stored.folder, str(total // 2)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(5)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    counts = [int(process.communicate()[0]) for process in processes]
    assert sorted(map(bool, counts)) == [False] * 4 + [True]
    assert total // 3 < sum(entry.size for entry in stored.cache.entries()) <= total // 2


def test_a_bundle_never_outlives_as_a_tree_without_it(stored, three):
    """What proves a tree goes with it, or not at all."""
    for size in range(1, 40_000, 3_000):
        stored.open(max_size=40_000 - size).evict(set())
        found = {
            kind: {e.digest for e in stored.cache.entries() if e.kind == kind} for kind in ("bundle", "tree")
        }
        assert found["bundle"] == found["tree"]
