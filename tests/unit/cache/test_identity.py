import os
import shutil
import time

import pytest
from kit.bundle import link, pack, regular

from mcp_client.cache.identity import identify, is_copy, is_same, named_in

DEEP = "a/b/c/d/main.py"


@pytest.fixture
def tree(stored):
    """A tree with more on its first levels than is watched, and an entrypoint deep down."""
    members = [regular(f"f{n:02}", b"content") for n in range(3)]
    members += [(regular(DEEP, b"print()"), b"print()")]
    members = [member if isinstance(member, tuple) else (member, b"content") for member in members]
    members += [(link("link", "a"), b""), *((regular(f"z/{n}", b"x"), b"x") for n in range(40))]
    return stored.cache.unpack(stored.add(pack(members)))


@pytest.fixture
def identity(tree):
    """Taken of a tree that is older than a tick of the file system's clock."""
    time.sleep(0.01)
    return identify(tree, [DEEP])


def write(path, data="changed"):
    os.chmod(path, 0o644)
    with open(path, "w") as file:
        file.write(data)
    os.chmod(path, 0o444)


def open_folder(path):
    os.chmod(path, 0o755)
    return path


def test_an_untouched_tree_is_the_same(tree, identity):
    with open(os.path.join(tree, DEEP)) as file:
        file.read()
    assert is_same(tree, identity)
    assert not is_same(tree, "")


def test_the_root_what_is_nearest_and_what_was_named_is_watched(identity):
    places = named_in(identity)
    assert places[:7] == ["", "a", "f00", "f01", "f02", "link", "z"]
    assert {DEEP, "a/b/c/d", "a/b/c"} <= set(places)
    assert len(places) < 20


def test_few_places_are_watched_whatever_is_named(tree):
    assert len(named_in(identify(tree, [f"z/{n}" for n in range(1000)]))) <= 64


def test_what_leads_out_is_not_watched(tree):
    places = named_in(identify(tree, ["../x", "/etc/passwd", ".", "", "z/../../x", "z/./1", "a\0b"]))
    assert not [place for place in places if place.startswith(("..", "/"))]
    assert "z/1" in places


def emptied(tree):
    for name in os.listdir(open_folder(tree)):
        path = os.path.join(tree, name)
        if os.path.isdir(path) and not os.path.islink(path):
            for parent, _, _ in os.walk(path):
                os.chmod(parent, 0o755)
            shutil.rmtree(path)
        else:
            os.unlink(path)
    os.chmod(tree, 0o555)


CHANGES = {
    "emptied": emptied,
    "a file added": lambda tree: write_new(open_folder(tree)),
    "a file rewritten in place": lambda tree: write(os.path.join(tree, "f01")),
    "the same bytes again": lambda tree: write(os.path.join(tree, "f01"), "content"),
    "the entrypoint": lambda tree: write(os.path.join(tree, DEEP), "print()"),
    "beside the entrypoint": lambda tree: write_new(open_folder(os.path.join(tree, "a/b/c/d"))),
    "a mode": lambda tree: os.chmod(os.path.join(tree, "f02"), 0o555),
    "a time": lambda tree: os.utime(os.path.join(tree, "f02"), (1, 1)),
    "in a folder of the first level": lambda tree: os.unlink(os.path.join(open_folder(f"{tree}/z"), "7")),
    "replaced by a link": lambda tree: (shutil.move(tree, f"{tree}.old"), os.symlink(f"{tree}.old", tree)),
    "gone": lambda tree: shutil.move(tree, f"{tree}.old"),
}


def write_new(folder):
    with open(os.path.join(folder, "new"), "w"):
        pass


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_at_a_watched_place_is_noticed(tree, identity, change):
    os.chmod(os.path.dirname(tree), 0o755)
    change(tree)
    assert not is_same(tree, identity)


def test_a_file_deep_down_is_not_watched(tree, identity):
    """What is documented as not noticed: 'mcp cache verify' is for that."""
    write(os.path.join(tree, "z", "39"))
    assert is_same(tree, identity)


def test_a_copy_is_not_the_same_but_looks_like_it(tree, identity):
    shutil.copytree(tree, f"{tree}.copy", symlinks=True)
    assert not is_same(f"{tree}.copy", identity)
    assert is_copy(f"{tree}.copy", identity)


@pytest.mark.parametrize(
    "name", ["emptied", "a file rewritten in place", "the entrypoint", "a mode", "a time", "gone"]
)
def test_a_careless_copy_does_not_look_like_it(tree, identity, name):
    CHANGES[name](tree)
    assert not is_copy(tree, identity)
