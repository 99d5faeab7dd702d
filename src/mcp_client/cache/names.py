"""Where things are in an archive, by name alone: what an entry may be called, and where a link leads.

Asking the file system instead, while it changes, is how archives get out (CVE-2025-4517, CVE-2025-4330,
CVE-2024-12718).
"""

import re
import sys
import unicodedata

from mcp_client.cache.refusals import unsafe

_MAX_PATH = 1024
_MAX_COMPONENT = 255
_MAX_DEPTH = 100
_MAX_LINKS_IN_A_ROW = 40  # as in the kernel, path_resolution(7)
_DRIVE = re.compile(r"[A-Za-z]:")
# "Naming Files, Paths, and Namespaces" of the Windows documentation; superscript digits count as digits.
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])\Z", re.IGNORECASE
)
_NOT_IN_NAMES = frozenset('<>:"|?*')


class Node:
    """A file of the tree; ``parent`` is None for the root only."""

    __slots__ = ("name", "parent")

    def __init__(self, name: str, parent: "Folder | None") -> None:
        self.name = name
        self.parent = parent
        if parent is not None:
            parent.children[_key(name)] = self


class Folder(Node):
    """A folder of the tree, with what is in it."""

    __slots__ = ("children",)

    def __init__(self, name: str, parent: "Folder | None") -> None:
        super().__init__(name, parent)
        self.children: dict[str, Node] = {}


class Link(Node):
    """A symbolic link at ``path``, and where it leads once that is known."""

    __slots__ = ("folder", "path", "reached", "target")

    def __init__(self, name: str, folder: Folder, path: str, target: str) -> None:
        super().__init__(name, folder)
        self.folder = folder
        self.path = path
        self.target = target
        self.reached: tuple[Node, int] | None = None


def _key(name: str) -> str:
    """The same for names that are one name where case or composition does not count (Unicode 3.13, D145)."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def child(node: Node, name: str) -> Node | None:
    """What ``name`` is in a folder, however it is spelled; None where there is nothing, or no folder."""
    return node.children.get(_key(name)) if isinstance(node, Folder) else None


def check_link(link: Link, depth: int = 0) -> tuple[Node, int]:
    """Where ``link`` leads: the last place that exists, and how far below it. Raises ``bundle-unsafe``.

    Every link is walked once, in the model, by the kernel's rules. Below what is no folder the kernel gives
    up; here the walk goes on, for a file system may see a folder there where case does not count.
    """
    if link.reached is not None:
        return link.reached
    if depth > _MAX_LINKS_IN_A_ROW:
        raise unsafe(link.path, "is a link that leads in circles")
    node: Node = link.folder
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
        found = None if missing else child(node, name)
        if isinstance(found, Link):
            node, missing = check_link(found, depth + 1)
        elif found is None:
            missing += 1
        else:
            node = found
    link.reached = node, missing
    return link.reached


def checked_path(name: str) -> str:
    """A relative, plain path; ``""`` is the bundle's root."""
    if not is_plain(name) or name.startswith("/") or _DRIVE.match(name):
        raise unsafe(name, "is not a plain relative path")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if sys.platform == "win32" and not all(map(is_windows_name, parts)):
        raise unsafe(name, "has a name that Windows reads in its own way")
    if len(parts) > _MAX_DEPTH or any(part == ".." or len(part.encode()) > _MAX_COMPONENT for part in parts):
        raise unsafe(name, "is not a plain relative path")
    return "/".join(parts)


def is_plain(path: str) -> bool:
    """Short enough, nothing a terminal or another system reads in its own way."""
    return len(path.encode()) <= _MAX_PATH and "\\" not in path and path.isprintable()


def is_windows_name(name: str) -> bool:
    """Whether Windows takes ``name`` for what it is: no device, no stream, nothing at the end that it drops.

    A device is one whatever extension follows, with spaces before that (``nul .txt``).
    """
    stem = name.partition(".")[0].rstrip(" ")
    return not (name.endswith((".", " ")) or _NOT_IN_NAMES.intersection(name) or _DEVICE.match(stem))
