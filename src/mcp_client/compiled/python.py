"""Compile Python packages: every source of the tree, as py_compile(3) does, without executing any of it."""

import os
import re
import stat
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mcp_client.cache.compiled_publish import Form, double_tree
from mcp_client.compiled.records import RecordsError
from mcp_client.digest import Digest

if TYPE_CHECKING:
    from mcp_client.cache.store import Cache

_SUFFIX = ".py"
_MOST_SOURCES = 50_000
# Compiling takes a hundred times the memory of the source; all that comes after would fail with it.
_LARGEST_SOURCE = 2 << 20
_MOST_COPIED = 64 << 20
_TAG = re.compile(rb"[A-Za-z0-9_-]{1,40}")
_NUMBER = re.compile(rb"[0-9]{1,6}")
_TAG_NAME = b"tag"
_LONGEST_NAME = 255

# For any Python 3 of the host. It reads paths on standard input and answers with what records.py reads: first
# the tag that is part of the names, then what it compiled by the number of its path. Times and sizes of the
# sources are in there (PEP 3147, PEP 552), so Python itself notices a source that is another one by then.
PROGRAM = r"""
import os, struct, sys
import importlib.util, py_compile

def put(name, data):
    out.write(struct.pack(">HI", len(name), len(data)) + name + data)

def is_current(path):
    try:
        about = os.stat(path)
        with open(importlib.util.cache_from_source(path), "rb") as file:
            magic, flags, time, size = struct.unpack("<4sIII", file.read(16))
    except (OSError, struct.error, NotImplementedError):
        return False
    if magic != importlib.util.MAGIC_NUMBER:
        return False
    return bool(flags & 1) or (time, size) == (int(about.st_mtime) & 0xFFFFFFFF, about.st_size & 0xFFFFFFFF)

root, target = sys.argv[1], os.path.join(os.environ["TMPDIR"], "compiled")
paths = sys.stdin.buffer.read().split(b"\0")
out = sys.stdout.buffer
out.write(b"\0mcp-compiled\0")
put(b"tag", (sys.implementation.cache_tag or "").encode())
for number, path in enumerate(paths):
    path = os.path.join(root, os.fsdecode(path))
    if is_current(path):
        continue
    try:
        py_compile.compile(path, target, path, doraise=True)
        with open(target, "rb") as file:
            put(b"%d" % number, file.read())
    except Exception:
        continue
out.write(bytes(6))
out.flush()
"""


def python_arguments(bundle: str) -> tuple[str, ...]:
    """The command line after the interpreter; ``bundle`` is where the tree is inside."""
    # Neither the package's modules nor the user's: only the standard library.
    return ("-I", "-S", "-B", "-W", "ignore", "-c", PROGRAM, bundle)


def list_sources(tree: str) -> list[str]:
    """Relative paths of all Python sources, no links, at most as many as are worth the time."""
    found: list[str] = []
    folders = [""]
    while folders and len(found) < _MOST_SOURCES:
        inside = folders.pop()
        with os.scandir(os.path.join(tree, inside)) as listed:
            for item in listed:
                path = os.path.join(inside, item.name)
                if item.is_dir(follow_symlinks=False):
                    folders.append(path)
                elif item.name.endswith(_SUFFIX) and _is_source(item.stat(follow_symlinks=False)):
                    found.append(path)
    return found[:_MOST_SOURCES]


def _is_source(about: os.stat_result) -> bool:
    return stat.S_ISREG(about.st_mode) and about.st_size <= _LARGEST_SOURCE


def add_python(
    cache: "Cache", digest: Digest, form: Form, sources: list[str], records: Iterable[tuple[bytes, bytes]]
) -> bool:
    """Make ``form`` the tree with compiled files added; False when there are none to add.

    Raises RecordsError for what cannot have come of these ``sources``, and OSError.
    """
    tag = ""
    added = False
    for name, data in records:
        if not tag:
            if name != _TAG_NAME or not _TAG.fullmatch(data):
                raise RecordsError("there is no tag")
            tag = data.decode()
            continue
        if not _NUMBER.fullmatch(name) or int(name) >= len(sources):
            raise RecordsError("a record is of no source")
        if not added:
            double_tree(cache, digest, form, _MOST_COPIED)
            added = True
        folder, source = os.path.split(sources[int(name)])
        compiled = f"{source.removesuffix(_SUFFIX)}.{tag}.pyc"
        inside = os.path.join(folder, "__pycache__")
        if len(os.fsencode(compiled)) <= _LONGEST_NAME and form.make_folder(inside):
            form.add_file(os.path.join(inside, compiled), data)
    return added
