"""A server's private folder on the host's disk: its home and its temporary files, gone with it."""

import fcntl
import os
import sys

from mcp_client.errors import MCPError

_LONGEST_PATH = 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_scratch(path: str) -> int:
    """Make the folder, only for this user, and remove what dead runs left beside it.

    The descriptor that is returned holds it: nobody sweeps it while that is open. Raises
    ``cache-unwritable``.
    """
    store = os.path.dirname(path)
    try:
        # Passable, for a server of another user; who does not know a name finds nothing.
        os.makedirs(store, mode=0o711, exist_ok=True)
        queue = os.open(store, _FOLDER)
        try:
            # One at a time: a new folder must not be swept before it is held.
            fcntl.flock(queue, fcntl.LOCK_EX)
            _sweep(store)
            os.mkdir(path, 0o700)
            held = os.open(path, _FOLDER)
            os.fchmod(held, 0o700)
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(queue)
    except OSError as error:
        raise MCPError(
            "cache-unwritable",
            f"cannot make the server's scratch folder {path}: {error.strerror}",
            hint="check the owner and the mode of the cache folder, or set MCP_CACHE_DIR",
        ) from error
    return held


def remove_scratch(path: str, held: int) -> None:
    """Remove the folder and let go of it; what cannot be removed is left to the next sweep."""
    _empty(held)
    os.close(held)
    try:
        os.rmdir(path)
    except OSError:
        return


def _sweep(store: str) -> None:
    for name in os.listdir(store):
        path = os.path.join(store, name)
        try:
            held = os.open(path, _FOLDER)
        except OSError:
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # In use.
            os.close(held)
        else:
            remove_scratch(path, held)


def _empty(top: int) -> None:
    """Remove everything in the open folder ``top``.

    A server may have nested folders deeper than any stack and closed them: what lies in a folder is moved up
    to ``top`` first, so that there is never more than one level to go down. Links are not followed.
    """
    lifted = 0
    try:
        while names := os.listdir(top):
            for name in names:
                if not _remove(name, top):
                    lifted = _lift(name, top, lifted)
                    os.rmdir(name, dir_fd=top)
    except OSError:
        # Of another owner, or on a disk that became read-only.
        return


def _remove(name: str, folder: int) -> bool:
    """Remove one entry; False for a folder that is not empty."""
    try:
        os.unlink(name, dir_fd=folder)
    except (IsADirectoryError, PermissionError):
        _release(name, folder)
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError:
            return False
    return True


def _release(name: str, folder: int) -> None:
    """Take away the flag (chflags(2)) with which macOS lets an owner protect a file from himself."""
    if sys.platform == "darwin":
        path = fcntl.fcntl(folder, fcntl.F_GETPATH, bytes(_LONGEST_PATH)).rstrip(b"\0")
        try:
            os.chflags(os.path.join(path, os.fsencode(name)), 0, follow_symlinks=False)
            os.unlink(name, dir_fd=folder)
        except OSError:
            return


def _lift(name: str, top: int, lifted: int) -> int:
    _open_up(name, top)
    folder = os.open(name, _FOLDER, dir_fd=top)
    try:
        for child in os.listdir(folder):
            if not _remove(child, folder):
                _open_up(child, folder)
                lifted += 1
                os.rename(child, f".lifted-{os.getpid()}-{lifted}", src_dir_fd=folder, dst_dir_fd=top)
    finally:
        os.close(folder)
    return lifted


def _open_up(name: str, parent: int) -> None:
    """Give us the right to change a folder; chmod(2) itself would follow a link."""
    if sys.platform == "linux":
        folder = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{folder}", 0o700)
        finally:
            os.close(folder)
    else:
        os.chmod(name, 0o700, dir_fd=parent, follow_symlinks=False)
