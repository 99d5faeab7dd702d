"""Make, prove and give up compiled forms; see compiled.py.

A form of a tree is its double: the same files by hard links, so they take no room, with others added. What
identity.py watches in the tree is copied, since a new link changes the time of a file's inode.
"""

import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from mcp_client import system
from mcp_client.cache.compiled import compiled_folder
from mcp_client.cache.durable import watched_disk
from mcp_client.cache.identity import identify, named_in
from mcp_client.cache.staging import make_folder, remove_tree, staging_folder, storage_errors
from mcp_client.digest import Digest
from mcp_client.errors import MCPError

if TYPE_CHECKING:
    from mcp_client.cache.store import Cache

_FOLDER_MODE, _FILE_MODE, _PROGRAM_MODE = 0o555, 0o444, 0o555
# Interpreters that one package was started with, each with its form; the oldest goes first.
_MOST_FORMS = 4
_NOTE = (
    "insert into compiled (digest, key, identity, content) values (?, ?, ?, ?) "
    "on conflict (digest, key) "
    "do update set identity = excluded.identity, content = excluded.content, due = 0"
)
_NOTE_SIZE = (
    "insert into entry (kind, digest, size, stored) values ('compiled', ?, ?, ?) "
    "on conflict (kind, digest) do update set size = excluded.size"
)


class Form(NamedTuple):
    """A folder that is being made, and nobody reads."""

    folder: str

    def make_folder(self, path: str) -> bool:
        """Whether there is a real folder at the relative ``path`` now; the one above it is there and real."""
        place = os.path.join(self.folder, path)
        try:
            os.mkdir(place, 0o755)
        except FileExistsError:
            return stat.S_ISDIR(os.lstat(place).st_mode)
        return True

    def add_file(self, path: str, data: bytes) -> bool:
        """Write a file, in the place of one or of nothing; False where something else is.

        The file that was there may be the tree's own: it is never written, only no longer linked to.
        """
        place = os.path.join(self.folder, path)
        try:
            if not stat.S_ISREG(os.lstat(place).st_mode):
                return False
            os.unlink(place)
        except FileNotFoundError:
            pass
        descriptor = system.open_fd(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | system.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            system.fchmod(descriptor, _FILE_MODE)
        return True


@contextmanager
def new_form(cache: "Cache") -> Iterator[Form]:
    """An empty form in the staging; what is not published is removed at the end."""
    with staging_folder(cache.folder) as staging:
        folder = os.path.join(staging, "form")
        with storage_errors(folder):
            os.mkdir(folder, 0o755)
            yield Form(folder)


def double_tree(cache: "Cache", digest: Digest, form: Form, most_bytes: int) -> None:
    """Fill ``form`` with the tree of ``digest``. Raises OSError, EFBIG when more than that must be copied."""
    tree, left = cache.tree_path(digest), most_bytes
    watched = set(named_in(cache.noted_identity(digest)))
    folders = [""]
    while folders:
        inside = folders.pop()
        with os.scandir(os.path.join(tree, inside)) as listed:
            items = list(listed)
        for item in items:
            path = os.path.join(inside, item.name)
            target = os.path.join(form.folder, path)
            if item.is_symlink():
                system.symlink(os.readlink(item.path), target)
            elif item.is_dir(follow_symlinks=False):
                os.mkdir(target, 0o755)
                folders.append(path)
            elif path in watched:
                left -= _copy_file(item, target, left)
            else:
                system.link(item.path, target)


def _copy_file(item: os.DirEntry[str], target: str, most_bytes: int) -> int:
    about = item.stat(follow_symlinks=False)
    if about.st_size > most_bytes:
        raise OSError(27, "too large to be copied", item.path)
    shutil.copyfile(item.path, target, follow_symlinks=False)
    os.utime(target, ns=(about.st_mtime_ns, about.st_mtime_ns))
    os.chmod(target, stat.S_IMODE(about.st_mode))
    return about.st_size


def publish_form(cache: "Cache", digest: Digest, key: str, form: Form) -> str | None:
    """Close ``form``, put it on the disk and in its place, and note by what it is known.

    Its new path; None where an older one is in use that would have to go. Raises MCPError.
    """
    parent = compiled_folder(cache, digest)
    target = os.path.join(parent, key)
    with storage_errors(form.folder):
        for folder, _, _ in os.walk(form.folder):
            os.chmod(folder, _FOLDER_MODE)
        # Moving a folder elsewhere writes in it.
        os.chmod(form.folder, 0o755)
        with watched_disk(form.folder) as disk:
            disk.sync()
        make_folder(cache.folder, os.path.relpath(parent, cache.folder))
        content = content_digest(form.folder)
        with _alone_in(parent) as alone:
            if os.path.lexists(target) and not (alone and _discard(target, form)):
                return None
            os.rename(form.folder, target)
            os.chmod(target, _FOLDER_MODE)
            if alone:
                _discard_oldest(parent, form)
    tree = cache.noted_identity(digest)
    cache.database.write(_NOTE, [(str(digest), key, identify(target, named_in(tree)), content)])
    cache.database.note(_NOTE_SIZE, str(digest), own_size(parent), time.time())
    return target


def forget_compiled(cache: "Cache", digest: Digest) -> None:
    """Use nothing that was compiled of this bundle any more; a folder that nobody knows of is never read."""
    with suppress(MCPError):
        cache.database.write("delete from compiled where digest = ?", [(str(digest),)])


def find_change(cache: "Cache", digest: Digest) -> str | None:
    """How what was compiled differs from what was noted, in words; None when it is as it was."""
    rows = cache.database.select(
        "select key, content from compiled where digest = ? and identity <> ''", (str(digest),)
    )
    for key, content in rows:
        folder = os.path.join(compiled_folder(cache, digest), key)
        try:
            same = content_digest(folder) == content
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        if not same:
            return "it is not what was compiled"
    return None


def content_digest(folder: str) -> str:
    """SHA-256 over names, kinds, modes, targets and bytes of everything below ``folder``. Raises OSError."""
    found = hashlib.sha256()
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in sorted([*files, *folders]):
            path = os.path.join(place, name)
            mode = os.lstat(path).st_mode
            shown = os.path.relpath(path, folder)
            if stat.S_ISLNK(mode):
                about = f"link {os.readlink(path)}"
            elif stat.S_ISREG(mode):
                opened = system.open_fd(path, os.O_RDONLY | system.O_NOFOLLOW | system.O_CLOEXEC)
                with open(opened, "rb") as file:
                    about = hashlib.file_digest(file, "sha256").hexdigest()
            else:
                about = "folder"
            found.update(os.fsencode(f"{shown}\0{mode:o}\0{about}\0"))
    return found.hexdigest()


def own_size(folder: str) -> int:
    """Bytes of the files below ``folder`` that are no links to the tree's."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                about = os.lstat(os.path.join(place, name))
                total += about.st_size if stat.S_ISREG(about.st_mode) and about.st_nlink == 1 else 0
    return total


def _raise(error: OSError) -> None:
    raise error


@contextmanager
def _alone_in(parent: str) -> Iterator[bool]:
    """Whether no server runs from a form in ``parent``, and none begins to."""
    try:
        descriptor = system.lock_folder(parent, system.LOCK_EX | system.LOCK_NB)
    except OSError:
        # In use, or on a file system without locks.
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)


def _discard(path: str, form: Form) -> bool:
    """Move a form that nobody uses into the staging of ``form``, where it is removed."""
    aside = os.path.join(os.path.dirname(form.folder), f"replaced-{os.path.basename(path)}")
    os.chmod(path, 0o755)
    os.rename(path, aside)
    remove_tree(aside)
    return True


def _discard_oldest(parent: str, form: Form) -> None:
    with os.scandir(parent) as listed:
        forms = sorted(listed, key=lambda item: item.stat(follow_symlinks=False).st_mtime)
    for item in forms[:-_MOST_FORMS]:
        _discard(item.path, form)
