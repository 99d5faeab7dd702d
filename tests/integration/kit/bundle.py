"""Packages as a publisher makes them: a manifest, and a tar.gz that is the same bytes every time."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mcp_client import platforms

EPOCH = 1_000_000_000  # every file of every bundle was last modified then


class Package(NamedTuple):
    """One published version; ``manifest`` and ``bundle`` are the bytes as a registry serves them."""

    org: str
    name: str
    version: str
    manifest: bytes
    bundle: bytes

    @property
    def reference(self) -> str:
        return f"{self.org}/{self.name}@{self.version}"

    @property
    def digests(self) -> tuple[str, str]:
        """Of manifest and bundle, as ``sha256:<hex>``."""
        return digest_of(self.manifest), digest_of(self.bundle)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest_form(reference: str, command: str, *args: str, **fields: Any) -> dict[str, Any]:
    """A complete manifest for this platform; ``fields`` replace its top level, ``env`` goes inside."""
    name, _, version = reference.partition("@")
    entrypoint: dict[str, Any] = {"command": command, "args": list(args)}
    if "env" in fields:
        entrypoint["env"] = fields.pop("env")
    return {
        "name": name,
        "version": version,
        "description": "A package of the integration tests.",
        "author": "The mcp-client authors",
        "license": "MIT",
        "entrypoints": {platforms.current(): entrypoint},
        "transport": "stdio",
        "environment": {"allowed_names": [], "deny_patterns": []},
        "network": {"allowlist": []},
        "subprocess": False,
        "resources": {"cpu_millicores": 2000, "memory_mb": 1024, "max_processes": 16, "max_fds": 256},
        **fields,
    }


def package(form: Mapping[str, Any] | bytes, bundle: bytes, *, reference: str | None = None) -> Package:
    """Join a manifest (or raw bytes that pretend to be one, then with ``reference``) and a bundle."""
    if isinstance(form, bytes):
        assert reference is not None
        raw, name = form, reference
    else:
        raw, name = json.dumps(form, indent=2).encode(), reference or f"{form['name']}@{form['version']}"
    package_name, _, version = name.partition("@")
    org, _, short = package_name.partition("/")
    return Package(org, short, version, raw, bundle)


def pack_folder(folder: str) -> bytes:
    """A deterministic tar.gz of everything below ``folder``: sorted, one owner, one time."""
    members: list[tuple[tarfile.TarInfo, bytes]] = []
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*files, *(f for f in folders if os.path.islink(os.path.join(parent, f)))]):
            path = os.path.join(parent, name)
            inside = os.path.relpath(path, folder)
            if os.path.islink(path):
                members.append((link(inside, os.readlink(path)), b""))
            else:
                with open(path, "rb") as opened:
                    data = opened.read()
                members.append((regular(inside, data, 0o755 if os.access(path, os.X_OK) else 0o644), data))
    return pack(members, level=1)


def pack_files(files: Mapping[str, str | bytes], *, executable: Iterable[str] = ()) -> bytes:
    """A tar.gz of a few files given as text."""
    runnable = set(executable)
    members = []
    for name, content in sorted(files.items()):
        data = content.encode() if isinstance(content, str) else content
        members.append((regular(name, data, 0o755 if name in runnable else 0o644), data))
    return pack(members)


def pack(members: Iterable[tuple[tarfile.TarInfo, bytes]], *, level: int = 6) -> bytes:
    """Any members at all, hostile ones too, in the given order."""
    raw = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=level, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def regular(name: str, data: bytes, mode: int = 0o644) -> tarfile.TarInfo:
    info = _member(name, tarfile.REGTYPE, mode)
    info.size = len(data)
    return info


def link(name: str, target: str) -> tarfile.TarInfo:
    info = _member(name, tarfile.SYMTYPE, 0o777)
    info.linkname = target
    return info


def hard_link(name: str, target: str) -> tarfile.TarInfo:
    info = _member(name, tarfile.LNKTYPE, 0o644)
    info.linkname = target
    return info


def device(name: str) -> tarfile.TarInfo:
    info = _member(name, tarfile.CHRTYPE, 0o666)
    info.devmajor, info.devminor = 1, 5
    return info


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, EPOCH
    return info
