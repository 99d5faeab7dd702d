"""Prove what is stored again when there is reason to doubt it, and mend it.

A tree is doubted when its identity is not the noted one: somebody changed it, or the cache was copied here.
It is then compared with its bundle. Whole, it is noted again, and the next run is as quick as ever. Damaged,
it goes to the quarantine and is unpacked anew; without an intact bundle that takes a download.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

from mcp_client import system
from mcp_client.cache.compare import find_difference, is_intact
from mcp_client.cache.compiled_publish import find_change, forget_compiled
from mcp_client.cache.identity import is_copy
from mcp_client.cache.quarantine import quarantine
from mcp_client.cache.staging import locked
from mcp_client.digest import Digest
from mcp_client.errors import MCPError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_client.cache.store import Cache, Entry

State = Literal["whole", "damaged", "unproven"]
_FULL_MODE = 0o7777
_TREE_MODE = 0o555


class Finding(NamedTuple):
    """What a proof of one entry said. ``moved`` is where it is now when it was damaged."""

    entry: "Entry"
    state: State
    problem: str = ""
    moved: str | None = None


def restore(cache: "Cache", digest: Digest, noted: str) -> bool:
    """Make the tree of ``digest`` one that may run; False when only a download can.

    Where nothing may be written, a tree that looks like a faithful copy of the noted one passes, any other
    must be proven each time; ``cache-damaged`` when it is not whole.
    """
    tree, archive = cache.tree_path(digest), cache.artifact_path("bundle", digest)
    if not cache.writable:
        return _accept_as_it_is(cache, digest, noted)
    with _alone(cache, digest):
        if cache.is_noted(digest):
            # Another process was here while this one waited.
            return True
        if not os.path.lexists(archive):
            cache.doubts[digest] = "its bundle is not here to compare it with"
            return False
        if not is_intact(archive, digest):
            moved = quarantine(cache.settings, "bundle", digest, os.path.dirname(archive))
            if moved is not None:
                cache.warn(
                    f"a bundle in the cache is damaged, was moved to {moved} and must be fetched again"
                )
            cache.doubts[digest] = "its bundle is damaged as well"
            return False
        with _kept(cache, tree):
            difference = find_difference(tree, archive, cache.settings) if os.path.lexists(tree) else ""
        if difference is None:
            settle(cache, digest)
            return True
        # Its files may be those of the damaged tree.
        forget_compiled(cache, digest)
        # No longer kept: on Windows what is kept cannot be moved.
        moved = quarantine(cache.settings, "tree", digest, tree)
        if moved is not None:
            cache.warn(
                f"an unpacked package was changed ({difference}), was moved to {moved} and is unpacked anew"
            )
        return _unpack_anew(cache, digest)


def _unpack_anew(cache: "Cache", digest: Digest) -> bool:
    try:
        cache.unpack(digest)
    except MCPError as error:
        if error.code != "cache-damaged":
            raise
        cache.doubts[digest] = "its bundle was removed meanwhile"
        return False
    return True


def settle(cache: "Cache", digest: Digest) -> None:
    """Note the identity of a tree that was proven; its root may still be open from a removal that failed."""
    tree = cache.tree_path(digest)
    with suppress(OSError):
        if system.KEEPS_MODES and os.lstat(tree).st_mode & _FULL_MODE != _TREE_MODE:
            os.chmod(tree, _TREE_MODE)
    cache.note_tree(digest)


def verify(
    cache: "Cache", entries: Iterable["Entry"], on_progress: Callable[["Entry"], object] | None = None
) -> "Iterator[Finding]":
    """Prove ``entries`` byte by byte, and move what is damaged to the quarantine.

    A tree without an intact bundle stays, unproven. Where nothing may be written, nothing is moved.
    """
    # A bundle is hashed once, for itself and for its tree.
    intact: set[Digest] = set()
    for entry in sorted(entries, key=lambda entry: entry.kind == "tree"):
        if on_progress is not None:
            on_progress(entry)
        if entry.kind == "tree":
            finding = _verify_tree(cache, entry, intact)
        elif entry.kind == "compiled":
            finding = _verify_compiled(cache, entry)
        else:
            finding = _verify_artifact(cache, entry)
            if finding is not None and finding.state == "whole":
                intact.add(entry.digest)
        if finding is not None:
            yield finding


def _verify_artifact(cache: "Cache", entry: "Entry") -> Finding | None:
    path = cache.artifact_path("manifest" if entry.kind == "manifest" else "bundle", entry.digest)
    if is_intact(path, entry.digest):
        return Finding(entry, "whole")
    if not os.path.lexists(entry.path):
        return None
    problem = "its bytes are not those of its digest" if os.path.lexists(path) else "it is empty"
    return _damaged(cache, entry, problem)


def _verify_tree(cache: "Cache", entry: "Entry", intact: set[Digest]) -> Finding | None:
    archive = cache.artifact_path("bundle", entry.digest)
    with _alone(cache, entry.digest):
        if not os.path.lexists(entry.path):
            return None
        if entry.digest not in intact and not is_intact(archive, entry.digest):
            missing = not os.path.lexists(archive)
            return Finding(entry, "unproven", f"its bundle is {'not here' if missing else 'damaged'}")
        with _kept(cache, entry.path):
            difference = find_difference(entry.path, archive, cache.settings)
        if difference is not None:
            return _damaged(cache, entry, difference)
        if cache.writable and not cache.is_noted(entry.digest):
            settle(cache, entry.digest)
        return Finding(entry, "whole")


def _verify_compiled(cache: "Cache", entry: "Entry") -> Finding | None:
    if not os.path.lexists(entry.path):
        return None
    problem = find_change(cache, entry.digest)
    return Finding(entry, "whole") if problem is None else _damaged(cache, entry, problem)


def _damaged(cache: "Cache", entry: "Entry", problem: str) -> Finding | None:
    if not cache.writable:
        return Finding(entry, "damaged", problem)
    if entry.kind in {"tree", "compiled"}:
        forget_compiled(cache, entry.digest)
    moved = quarantine(cache.settings, entry.kind, entry.digest, entry.path)
    # An entry that another process removed while it was read looked damaged.
    return None if moved is None else Finding(entry, "damaged", problem, moved)


def _accept_as_it_is(cache: "Cache", digest: Digest, noted: str) -> bool:
    tree, archive = cache.tree_path(digest), cache.artifact_path("bundle", digest)
    if is_copy(tree, noted):
        return True
    if not os.path.lexists(tree):
        return False
    if is_intact(archive, digest):
        problem = find_difference(tree, archive, cache.settings)
        if problem is None:
            return True
    else:
        problem = "its bundle is missing or damaged"
    raise MCPError(
        "cache-damaged",
        f"{tree} was changed: {problem}",
        hint="ask whoever may write this cache to run 'mcp cache verify' and to pull the package again, "
        "or use a cache of your own (MCP_CACHE_DIR)",
    )


@contextmanager
def _kept(cache: "Cache", tree: str) -> "Iterator[None]":
    """Keep a tree from being removed while it is read; one that is going counts as gone."""
    hold = None
    with suppress(MCPError):
        hold = cache.hold(tree)
    try:
        yield
    finally:
        if hold is not None:
            os.close(hold)


@contextmanager
def _alone(cache: "Cache", digest: Digest) -> "Iterator[None]":
    """Let one of all processes prove a tree while the others wait, where a lock can be made."""
    with locked(cache.folder, f"proof-{digest.hex}") if cache.writable else nullcontext():
        yield
