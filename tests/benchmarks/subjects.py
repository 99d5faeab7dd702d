"""The servers that are measured, in every form in which somebody would start them.

Each is one tree of files: as a package for ``mcp run``, as a wheel for ``uvx`` and as an npm package for
``npx``, all served by one web server on loopback; and the tree itself for whoever starts it directly.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kit.bundle import Package, digest_of, manifest_form, pack, package, regular
from kit.command import Mcp
from large_bundle import make_files
from measure import HERE
from web_server import serve

PROGRAMS = os.path.join(HERE, "programs")
# Here a machine without a compiler finds the static server.
COMPILED = "MCP_BENCH_COMPILED"
_OPTIONS = "-IS"
# As a bundle of 50 MB: what make_files() gives has 200.
_LARGE_SHARE = 0.25


class Subject(NamedTuple):
    """One server; ``command`` starts it from its unpacked ``tree``.

    ``bundle``, ``wheel`` and ``npm`` are URLs of two files and of a registry, ``variables`` what it needs.
    """

    name: str
    what: str
    reference: str
    tree: str
    command: Sequence[str]
    bundle: str
    wheel: str
    npm: str
    variables: Mapping[str, str] = {}


class World(NamedTuple):
    """All that contenders need: servers, a registry with its folder ``site``, ``mcp`` with all pulled."""

    folder: str
    site: str
    url: str
    web_server: str
    mcp: Mcp
    subjects: Mapping[str, Subject]


@contextlib.contextmanager
def make_world(names: Sequence[str]) -> Iterator[World]:
    """Build, publish and pull the servers ``names``."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.chmod(folder, 0o755)
        site = os.path.join(folder, "site")
        os.makedirs(site)
        with serve(site, folder) as (url, web_server):
            subjects = {name: _subject(name, folder, site, url) for name in names}
            mcp = Mcp(folder, url)
            pulled = mcp.run("pull", *(one.reference for one in subjects.values()), seconds=600)
            if pulled.status:
                sys.exit(pulled.stderr)
            try:
                yield World(folder, site, url, web_server, mcp, subjects)
            finally:
                _open_folders(folder)


def publish(site: str, one: Package) -> None:
    """Make a registry of files: resolve answer, manifest and bundle."""
    answer: dict[str, Any] = {"version": one.version}
    for kind, data, end in (("manifest", one.manifest, "json"), ("bundle", one.bundle, "tar.gz")):
        file = f"{one.name}.{end}"
        answer[kind] = {"digest": digest_of(data), "url": f"/{file}", "size_bytes": len(data)}
        with open(os.path.join(site, file), "wb") as opened:
            opened.write(data)
    folder = os.path.join(site, "packages", one.org, one.name)
    os.makedirs(folder)
    with open(os.path.join(folder, f"{one.version}.json"), "w", encoding="utf-8") as opened:
        json.dump(answer, opened)


def interpreter() -> str:
    """The real Python below any virtual environment, as ``mcp run`` starts it."""
    return os.path.realpath(os.path.join(sys.base_prefix, "bin", "python3"))


NAMES: Mapping[str, str] = {
    "C": "static, one file",
    "allowlist": "the same, which may connect to one host",
    "Python": "one file",
    "Node": "one file",
    "large": "Python, 3,000 files of 50 MB",
}
_STATIC = frozenset({"C", "allowlist"})
_FILES = {
    "C": "server",
    "allowlist": "server",
    "Python": "server.py",
    "Node": "server.js",
    "large": "server.py",
}


def _files(name: str, folder: str) -> dict[str, tuple[bytes, int]]:
    """Path -> content and mode."""
    if name in _STATIC:
        content = _read(_compiled(folder))
    else:
        content = _read(os.path.join(PROGRAMS, _FILES[name]))
        if name != "Node":
            # The same interpreter with the same options for everybody: a virtual environment's own would look
            # into another folder of packages, and be quicker or slower for it.
            content = f"#!{interpreter()} {_OPTIONS}\n".encode() + content
    more = make_files(_LARGE_SHARE) if name == "large" else []
    return {_FILES[name]: (content, 0o755), **{path: (data, mode) for path, data, mode in more}}


def _compiled(folder: str) -> str:
    ready = os.environ.get(COMPILED)
    if ready:
        return ready
    made = os.path.join(folder, "server")
    compiler = shutil.which("musl-gcc") or "gcc"
    subprocess.run([compiler, "-static", "-O2", "-o", made, f"{PROGRAMS}/server.c"], check=True)
    return made


def _subject(name: str, folder: str, site: str, url: str) -> Subject:
    files = _files(name, folder)
    short, program = f"bench-{name.lower()}", _FILES[name]
    started_by = f"./{program}" if name in _STATIC else {"Node": "node"}.get(name, "python3")
    options = [_OPTIONS] if started_by == "python3" else []
    arguments = [] if name in _STATIC else [*options, f"${{bundle}}/{program}"]
    bundle = pack([(regular(path, data, mode), data) for path, (data, mode) in files.items()], level=1)
    network = {"allowlist": ["example.com:443"] if name == "allowlist" else []}
    made = package(manifest_form(f"bench/{short}@1.0.0", started_by, *arguments, network=network), bundle)
    publish(site, made)
    tree = os.path.join(folder, short)
    for path, (data, mode) in files.items():
        os.makedirs(os.path.dirname(os.path.join(tree, path)), exist_ok=True)
        with open(os.path.join(tree, path), "wb") as file:
            file.write(data)
        os.chmod(file.name, mode)
    command = [*options, os.path.join(tree, program)]
    if name not in _STATIC:
        command.insert(
            0, os.path.realpath(shutil.which("node") or "node") if name == "Node" else interpreter()
        )
    return Subject(
        name,
        NAMES[name],
        made.reference,
        tree,
        command,
        f"{url}/{made.name}.tar.gz",
        f"{url}/{_make_wheel(site, short, program, files)}",
        _publish_to_npm(site, url, short, program, files),
    )


def _make_wheel(site: str, name: str, program: str, files: Mapping[str, tuple[bytes, int]]) -> str:
    """The file's name; the program is a script of it called ``name`` (the binary distribution format)."""
    plain = re.sub("-", "_", name)
    path = f"{plain}-1.0.0-py3-none-any.whl"
    information = f"{plain}-1.0.0.dist-info"
    with zipfile.ZipFile(os.path.join(site, path), "w", zipfile.ZIP_DEFLATED, compresslevel=1) as wheel:

        def add(inside: str, data: bytes, mode: int = 0o644) -> None:
            entry = zipfile.ZipInfo(inside)
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)

        for inside, (data, mode) in files.items():
            if inside == program:
                add(f"{plain}-1.0.0.data/scripts/{name}", data, 0o755)
            else:
                add(f"{plain}/{inside}", data, mode)
        add(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n".encode())
        kind = b"Wheel-Version: 1.0\nGenerator: benchmark\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        add(f"{information}/WHEEL", kind)
        add(f"{information}/RECORD", b"")
    return path


def _publish_to_npm(
    site: str, url: str, name: str, program: str, files: Mapping[str, tuple[bytes, int]]
) -> str:
    """The registry's URL: what it says of the package is one file (npm's package metadata)."""
    description = {"name": name, "version": "1.0.0", "bin": {name: f"./{program}"}}
    own = {"package.json": (json.dumps(description).encode(), 0o644), **files}
    members = [(regular(f"package/{path}", data, mode), data) for path, (data, mode) in own.items()]
    packed = pack(members, level=1)
    os.makedirs(os.path.join(site, "npm"), exist_ok=True)
    with open(os.path.join(site, "npm", f"{name}.tgz"), "wb") as file:
        file.write(packed)
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()
    release = {**description, "dist": {"tarball": f"{url}/npm/{name}.tgz", "integrity": integrity}}
    with open(os.path.join(site, "npm", name), "w", encoding="utf-8") as opened:
        json.dump(
            {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": release}},
            opened,
        )
    return f"{url}/npm"


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _open_folders(folder: str) -> None:
    """Trees are read-only, and whoever is not root could not remove them."""
    for parent, _, _ in os.walk(folder):
        if not os.path.islink(parent):
            os.chmod(parent, 0o755)
