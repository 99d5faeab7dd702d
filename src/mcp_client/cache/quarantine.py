"""Where damaged entries go: out of everybody's way, and still there for whoever wants to know what happened.

They stay for a week, and together they take at most a tenth of ``cache.max_size``; the oldest go first. Names
tell when, how large and what: ``<seconds>-<bytes>-<kind>-<digest>-<random>``.
"""

import os
import re
import secrets
import stat
import time
from contextlib import suppress

from mcp_client import system
from mcp_client.cache.staging import make_folder, remove_tree, storage_errors
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest

QUARANTINE = "quarantine"
_SECONDS = 7 * 86_400
_PART_OF_MAX_SIZE = 10
_NAME = re.compile(r"([0-9]{1,12})-([0-9]{1,18})-")


def quarantine(settings: CacheSettings, kind: str, digest: Digest, path: str) -> str | None:
    """Move ``path`` aside and return its new place; None when it is not there (any more).

    Raises ``cache-unwritable`` and ``disk-full``.
    """
    folder = make_folder(settings.dir, QUARANTINE, 0o700)
    with storage_errors(path):
        try:
            is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
            name = f"{int(time.time())}-{size_of(path)}-{kind}-{digest.hex}-{secrets.token_hex(4)}"
            if is_folder:
                # Moving a folder elsewhere writes in it.
                os.chmod(path, 0o755)
            system.rename(path, os.path.join(folder, name))
        except FileNotFoundError:
            return None
    sweep(settings)
    return os.path.join(folder, name)


def quarantined(settings: CacheSettings) -> list[tuple[str, int]]:
    """Path and bytes of everything in quarantine, latest first."""
    folder = os.path.join(settings.dir, QUARANTINE)
    found = []
    with suppress(OSError):
        for name in os.listdir(folder):
            match = _NAME.match(name)
            if match:
                found.append((int(match[1]), os.path.join(folder, name), int(match[2])))
    return [(path, size) for _, path, size in sorted(found, reverse=True)]


def sweep(settings: CacheSettings, *, everything: bool = False) -> int:
    """Delete what has been there for too long or is too much; bytes deleted. What cannot be deleted stays."""
    now, kept, freed = time.time(), 0, 0
    for path, size in quarantined(settings):
        age = now - int(os.path.basename(path).partition("-")[0])
        if everything or age > _SECONDS or kept + size > settings.max_size // _PART_OF_MAX_SIZE:
            if _delete(path):
                freed += size
        else:
            kept += size
    return freed


def size_of(path: str) -> int:
    """Bytes of all files below ``path``, or of the file it is."""
    total = 0
    for parent, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                status = os.lstat(os.path.join(parent, name))
                total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def _delete(path: str) -> bool:
    """Whether it is gone; a tree that a server still runs from stays."""
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return True
        descriptor = system.lock_folder(path, system.LOCK_EX | system.LOCK_NB)
        try:
            remove_tree(path)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return not os.path.lexists(path)
