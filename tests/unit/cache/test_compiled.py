"""What is compiled of a tree: who makes it, by what it is known, how much room it takes, when it goes."""

import os
import time

import pytest
from kit.bundle import pack_files

from mcp_client.cache.compiled import (
    claim_compilation,
    compiled_folder,
    find_compiled,
    postpone_compilation,
)
from mcp_client.cache.compiled_publish import (
    content_digest,
    double_tree,
    find_change,
    new_form,
    own_size,
    publish_form,
)

KEY, OTHER = "python-one", "python-two"
FILES = {f"d{n}/file": f"{n}" * 100 for n in range(20)}


@pytest.fixture
def digest(stored):
    data = pack_files(FILES)
    stored.add_bundle(data)
    return stored.digest(data)


def publish(stored, digest, key=KEY, added=b"compiled"):
    with new_form(stored.cache) as form:
        double_tree(stored.cache, digest, form, 1 << 20)
        assert form.add_file("added", added)
        return publish_form(stored.cache, digest, key, form)


def found(stored, digest, key=KEY):
    """The folder that is there; and lets go of it."""
    answer = find_compiled(stored.cache, digest, key)
    if answer.folder is not None:
        os.close(answer.hold)
    return answer.folder


def test_nothing_is_there_at_first(stored, digest):
    assert find_compiled(stored.cache, digest, KEY) == (None, -1, True)


def test_what_was_published_is_found_for_its_key_only(stored, digest):
    folder = publish(stored, digest)
    assert found(stored, digest) == folder
    assert find_compiled(stored.cache, digest, OTHER) == (None, -1, True)
    other = pack_files({"f": "other"})
    stored.add_bundle(other)
    assert found(stored, stored.digest(other)) is None


def test_a_double_is_the_tree_and_takes_no_room(stored, digest):
    folder = publish(stored, digest)
    tree = stored.cache.tree_path(digest)
    for path, content in FILES.items():
        with open(os.path.join(folder, path)) as file:
            assert file.read() == content
        one, two = (os.lstat(os.path.join(place, path)) for place in (tree, folder))
        assert (one.st_mode, one.st_mtime_ns) == (two.st_mode, two.st_mtime_ns)
    watched = [path for path in FILES if os.lstat(os.path.join(tree, path)).st_nlink == 1]
    assert own_size(folder) == 8 + 100 * len(watched)
    (entry,) = (entry for entry in stored.cache.entries() if entry.kind == "compiled")
    assert entry.size == own_size(folder)
    assert stored.cache.is_noted(digest)


def test_more_than_may_be_copied_is_not(stored):
    data = pack_files({"large": "x" * 1000})
    stored.add_bundle(data)
    with new_form(stored.cache) as form, pytest.raises(OSError, match="too large"):
        double_tree(stored.cache, stored.digest(data), form, 100)
    assert stored.names("compiled", "staging") == []


@pytest.mark.parametrize("change", ["rename", "write", "mode", "remove", "add"])
def test_a_touched_one_is_not_used(stored, digest, change):
    folder = publish(stored, digest)
    os.chmod(folder, 0o755)
    place = os.path.join(folder, "added")
    if change == "rename":
        os.rename(place, f"{place}.old")
    elif change == "write":
        os.chmod(place, 0o644)
        with open(place, "wb") as file:
            file.write(b"evil")
    elif change == "mode":
        os.chmod(place, 0o666)
    elif change == "remove":
        os.unlink(place)
    else:
        open(f"{folder}/new", "w").close()
    os.chmod(folder, 0o555)
    assert found(stored, digest) is None
    assert find_change(stored.cache, digest) is not None
    # It can be had again, in the place of the old one.
    assert publish(stored, digest) == folder
    assert found(stored, digest) == folder
    assert find_change(stored.cache, digest) is None


def test_one_in_use_is_not_replaced(stored, digest):
    folder = publish(stored, digest)
    before = content_digest(folder)
    used = find_compiled(stored.cache, digest, KEY)
    assert publish(stored, digest, added=b"another") is None
    assert content_digest(folder) == before
    # Another one beside it harms nobody.
    assert publish(stored, digest, OTHER) is not None
    os.close(used.hold)
    assert publish(stored, digest, added=b"another") == folder
    assert content_digest(folder) != before


def test_the_oldest_of_many_goes(stored, digest):
    for number in range(6):
        folder = publish(stored, digest, f"python-{number}")
        os.utime(folder, (number, number))
    names = sorted(os.listdir(compiled_folder(stored.cache, digest)))
    assert names == [f"python-{number}" for number in range(2, 6)]
    assert found(stored, digest, "python-0") is None
    assert find_compiled(stored.cache, digest, "python-0").wanted


def test_one_process_of_all_has_the_claim(stored, digest):
    other = stored.open()
    assert claim_compilation(stored.cache, digest, KEY)
    assert not claim_compilation(other, digest, KEY)
    assert not find_compiled(other, digest, KEY).wanted
    assert claim_compilation(other, digest, OTHER)
    postpone_compilation(stored.cache, digest, KEY, 0)
    assert find_compiled(other, digest, KEY).wanted
    assert claim_compilation(other, digest, KEY)


def test_a_failure_is_not_tried_again_at_once(stored, digest, monkeypatch):
    assert claim_compilation(stored.cache, digest, KEY)
    postpone_compilation(stored.cache, digest, KEY, 1000)
    assert not find_compiled(stored.cache, digest, KEY).wanted
    assert not claim_compilation(stored.cache, digest, KEY)
    later = time.time() + 1001
    monkeypatch.setattr(time, "time", lambda: later)
    assert find_compiled(stored.cache, digest, KEY).wanted
    assert claim_compilation(stored.cache, digest, KEY)


def test_a_cache_that_cannot_be_written_claims_nothing(stored, digest, monkeypatch):
    monkeypatch.setattr(stored.cache, "database", stored.open().database)
    monkeypatch.setattr(type(stored.cache.database), "write", _refuse)
    assert not claim_compilation(stored.cache, digest, KEY)


def _refuse(*_args, **_options):
    from mcp_client.errors import MCPError

    raise MCPError("cache-unwritable", "no", hint="none")


def test_it_goes_with_its_tree(stored, digest):
    publish(stored, digest)
    removed = {entry.kind for entry in stored.cache.remove({digest})}
    assert removed == {"bundle", "tree", "compiled"}
    assert stored.names("compiled", "trees", "bundles", "staging") == []
    assert stored.cache.database.select("select * from compiled") == []


def test_eviction_takes_it_with_its_tree(stored):
    stored.package("test/old@1.0.0")
    data = pack_files({"f": b"test/old@1.0.0".ljust(1000, b"x")})
    publish(stored, stored.digest(data))
    small = stored.open(max_size=1)
    later = time.time() + 7200
    stored.cache.database.write("update resolution set used = ?", [(later - 3600,)])
    gone = {entry.kind for entry in small.evict(set())}
    assert gone >= {"bundle", "tree", "compiled"}
    assert stored.names("compiled", "trees") == []


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_what_is_no_file_is_not_replaced(stored, kind):
    with new_form(stored.cache) as form:
        place = os.path.join(form.folder, "x")
        {
            "folder": lambda: os.mkdir(place),
            "link": lambda: os.symlink("/etc/passwd", place),
            "pipe": lambda: os.mkfifo(place),
        }[kind]()
        before = os.lstat(place).st_ino
        assert not form.add_file("x", b"data")
        assert os.lstat(place).st_ino == before
        assert form.make_folder("x") == (kind == "folder")


def test_a_linked_file_is_left_and_not_written(stored):
    with new_form(stored.cache) as form:
        original = os.path.join(stored.folder, "original")
        with open(original, "w") as file:
            file.write("keep")
        os.link(original, os.path.join(form.folder, "x"))
        assert form.add_file("x", b"new")
        with open(original) as file:
            assert file.read() == "keep"
