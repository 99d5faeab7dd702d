"""A cache in the test's own folder, and packages to put in it."""

import hashlib
import os

import pytest
from kit.bundle import pack_files

from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest
from mcp_client.reference import parse_reference
from mcp_client.resolution import Descriptor, Resolution

REGISTRY = "https://registry.test"
LIMIT = 10_000_000


class Stored:
    """What tests do with a cache."""

    def __init__(self, folder):
        self.folder = folder
        self.caches = []
        self.cache = self.open()

    def open(self, **settings):
        """Another cache over the same folder, as another process would have it."""
        cache = Cache(CacheSettings(self.folder, **settings))
        self.caches.append(cache)
        return cache

    def digest(self, data):
        return Digest(hashlib.sha256(data).hexdigest())

    def descriptor(self, data, size=None):
        return Descriptor(self.digest(data), "https://registry.test/artifact", size)

    def add(self, data, kind="bundle"):
        self.cache.add(kind, self.descriptor(data), lambda: iter([data]), LIMIT)
        return self.digest(data)

    def add_bundle(self, data):
        """Its tree."""
        return self.cache.add_bundle(self.descriptor(data), lambda: iter([data]), LIMIT)

    def resolution(self, reference, manifest, bundle):
        return Resolution(
            parse_reference(reference),
            REGISTRY,
            self.descriptor(manifest, len(manifest)),
            self.descriptor(bundle),
            "published",
            "1.0.0",
        )

    def package(self, reference, size=1000):
        """Store everything of a package; its tree has ``size`` bytes."""
        manifest, bundle = reference.encode(), pack_files({"f": reference.encode().ljust(size, b"x")})
        self.add(manifest, "manifest")
        self.add_bundle(bundle)
        resolution = self.resolution(reference, manifest, bundle)
        self.cache.resolutions.record(resolution, {"name": reference})
        return resolution

    def used(self, resolution, at):
        """Let the package have been stored and used last at ``at``."""
        self.cache.entries()
        digests = (resolution.manifest.digest, resolution.bundle.digest)
        self.cache.database.write(
            "update entry set stored = ? where digest = ?", [(at - 1, str(digest)) for digest in digests]
        )
        self.cache.database.write(
            "update resolution set used = ? where reference = ?", [(at, str(resolution.reference))]
        )

    def names(self, *kinds):
        """What is in these folders of the cache, all that hold content by default."""
        return [
            f"{kind}/{name}"
            for kind in kinds or ("manifests", "bundles", "trees", "staging")
            if os.path.isdir(os.path.join(self.folder, kind))
            for name in sorted(os.listdir(os.path.join(self.folder, kind)))
        ]


@pytest.fixture
def stored(tmp_path):
    stored = Stored(str(tmp_path / "home" / "cache"))
    yield stored
    for cache in stored.caches:
        cache.close()
