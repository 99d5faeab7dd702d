"""The private folders of a server on Windows: its home and its place for temporary files.

Nobody but this user and the system may open them, and they are labelled low, so that a server of low
integrity can write there and (with its label) nowhere else. They go with the run; those of a run that was
killed are swept by the next.
"""

import os
import secrets
import shutil
from contextlib import suppress

from mcp_client import system
from mcp_client.errors import MCPError
from mcp_client.windows.owners import label_low, label_of

LOW_LABEL = "S-1-16-4096"


def open_to_server(folder: str) -> None:
    """Give a folder of ours to servers of low integrity, and to nobody else. Raises OSError."""
    system.close_to_others(folder)
    label_low(folder)


def takes_low_writers(folder: str) -> bool:
    """Whether a process of low integrity may write to the folder, as far as its label goes."""
    try:
        return label_of(folder) == LOW_LABEL
    except OSError:
        return False


class Scratch:
    """One server's folders, until close()."""

    def __init__(self, path: str) -> None:
        """Make them at ``path``. Raises ``sandbox-unavailable``."""
        self.home = path
        store = os.path.dirname(path)
        try:
            os.makedirs(store, exist_ok=True)
            _sweep(store)
            os.mkdir(path)
            # Whoever sweeps leaves alone what is open.
            self._hold = system.lock_folder(path, system.LOCK_SH)
            open_to_server(path)
            for name in ("Temp", os.path.join("AppData", "Roaming"), os.path.join("AppData", "Local")):
                os.makedirs(os.path.join(path, name))
        except OSError as error:
            raise MCPError(
                "sandbox-unavailable",
                f"cannot make the server's private folder {path}: {error.strerror}",
                hint="name a folder on a local NTFS disk as cache.dir (MCP_CACHE_DIR)",
            ) from error

    def close(self) -> None:
        """Remove them with everything in them."""
        with suppress(OSError):
            os.close(self._hold)
        _remove(self.home)


def new_path(store: str) -> str:
    """Where the next server's folders are to be made; servers never know each other's."""
    return os.path.join(store, f"{os.getpid()}-{secrets.token_hex(8)}")


def _sweep(store: str) -> None:
    for name in os.listdir(store):
        path = os.path.join(store, name)
        with suppress(OSError):
            os.close(system.lock_folder(path, system.LOCK_EX | system.LOCK_NB))
            _remove(path)


def _remove(path: str) -> None:
    """What a server made read-only goes as well."""

    def writable(function: object, name: str, _error: object) -> None:
        with suppress(OSError):
            os.chmod(name, 0o700)
            getattr(os, getattr(function, "__name__", ""), os.unlink)(name)

    shutil.rmtree(path, onerror=writable)
