"""Killed or refused at any step that writes: the next run heals, and nothing half is ever used.

Each scenario is one command over a prepared cache. The shim counts its writing calls; then the command is run
again from the same state for every count (for some of them here, for all with MCP_TEST_FAULTS=all), is killed
or fails there, and what it left is looked at before and after the next command.
"""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from kit import folder as registry_folder
from kit.bundle import Package, manifest_form, pack_files, package
from kit.faults import KILL_AFTER, KILL_BEFORE, WHOLE, Answer, Faults, sample

from mcp_client.cache.compare import find_difference, is_intact
from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest, parse_digest

KILLS, ALL_ERRORS = 5, 4
EXPECTED = {"disk-full", "cache-unwritable", "cache-damaged", "cache-busy"}
ONE, TWO, THREE = (f"test/{name}@1.0.0" for name in ("one", "two", "three"))


def made(reference: str) -> Package:
    files = {f"d{n % 3}/f{n}": f"{reference} {n}" * 50 for n in range(6)}
    bundle = pack_files({"main.py": f"# {reference}", **files}, executable=["main.py"])
    return package(manifest_form(reference, "python3", "${bundle}/main.py"), bundle)


PACKAGES = {reference: made(reference) for reference in (ONE, TWO, THREE)}


class Place(NamedTuple):
    """A home with its cache, and the registry beside it."""

    folder: str

    @property
    def home(self) -> str:
        return os.path.join(self.folder, "home")

    @property
    def cache(self) -> str:
        return os.path.join(self.home, "cache")

    @property
    def registry(self) -> str:
        return os.path.join(self.folder, "registry")

    def names(self, kind: str) -> list[str]:
        path = os.path.join(self.cache, kind)
        return os.listdir(path) if os.path.isdir(path) else []


class Scenario(NamedTuple):
    """``before`` makes the state, ``command`` suffers, ``damaged`` tells that it begins with damage."""

    command: tuple[str, ...]
    before: Callable[[Faults, Place], None]
    damaged: bool = False


def nothing(faults: Faults, place: Place) -> None:
    """A new machine."""


def two_packages(faults: Faults, place: Place) -> None:
    assert faults.call("pull", ONE, TWO).status == 0


def almost_full(faults: Faults, place: Place) -> None:
    two_packages(faults, place)
    size = sum(
        os.path.getsize(os.path.join(parent, name))
        for kind in ("manifests", "bundles", "trees")
        for parent, _, names in os.walk(os.path.join(place.cache, kind))
        for name in names
    )
    with open(os.path.join(place.home, "config.yaml"), "w") as opened:
        opened.write(f"cache:\n  max_size: {size + 100}\n")


def a_changed_tree(faults: Faults, place: Place) -> None:
    two_packages(faults, place)
    tree = os.path.join(place.cache, "trees", PACKAGES[ONE].digests[1].replace(":", "-"))
    os.chmod(tree, 0o755)
    os.unlink(os.path.join(tree, "main.py"))
    with open(os.path.join(tree, "main.py"), "w") as opened:
        opened.write("# changed")
    os.chmod(tree, 0o555)


SCENARIOS = {
    "pull": Scenario(("pull", ONE), nothing),
    "run": Scenario(("run", "--dry-run", ONE), nothing),
    "evict": Scenario(("pull", THREE), almost_full),
    "remove": Scenario(("cache", "rm", ONE), two_packages),
    "remove all": Scenario(("cache", "rm", "--all"), two_packages),
    "heal": Scenario(("pull", ONE), a_changed_tree, damaged=True),
    "verify": Scenario(("cache", "verify"), a_changed_tree, damaged=True),
}


@pytest.fixture
def place(tmp_path: os.PathLike[str]) -> Iterator[Place]:
    """In memory if possible: thousands of files are synced to the disk here."""
    above = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=above) as folder:
        made = Place(folder)
        registry_folder.publish(made.registry, *PACKAGES.values())
        os.makedirs(made.home)
        yield made
        open_folders(folder)


@pytest.fixture
def faults(place: Place) -> Iterator[Faults]:
    environment = {
        "HOME": place.folder,
        "PATH": os.environ["PATH"],
        "MCP_HOME": place.home,
        "MCP_REGISTRY_URL": f"file://{place.registry}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with Faults(environment) as started:
        yield started


def open_folders(folder: str) -> None:
    for parent, _, _ in os.walk(folder):
        os.chmod(parent, 0o755)


def keep(place: Place) -> str:
    kept = os.path.join(place.folder, "kept")
    shutil.copytree(place.home, kept, symlinks=True)
    return kept


def restore(place: Place, kept: str) -> None:
    open_folders(place.home)
    shutil.rmtree(place.home)
    shutil.copytree(kept, place.home, symlinks=True)


def assert_sound(place: Place, *, damaged: bool) -> None:
    """Whatever is there is whole; what was damaged before may stay as long as it is not trusted."""
    for kind, name in (("manifests", "manifest.json"), ("bundles", "bundle.tar.gz")):
        for entry in place.names(kind):
            assert is_intact(os.path.join(place.cache, kind, entry, name), parse_digest(entry)), entry
    for entry in place.names("trees"):
        original = registry_folder.artifact(place.registry, entry)
        tree = os.path.join(place.cache, "trees", entry)
        difference = find_difference(tree, original, CacheSettings(place.cache))
        if difference is not None:
            assert damaged, (entry, difference)
            cache = Cache(CacheSettings(place.cache))
            assert not cache.is_noted(Digest(entry[-64:])), "a damaged tree would be run"
            cache.close()


def assert_heals(faults: Faults, place: Place) -> None:
    """The next commands succeed, and leave nothing of the accident."""
    following = faults.call("pull", ONE, THREE)
    assert following.status == 0, following
    proven = faults.call("cache", "verify")
    assert proven.status == 0, proven
    # Whoever writes next sweeps what was left; the pulls may have found everything there.
    assert faults.call("cache", "rm", THREE).status == 0
    assert faults.call("pull", THREE).status == 0
    assert place.names("staging") == []
    assert len([name for name in place.names("") if ".damaged-" in name]) == 0


def assert_told(answer: Answer) -> None:
    """A failure is one of those that are documented, never a defect."""
    assert "Traceback" not in answer.stderr, answer
    if answer.status:
        codes = set(re.findall(r"error\[([a-z-]+)\]", answer.stderr))
        assert codes, answer
        assert codes <= EXPECTED, answer


def prepare(faults: Faults, place: Place, scenario: Scenario) -> tuple[str, int]:
    """Where the state before the command is kept, and how many writing calls the command makes."""
    scenario.before(faults, place)
    kept = keep(place)
    restore(place, kept)
    counted = faults.call(*scenario.command, folder=place.home)
    assert counted.count, counted
    assert counted.status == (scenario.command[1] == "verify"), counted
    return kept, counted.count


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_step(place: Place, faults: Faults, name: str) -> None:
    """Just before the call, or just after it."""
    scenario = SCENARIOS[name]
    kept, count = prepare(faults, place, scenario)
    points = sample(count, KILLS)
    killed = 0
    for at in points:
        restore(place, kept)
        action = (KILL_BEFORE, KILL_AFTER)[at % 2]
        answer = faults.call(*scenario.command, folder=place.home, at=at, action=action)
        killed += answer.status == -9
        assert_sound(place, damaged=scenario.damaged)
        assert_heals(faults, place)
    # What several threads write comes in another order each time, and a few calls more or less.
    assert killed >= len(points) * 0.7, "the kills missed the command"


ERRORS = ((errno.ENOSPC, True), (errno.EIO, False), (errno.EDQUOT, True), (errno.EROFS, False))


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_error_at_any_step(place: Place, faults: Faults, name: str) -> None:
    """A disk that is full from then on, a quota, a disk that fails once, and one that is sealed."""
    scenario = SCENARIOS[name]
    kept, count = prepare(faults, place, scenario)
    for turn, at in enumerate(sample(count, ALL_ERRORS)):
        for number, sticky in ERRORS if WHOLE else [ERRORS[turn % len(ERRORS)]]:
            restore(place, kept)
            answer = faults.call(*scenario.command, folder=place.home, at=at, action=number, sticky=sticky)
            assert_told(answer)
            assert_sound(place, damaged=scenario.damaged)
            assert_heals(faults, place)
