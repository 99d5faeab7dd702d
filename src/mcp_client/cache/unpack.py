"""Unpack a hostile archive: check every entry, create only plain files, folders and links that stay inside.

No link is ever followed while something is written: entries are placed in a model of the tree first, and
what lies below anything but a folder made here is refused (CVE-2025-4517, CVE-2025-4330, CVE-2024-12718 are
what comes of asking the file system instead). Modes are ours: nothing is writable, and only the execute bit
of the archive counts.
"""

import os
import stat
from collections.abc import Iterable

from mcp_client import system
from mcp_client.cache.bytestream import ByteStream
from mcp_client.cache.durable import write_early
from mcp_client.cache.names import Folder, Link, Node, check_link, checked_path, child, is_plain
from mcp_client.cache.refusals import too_large, too_many, unsafe
from mcp_client.cache.staging import write_all
from mcp_client.cache.tar import Member, read_members

_CHUNK = 256 << 10
# Smaller files are not worth a call each.
_LARGE = 64 << 10
# What one entry may need besides its data: a header, a long name, padding.
_OVERHEAD = 4096
_LATEST = (1 << 32) - 1


def most_plain_bytes(max_bytes: int, max_entries: int) -> int:
    """How many bytes an archive may have before it is compressed, when its files may have ``max_bytes``."""
    return max_bytes + (max_entries + 16) * _OVERHEAD


def unpack_tar(pieces: Iterable[bytes], target: str, *, max_bytes: int, max_entries: int) -> int:
    """Unpack the tar archive that ``pieces`` are as the new folder ``target``; bytes written.

    Raises ``bundle-invalid``, ``bundle-unsafe``, ``bundle-too-large``, OSError, and what ``pieces`` raises.
    """
    os.mkdir(target, 0o755)
    return _fill(_Tree(target, max_bytes, max_entries), pieces)


def check_tar(pieces: Iterable[bytes], *, max_bytes: int, max_entries: int) -> int:
    """What unpack_tar() would say and return, with nothing written: memory for the names, and no disk."""
    return _fill(_Rehearsal("", max_bytes, max_entries), pieces)


def _fill(tree: "_Tree", pieces: Iterable[bytes]) -> int:
    stream = ByteStream(pieces)
    for member in read_members(stream):
        tree.add(member, stream)
    tree.finish()
    return tree.written


class _Tree:
    """The folder under construction: what exists in it, and what may still come."""

    def __init__(self, path: str, max_bytes: int, max_entries: int) -> None:
        self.written = 0
        self._path = path
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._entries = 0
        self._root = Folder("", None)
        self._folders: list[str] = []
        self._links: list[Link] = []
        # Modes that a new file has as they were asked for.
        self._exact: set[int] = set()

    def add(self, member: Member, stream: ByteStream) -> None:
        """Create one entry. Raises ``bundle-unsafe`` and ``bundle-too-large``."""
        self._count()
        path = checked_path(member.name)
        if member.kind == "folder":
            self._folder(path)
        elif member.kind == "symlink":
            self._add_link(path, member.target)
        elif member.kind == "hardlink":
            self._add_hard_link(path, checked_path(member.target))
        elif member.kind == "file":
            self._add_file(path, member, stream)
        else:
            raise unsafe(path, "is neither a file, a folder nor a link")

    def finish(self) -> None:
        """Check where links lead now that everything is there, and close the folders."""
        for link in self._links:
            check_link(link)
        for path in self._folders:
            self._close_folder(os.path.join(self._path, path))

    def _count(self) -> None:
        self._entries += 1
        if self._entries > self._max_entries:
            raise too_many(self._max_entries)

    def _folder(self, path: str) -> Folder:
        """The folder at ``path``, made if need be, with those above it."""
        folder, at = self._root, ""
        for name in path.split("/") if path else ():
            at = f"{at}/{name}" if at else name
            found = child(folder, name)
            if found is None:
                # An entry can stand for a hundred folders; they count.
                self._count()
                self._make_folder(os.path.join(self._path, at))
                self._folders.append(at)
                found = Folder(name, folder)
            elif found.name != name:
                raise unsafe(at, f"differs from {found.name} in its spelling only")
            elif not isinstance(found, Folder):
                raise unsafe(path, f"needs a folder where {at} is none")
            folder = found
        return folder

    def _claim(self, path: str) -> tuple[Folder, str, str]:
        """Folder and name of a new entry, and where it is to be made."""
        parent, _, name = path.rpartition("/")
        folder = self._folder(parent)
        found = child(folder, name) if name else self._root
        if found is not None:
            same = found.name == name
            raise unsafe(
                path, "is there twice" if same else f"differs from {found.name} in its spelling only"
            )
        return folder, name, os.path.join(self._path, path)

    def _add_file(self, path: str, member: Member, stream: ByteStream) -> None:
        if member.mode & (stat.S_ISUID | stat.S_ISGID):
            raise unsafe(path, "has a setuid or setgid bit")
        if self.written + member.size > self._max_bytes:
            raise too_large(self._max_bytes)
        folder, name, target = self._claim(path)
        self._make_file(target, member, stream)
        self.written += member.size
        Node(name, folder)

    def _add_link(self, path: str, to: str) -> None:
        if not to or not is_plain(to) or to.startswith("/"):
            raise unsafe(path, "is a link that leads out of the bundle, or nowhere")
        folder, name, target = self._claim(path)
        self._make_link(to, target)
        self._links.append(Link(name, folder, path, to))

    def _add_hard_link(self, path: str, to: str) -> None:
        node: Node | None = self._root
        for name in to.split("/"):
            node = node and child(node, name)
            if node is None or node.name != name or isinstance(node, Link):
                raise unsafe(path, "is a hard link to nothing in the bundle")
        if isinstance(node, Folder):
            raise unsafe(path, "is a hard link to a folder")
        folder, name, target = self._claim(path)
        self._make_hard_link(os.path.join(self._path, to), target)
        Node(name, folder)

    # What touches the disk, and nothing else does.

    def _make_folder(self, target: str) -> None:
        os.mkdir(target, 0o755)

    def _close_folder(self, target: str) -> None:
        os.chmod(target, 0o555)

    def _make_file(self, target: str, member: Member, stream: ByteStream) -> None:
        mode = 0o555 if member.mode & 0o111 else 0o444
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | system.O_NOFOLLOW | system.O_CLOEXEC
        descriptor = system.open_fd(target, flags, mode)
        try:
            left = member.size
            while left and (data := stream.read_some(min(left, _CHUNK))):
                write_all(descriptor, data)
                left -= len(data)
            if mode not in self._exact:
                self._set_mode(descriptor, mode)
            if member.size >= _LARGE:
                write_early(descriptor)
            # Compiled Python in a bundle is used only if its source has the time it was compiled from.
            modified = min(member.modified, _LATEST)
            system.set_modified(descriptor, target, modified)
        finally:
            os.close(descriptor)

    def _set_mode(self, descriptor: int, mode: int) -> None:
        """What the first file shows holds for all: umask and default ACL are one for the whole tree."""
        if stat.S_IMODE(os.fstat(descriptor).st_mode) == mode:
            self._exact.add(mode)
        else:
            system.fchmod(descriptor, mode)

    def _make_link(self, to: str, target: str) -> None:
        system.symlink(to, target)

    def _make_hard_link(self, to: str, target: str) -> None:
        system.link(to, target)


class _Rehearsal(_Tree):
    """A tree that is checked like any other, and made nowhere."""

    def _make_folder(self, target: str) -> None:
        pass

    def _close_folder(self, target: str) -> None:
        pass

    def _make_file(self, target: str, member: Member, stream: ByteStream) -> None:
        """What is not read here is skipped, decompressed and counted all the same."""

    def _make_link(self, to: str, target: str) -> None:
        pass

    def _make_hard_link(self, to: str, target: str) -> None:
        pass
