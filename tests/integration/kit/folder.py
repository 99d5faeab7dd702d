"""A registry that is a folder, for tests that need no web server."""

import json
import os

from kit.bundle import Package, digest_of


def publish(folder: str, *packages: Package) -> str:
    """Add packages to the registry ``folder``; its URL."""
    for package in packages:
        manifest, bundle = package.digests
        for data in (package.manifest, package.bundle):
            path = artifact(folder, digest_of(data))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as opened:
                opened.write(data)
        form = {
            "manifest": {"digest": manifest, "url": f"artifacts/{manifest[7:]}"},
            "bundle": {"digest": bundle, "url": f"artifacts/{bundle[7:]}"},
        }
        place = os.path.join(folder, "packages", package.org, package.name)
        os.makedirs(place, exist_ok=True)
        with open(os.path.join(place, f"{package.version}.json"), "w") as opened:
            json.dump(form, opened)
    return f"file://{folder}"


def artifact(folder: str, digest: str) -> str:
    """Where the bytes of a digest are, as they were published."""
    return os.path.join(folder, "artifacts", digest[-64:])
