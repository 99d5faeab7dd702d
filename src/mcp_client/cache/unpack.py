"""Unpack a hostile archive: check every entry, create only plain files, folders and links that stay inside.

The checks are our own; the standard filters were bypassed more than once (CVE-2025-4517, CVE-2025-4330,
CVE-2024-12718). Modes are ours too: nothing is writable, and only the execute bit of the archive counts.
"""

import gzip
import os
import re
import stat
import tarfile
import unicodedata
import zlib
from typing import IO, cast

from mcp_client.errors import MCPError, printable

_CHUNK = 256 << 10
# A header that needs more in one piece (a PAX record, a long name) is an attack on our memory.
_LARGEST_READ = 1 << 20
_MAX_PATH = 4000
_MAX_COMPONENT = 255
_DRIVE = re.compile(r"[A-Za-z]:")


def unpack_bundle(archive: str, target: str, *, max_bytes: int, max_entries: int) -> int:
    """Unpack the gzip-compressed tar file ``archive`` as the new folder ``target``; bytes written.

    Raises ``bundle-invalid``, ``bundle-unsafe``, ``bundle-too-large`` and OSError.
    """
    os.mkdir(target, 0o755)
    tree = _Tree(target, max_bytes, max_entries)
    try:
        with gzip.open(archive, "rb") as stream:
            bounded = cast("IO[bytes]", _Bounded(stream, max_bytes + max_entries * 4096))
            with tarfile.open(fileobj=bounded, mode="r:", errors="strict") as bundle:
                for member in bundle:
                    tree.add(member, bounded)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeError) as error:
        raise MCPError(
            "bundle-invalid",
            f"the bundle is not a whole tar.gz archive: {printable(str(error))}",
            hint="tell the package's author",
        ) from error
    tree.finish()
    return tree.written


class _Bounded:
    """The decompressed stream, with a limit on its length and on what is read in one piece."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _LARGEST_READ:
            raise _unsafe("a header", "is too large")
        data = self._stream.read(size)
        self._check()
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or offset > self._limit:
            raise _too_large(self._limit)
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self) -> None:
        if self._stream.tell() > self._limit:
            raise _too_large(self._limit)


class _Tree:
    """The folder under construction: what exists in it, by path, and what may still come."""

    def __init__(self, root: str, max_bytes: int, max_entries: int) -> None:
        self.written = 0
        self._root = root
        self._bytes_left = max_bytes
        self._max_bytes = max_bytes
        self._entries = 0
        self._max_entries = max_entries
        self._folders = {""}
        self._files: set[str] = set()
        self._links: set[str] = set()
        self._spellings: dict[str, str] = {}

    def add(self, member: tarfile.TarInfo, stream: IO[bytes]) -> None:
        """Create one entry. Raises ``bundle-unsafe`` and ``bundle-too-large``."""
        self._count()
        path = _checked_path(member.name)
        if member.isdir():
            self._make_folder(path)
        elif member.issym():
            self._make_link(path, member.linkname)
        elif member.islnk():
            self._make_hard_link(path, _checked_path(member.linkname))
        elif member.isreg() and not member.issparse():
            self._make_file(path, member, stream)
        else:
            raise _unsafe(path, "is neither a file, a folder nor a link")

    def finish(self) -> None:
        """Check where links lead now that everything is there, and close the folders."""
        root = os.path.realpath(self._root)
        for path in self._links:
            real = os.path.realpath(os.path.join(root, path))
            if os.path.commonpath([real, root]) != root:
                raise _unsafe(path, "is a link that leads out of the bundle")
        for path in self._folders - {""}:
            os.chmod(os.path.join(self._root, path), 0o555)

    def _count(self) -> None:
        self._entries += 1
        if self._entries > self._max_entries:
            raise MCPError(
                "bundle-too-large",
                f"the bundle has more than {self._max_entries} entries",
                hint="if you trust it, raise cache.max_entries",
                details={"limit": self._max_entries},
            )

    def _make_folder(self, path: str) -> None:
        if path in self._folders:
            return
        parent = os.path.dirname(path)
        self._make_folder(parent)
        self._claim(path)
        os.mkdir(os.path.join(self._root, path), 0o755)
        self._folders.add(path)

    def _claim(self, path: str) -> str:
        """Reserve a new path; file systems that ignore case or composition must see it as new as well."""
        if path in self._files or path in self._links or path in self._folders:
            raise _unsafe(path, "is there twice")
        parent = os.path.dirname(path)
        if parent in self._files or parent in self._links:
            raise _unsafe(path, "lies below something that is not a folder")
        self._make_folder(parent)
        key = unicodedata.normalize("NFC", path).casefold()
        other = self._spellings.setdefault(key, path)
        if other != path:
            raise _unsafe(path, f"differs from {printable(other, 80)} in its spelling only")
        return os.path.join(self._root, path)

    def _make_file(self, path: str, member: tarfile.TarInfo, stream: IO[bytes]) -> None:
        if member.mode & (stat.S_ISUID | stat.S_ISGID):
            raise _unsafe(path, "has a setuid or setgid bit")
        if member.size > self._bytes_left:
            raise _too_large(self._max_bytes)
        self._bytes_left -= member.size
        target = self._claim(path)
        mode = 0o555 if member.mode & 0o111 else 0o444
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            left = member.size
            while left:
                data = stream.read(min(left, _CHUNK))
                if not data:
                    raise EOFError(f"{path} is cut short")
                file.write(data)
                left -= len(data)
            os.fchmod(descriptor, mode)
        self.written += member.size
        self._files.add(path)

    def _make_link(self, path: str, to: str) -> None:
        if not to or "\\" in to or not to.isprintable() or len(to) > _MAX_PATH:
            raise _unsafe(path, "is a link with an unusable target")
        reached = os.path.normpath(os.path.join(os.path.dirname(path), to))
        if os.path.isabs(to) or reached == ".." or reached.startswith("../"):
            raise _unsafe(path, "is a link that leads out of the bundle")
        os.symlink(to, self._claim(path))
        self._links.add(path)

    def _make_hard_link(self, path: str, to: str) -> None:
        if to not in self._files:
            raise _unsafe(path, "is a hard link to nothing in the bundle")
        os.link(os.path.join(self._root, to), self._claim(path), follow_symlinks=False)
        self._files.add(path)


def _checked_path(name: str) -> str:
    """A relative, plain path; ``""`` is the bundle's root."""
    if len(name) > _MAX_PATH or name.startswith("/") or "\\" in name or _DRIVE.match(name):
        raise _unsafe(name, "is not a plain relative path")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if any(part == ".." or len(os.fsencode(part)) > _MAX_COMPONENT for part in parts):
        raise _unsafe(name, "is not a plain relative path")
    if not all(part.isprintable() for part in parts):
        raise _unsafe(name, "has characters that cannot be shown")
    return "/".join(parts)


def _unsafe(path: str, problem: str) -> MCPError:
    shown = printable(path, 120)
    return MCPError(
        "bundle-unsafe",
        f"the bundle cannot be unpacked safely: {shown} {problem}",
        hint="nothing was kept; tell the package's author",
        details={"entry": shown},
    )


def _too_large(limit: int) -> MCPError:
    return MCPError(
        "bundle-too-large",
        f"the bundle unpacks to more than {limit} bytes",
        hint="if you trust it, raise cache.max_unpacked",
        details={"limit": limit},
    )
