import os
import time

import pytest

from mcp_client.cache.quarantine import quarantine, quarantined, sweep
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest

DIGEST = Digest("0" * 64)


@pytest.fixture
def settings(tmp_path):
    return CacheSettings(str(tmp_path / "cache"), max_size=1000)


def entry(tmp_path, size):
    folder = tmp_path / "entry"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_bytes(bytes(size))
    os.chmod(folder / "inner", 0o555)
    os.chmod(folder, 0o555)
    return str(folder)


def aside(settings, tmp_path, size, monkeypatch, at):
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: at)
        return quarantine(settings, "tree", DIGEST, entry(tmp_path, size))


def test_an_entry_is_moved_whole(settings, tmp_path):
    moved = quarantine(settings, "tree", DIGEST, entry(tmp_path, 50))
    assert os.listdir(tmp_path) == ["cache"]
    assert os.path.getsize(os.path.join(moved, "inner", "file")) == 50
    assert quarantined(settings) == [(moved, 50)]
    assert os.stat(os.path.dirname(moved)).st_mode & 0o7777 == 0o700


def test_what_is_not_there_is_not_moved(settings, tmp_path):
    assert quarantine(settings, "tree", DIGEST, str(tmp_path / "none")) is None
    assert quarantined(settings) == []


@pytest.mark.parametrize(
    "make", [lambda path: os.symlink("/etc", path), lambda path: open(path, "w").close()]
)
def test_what_is_no_folder_is_moved_and_deleted_as_well(settings, tmp_path, make):
    make(tmp_path / "entry")
    mode = os.stat("/etc").st_mode
    assert quarantine(settings, "tree", DIGEST, str(tmp_path / "entry"))
    assert os.stat("/etc").st_mode == mode
    sweep(settings, everything=True)
    assert os.listdir(os.path.join(settings.dir, "quarantine")) == []
    assert os.path.isdir("/etc")


def test_a_week_is_enough(settings, tmp_path, monkeypatch):
    now = time.time()
    aside(settings, tmp_path, 10, monkeypatch, now - 8 * 86_400)
    young = aside(settings, tmp_path, 10, monkeypatch, now - 6 * 86_400)
    assert sweep(settings) == 10
    assert quarantined(settings) == [(young, 10)]


def test_a_tenth_of_the_cache_is_enough(settings, tmp_path, monkeypatch):
    now = int(time.time())
    aside(settings, tmp_path, 60, monkeypatch, now - 30)
    later = aside(settings, tmp_path, 50, monkeypatch, now - 20)
    latest = aside(settings, tmp_path, 50, monkeypatch, now - 10)
    assert quarantined(settings) == [(latest, 50), (later, 50)]


def test_what_is_too_large_for_it_is_not_kept_at_all(settings, tmp_path):
    quarantine(settings, "tree", DIGEST, entry(tmp_path, 101))
    assert quarantined(settings) == []


def test_a_tree_that_a_server_runs_from_stays(settings, tmp_path, stored):
    path = entry(tmp_path, 10)
    held = stored.cache.hold(path)
    moved = quarantine(settings, "tree", DIGEST, path)
    assert sweep(settings, everything=True) == 0
    assert os.path.exists(os.path.join(moved, "inner", "file"))
    os.close(held)
    assert sweep(settings, everything=True) == 10


def test_what_is_none_of_ours_stays(settings):
    folder = os.path.join(settings.dir, "quarantine", "notes")
    os.makedirs(folder)
    assert sweep(settings, everything=True) == 0
    assert os.path.isdir(folder)
