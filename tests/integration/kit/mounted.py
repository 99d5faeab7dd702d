"""Run a command where a folder is another file system: small, or read-only. Works for root and for users.

Root needs a mount namespace only. A user gets it by a user namespace, in which he is root; a second one
inside makes him a user again, since the command treats root differently.
"""

import os
import shutil

_MOUNT = 'mount -t tmpfs -o "$1" tests "$2" && shift 2 && exec "$@"'


def tmpfs(folder: str, options: str) -> list[str]:
    """Prefix that mounts an empty tmpfs with mount ``options`` at ``folder`` for the command after it."""
    os.makedirs(folder, exist_ok=True)
    unshare = _unshare()
    script = ["sh", "-c", _MOUNT, "sh", options, folder]
    if os.geteuid() == 0:
        return [unshare, "-m", *script]
    identity = [f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}"]
    return [unshare, "-Urm", *script, unshare, "-U", *identity]


def without_network() -> list[str]:
    """Prefix for a command that shall not even have loopback."""
    return [_unshare(), "-n"] if os.geteuid() == 0 else [_unshare(), "-Un", "--map-current-user"]


def _unshare() -> str:
    found = shutil.which("unshare")
    if found is None:
        raise RuntimeError("the integration tests need unshare (util-linux) on PATH")
    return found
