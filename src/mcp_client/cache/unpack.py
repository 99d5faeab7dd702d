"""Unpack a hostile archive: check every entry, create only plain files, folders and links that stay inside.

No link is ever followed while something is written: entries are placed in a model of the tree first, and
what lies below anything but a folder made here is refused (CVE-2025-4517, CVE-2025-4330, CVE-2024-12718 are
what comes of asking the file system instead). Modes are ours: nothing is writable, and only the execute bit
of the archive counts.
"""

import os
import re
import stat
import unicodedata
from collections.abc import Iterable

from mcp_client.cache.bytestream import ByteStream
from mcp_client.cache.durable import write_early
from mcp_client.cache.refusals import too_large, too_many, unsafe
from mcp_client.cache.staging import write_all
from mcp_client.cache.tar import Member, read_members

_CHUNK = 256 << 10
# Smaller files are not worth a call each.
_LARGE = 64 << 10
# What one entry may need besides its data: a header, a long name, padding.
_OVERHEAD = 4096
_MAX_PATH = 1024
_MAX_COMPONENT = 255
_MAX_DEPTH = 100
_MAX_LINKS_IN_A_ROW = 40  # as in the kernel, path_resolution(7)
_LATEST = (1 << 32) - 1
_DRIVE = re.compile(r"[A-Za-z]:")


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


class _Node:
    """A file of the tree; ``parent`` is None for the root only."""

    __slots__ = ("name", "parent")

    def __init__(self, name: str, parent: "_Folder | None") -> None:
        self.name = name
        self.parent = parent
        if parent is not None:
            parent.children[_key(name)] = self


class _Folder(_Node):
    __slots__ = ("children",)

    def __init__(self, name: str, parent: "_Folder | None") -> None:
        super().__init__(name, parent)
        self.children: dict[str, _Node] = {}


class _Link(_Node):
    __slots__ = ("folder", "path", "reached", "target")

    def __init__(self, name: str, folder: _Folder, path: str, target: str) -> None:
        super().__init__(name, folder)
        self.folder = folder
        self.path = path
        self.target = target
        self.reached: tuple[_Node, int] | None = None


class _Tree:
    """The folder under construction: what exists in it, and what may still come."""

    def __init__(self, path: str, max_bytes: int, max_entries: int) -> None:
        self.written = 0
        self._path = path
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._entries = 0
        self._root = _Folder("", None)
        self._folders: list[str] = []
        self._links: list[_Link] = []

    def add(self, member: Member, stream: ByteStream) -> None:
        """Create one entry. Raises ``bundle-unsafe`` and ``bundle-too-large``."""
        self._count()
        path = _checked_path(member.name)
        if member.kind == "folder":
            self._folder(path)
        elif member.kind == "symlink":
            self._add_link(path, member.target)
        elif member.kind == "hardlink":
            self._add_hard_link(path, _checked_path(member.target))
        elif member.kind == "file":
            self._add_file(path, member, stream)
        else:
            raise unsafe(path, "is neither a file, a folder nor a link")

    def finish(self) -> None:
        """Check where links lead now that everything is there, and close the folders."""
        for link in self._links:
            _reached(link)
        for path in self._folders:
            self._close_folder(os.path.join(self._path, path))

    def _count(self) -> None:
        self._entries += 1
        if self._entries > self._max_entries:
            raise too_many(self._max_entries)

    def _folder(self, path: str) -> _Folder:
        """The folder at ``path``, made if need be, with those above it."""
        folder, at = self._root, ""
        for name in path.split("/") if path else ():
            at = f"{at}/{name}" if at else name
            found = _child(folder, name)
            if found is None:
                # An entry can stand for a hundred folders; they count.
                self._count()
                self._make_folder(os.path.join(self._path, at))
                self._folders.append(at)
                found = _Folder(name, folder)
            elif found.name != name:
                raise unsafe(at, f"differs from {found.name} in its spelling only")
            elif not isinstance(found, _Folder):
                raise unsafe(path, f"needs a folder where {at} is none")
            folder = found
        return folder

    def _claim(self, path: str) -> tuple[_Folder, str, str]:
        """Folder and name of a new entry, and where it is to be made."""
        parent, _, name = path.rpartition("/")
        folder = self._folder(parent)
        found = _child(folder, name) if name else self._root
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
        _Node(name, folder)

    def _add_link(self, path: str, to: str) -> None:
        if not to or not _is_plain(to) or to.startswith("/"):
            raise unsafe(path, "is a link that leads out of the bundle, or nowhere")
        folder, name, target = self._claim(path)
        self._make_link(to, target)
        self._links.append(_Link(name, folder, path, to))

    def _add_hard_link(self, path: str, to: str) -> None:
        node: _Node | None = self._root
        for name in to.split("/"):
            node = node and _child(node, name)
            if node is None or node.name != name or isinstance(node, _Link):
                raise unsafe(path, "is a hard link to nothing in the bundle")
        if isinstance(node, _Folder):
            raise unsafe(path, "is a hard link to a folder")
        folder, name, target = self._claim(path)
        self._make_hard_link(os.path.join(self._path, to), target)
        _Node(name, folder)

    # What touches the disk, and nothing else does.

    def _make_folder(self, target: str) -> None:
        os.mkdir(target, 0o755)

    def _close_folder(self, target: str) -> None:
        os.chmod(target, 0o555)

    def _make_file(self, target: str, member: Member, stream: ByteStream) -> None:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            left = member.size
            while left and (data := stream.read_some(min(left, _CHUNK))):
                write_all(descriptor, data)
                left -= len(data)
            os.fchmod(descriptor, 0o555 if member.mode & 0o111 else 0o444)
            if member.size >= _LARGE:
                write_early(descriptor)
            # Compiled Python in a bundle is used only if its source has the time it was compiled from.
            modified = min(member.modified, _LATEST)
            os.utime(descriptor, (modified, modified))
        finally:
            os.close(descriptor)

    def _make_link(self, to: str, target: str) -> None:
        os.symlink(to, target)

    def _make_hard_link(self, to: str, target: str) -> None:
        os.link(to, target, follow_symlinks=False)


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


def _key(name: str) -> str:
    """The same for names that are one name where case or composition does not count (Unicode 3.13, D145)."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def _child(node: _Node, name: str) -> _Node | None:
    return node.children.get(_key(name)) if isinstance(node, _Folder) else None


def _reached(link: _Link, depth: int = 0) -> tuple[_Node, int]:
    """Where ``link`` leads: the last place that exists, and how far below it. Raises ``bundle-unsafe``.

    Every link is walked once, in the model, by the kernel's rules. Below what is no folder the kernel gives
    up; here the walk goes on, for a file system may see a folder there where case does not count.
    """
    if link.reached is not None:
        return link.reached
    if depth > _MAX_LINKS_IN_A_ROW:
        raise unsafe(link.path, "is a link that leads in circles")
    node: _Node = link.folder
    missing = 0
    for name in link.target.split("/"):
        if name in {"", "."}:
            continue
        if name == "..":
            if missing:
                missing -= 1
            elif node.parent is None:
                raise unsafe(link.path, "is a link that leads out of the bundle")
            else:
                node = node.parent
            continue
        found = None if missing else _child(node, name)
        if isinstance(found, _Link):
            node, missing = _reached(found, depth + 1)
        elif found is None:
            missing += 1
        else:
            node = found
    link.reached = node, missing
    return link.reached


def _checked_path(name: str) -> str:
    """A relative, plain path; ``""`` is the bundle's root."""
    if not _is_plain(name) or name.startswith("/") or _DRIVE.match(name):
        raise unsafe(name, "is not a plain relative path")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if len(parts) > _MAX_DEPTH or any(part == ".." or len(part.encode()) > _MAX_COMPONENT for part in parts):
        raise unsafe(name, "is not a plain relative path")
    return "/".join(parts)


def _is_plain(path: str) -> bool:
    """Short enough, nothing a terminal or another system reads in its own way."""
    return len(path.encode()) <= _MAX_PATH and "\\" not in path and path.isprintable()
