import os
import subprocess
import sys

import pytest

from mcp_client.errors import MCPError
from mcp_client.reference import parse_reference

REGISTRY = "https://registry.test"
REFERENCE = parse_reference("test/a@1.0.0")


def test_an_empty_cache_knows_nothing_and_makes_nothing(stored):
    assert stored.cache.find(REFERENCE, REGISTRY) is None
    assert stored.cache.resolutions.find(REFERENCE, REGISTRY) is None
    assert stored.cache.resolutions.references() == []
    assert stored.cache.resolutions.dialect(REGISTRY) is None
    assert not os.path.exists(stored.folder)


def test_a_package_is_found_as_it_was_recorded(stored):
    resolution = stored.package("test/a@1.0.0")
    found = stored.open().find(REFERENCE, REGISTRY)
    assert found.resolution == resolution
    assert found.manifest_form == {"name": "test/a@1.0.0"}
    assert found.tree == stored.cache.tree_path(resolution.bundle.digest)
    assert os.listdir(found.tree) == ["f"]


@pytest.mark.parametrize(
    ("reference", "registry"),
    [("test/a@1.0.1", REGISTRY), ("test/b@1.0.0", REGISTRY), ("test/a@1.0.0", "https://other.test")],
)
def test_another_reference_or_registry_is_another_package(stored, reference, registry):
    stored.package("test/a@1.0.0")
    assert stored.cache.find(parse_reference(reference), registry) is None
    assert stored.cache.resolutions.find(parse_reference(reference), registry) is None


@pytest.mark.parametrize("table", ["resolution'; drop table dialect; --", "%", "_"])
def test_a_registry_is_only_a_value(stored, table):
    stored.package("test/a@1.0.0")
    assert stored.cache.find(REFERENCE, table) is None
    stored.cache.resolutions.remember_dialect(table, "get")
    assert stored.cache.resolutions.dialect(table) == "get"
    assert stored.cache.resolutions.dialect(REGISTRY) is None


def test_a_package_without_its_tree_is_not_found(stored):
    """A recorded one whose tree is gone is fetched again, and checked against what it was."""
    resolution = stored.resolution("test/a@1.0.0", b"manifest", b"bundle")
    stored.cache.resolutions.record(resolution, {})
    assert stored.cache.find(REFERENCE, REGISTRY) is None
    assert stored.cache.resolutions.find(REFERENCE, REGISTRY).resolution == resolution


def test_a_form_that_cannot_be_read_is_fetched_again(stored):
    stored.package("test/a@1.0.0")
    stored.cache.database.write("update resolution set form = ?", [("{",)])
    assert stored.cache.find(REFERENCE, REGISTRY) is None


def test_a_digest_in_the_database_that_is_a_path_is_refused(stored):
    stored.package("test/a@1.0.0")
    stored.cache.database.write("update resolution set bundle_digest = ?", [("sha256:../../etc",)])
    with pytest.raises(MCPError) as caught:
        stored.cache.find(REFERENCE, REGISTRY)
    assert caught.value.code == "digest-invalid"


def test_a_record_replaces_the_one_before(stored):
    resolution = stored.package("test/a@1.0.0")
    revoked = resolution._replace(status="revoked", version=None)
    stored.cache.resolutions.record(revoked, {"new": [1, "é", None]})
    found = stored.cache.find(REFERENCE, REGISTRY)
    assert found.resolution == revoked
    assert found.manifest_form == {"new": [1, "é", None]}


def test_references_come_in_the_order_of_their_use(stored):
    for at, name in enumerate("cab"):
        stored.used(stored.package(f"test/{name}@1.0.0"), float(at))
    stored.cache.resolutions.touch(stored.resolution("test/a@1.0.0", b"", b""))
    names = [(str(reference), registry) for reference, registry in stored.cache.resolutions.references()]
    assert names == [(f"test/{name}@1.0.0", REGISTRY) for name in "abc"]


def test_a_dialect_is_remembered_for_its_registry(stored):
    stored.cache.resolutions.remember_dialect(REGISTRY, "post")
    stored.cache.resolutions.remember_dialect("https://other.test", "get")
    stored.cache.resolutions.remember_dialect(REGISTRY, "static")
    assert stored.open().resolutions.dialect(REGISTRY) == "static"


def test_a_note_that_cannot_be_made_is_no_failure(stored):
    os.makedirs(os.path.dirname(stored.folder))
    with open(stored.folder, "w"):
        pass
    stored.cache.resolutions.remember_dialect(REGISTRY, "post")
    stored.cache.resolutions.touch(stored.resolution("test/a@1.0.0", b"", b""))
    assert stored.cache.resolutions.dialect(REGISTRY) is None


def test_a_closed_cache_opens_again(stored):
    stored.package("test/a@1.0.0")
    stored.cache.close()
    assert stored.cache.find(REFERENCE, REGISTRY)


WARM = """
import sys
before = set(sys.modules)  # an installation may import what it likes at start-up
from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings
from mcp_client.reference import parse_reference
cache = Cache(CacheSettings(sys.argv[1]))
package = cache.find(parse_reference("test/a@1.0.0"), "https://registry.test")
cache.hold(package.tree)
cache.resolutions.touch(package.resolution)
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
print(*sorted(name for name in sys.modules if name.startswith("mcp_client.cache.")))
"""
HEAVY = {"asyncio", "ctypes", "dataclasses", "filelock", "gzip", "hashlib", "pathlib", "secrets", "shutil"}
HEAVY |= {"subprocess", "tarfile", "tempfile"}


def test_a_warm_run_imports_nothing_heavy(stored):
    stored.package("test/a@1.0.0")
    run = subprocess.run(
        [sys.executable, "-c", WARM, stored.folder], capture_output=True, text=True, check=True
    )
    modules, ours = run.stdout.splitlines()
    assert "_sqlite3" in modules.split()
    assert HEAVY & set(modules.split()) == set()
    assert ours == (
        "mcp_client.cache.database mcp_client.cache.identity "
        "mcp_client.cache.resolutions mcp_client.cache.schema mcp_client.cache.store"
    )
