"""Build the registry that ships inside the package from its sources.

Reads ``src/mcp_client/embedded/source/<name>/`` and writes ``packages/acme/<name>/`` beside it: the
manifest, the bundle and the resolve response. The same sources give the same bytes on every machine, so
the results are committed and a test compares them. ``--check`` writes nothing and fails on a difference.
"""

import hashlib
import io
import json
import os
import struct
import sys
import tarfile
import zlib

from committed import update

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EMBEDDED = os.path.join(ROOT, "src", "mcp_client", "embedded")
PLATFORMS = ("linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64", "windows-amd64")
LONGEST_BLOCK = 0xFFFF

HELLO_WORLD = {
    "name": "acme/hello-world",
    "version": "1.2.3",
    "description": "Greets by name, and reports what a sandboxed server can see of its host.",
    "author": "Acme Corp",
    "license": "MIT",
    "entrypoints": {name: {"command": "python3", "args": ["${bundle}/server.py"]} for name in PLATFORMS},
    "transport": "stdio",
    "environment": {"allowed_names": ["LOG_LEVEL"], "deny_patterns": ["*_PASSWORD", "*_SECRET", "*_TOKEN"]},
    "network": {"allowlist": []},
    "subprocess": False,
    "resources": {"cpu_millicores": 500, "memory_mb": 128, "max_processes": 4, "max_fds": 64},
}


def pack(folder: str) -> bytes:
    """``folder`` as a gzip-compressed tar archive: sorted, no times, no owners, no platform's name."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for parent, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(files):
                path = os.path.join(parent, name)
                with open(path, "rb") as file:
                    content = file.read().replace(b"\r\n", b"\n")
                member = tarfile.TarInfo(os.path.relpath(path, folder).replace(os.sep, "/"))
                member.size, member.mode = len(content), 0o644
                tar.addfile(member, io.BytesIO(content))
    return gzip(archive.getvalue())


def gzip(data: bytes) -> bytes:
    """``data`` as one gzip member of stored blocks (RFC 1952): versions of zlib compress differently."""
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no flags, no time, unknown system
    blocks = [data[start : start + LONGEST_BLOCK] for start in range(0, len(data), LONGEST_BLOCK)]
    body = b"".join(
        struct.pack("<BHH", block is blocks[-1], len(block), len(block) ^ 0xFFFF) + block for block in blocks
    )
    return header + body + struct.pack("<II", zlib.crc32(data), len(data) % 2**32)


def descriptor(url: str, data: bytes) -> dict[str, str | int]:
    """How a resolve response names an artifact."""
    return {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "url": url, "size_bytes": len(data)}


def encode(value: object) -> bytes:
    """JSON that reads well and is the same everywhere."""
    return json.dumps(value, indent=2).encode() + b"\n"


def build() -> dict[str, bytes]:
    """Every file of the registry by its path below ``embedded``, with forward slashes."""
    package = "packages/acme/hello-world"
    manifest = encode(HELLO_WORLD)
    bundle = pack(os.path.join(EMBEDDED, "source", "hello-world"))
    answer = {
        "version": HELLO_WORLD["version"],
        "status": "published",
        "manifest": descriptor(f"{package}/1.2.3/manifest.json", manifest),
        "bundle": descriptor(f"{package}/1.2.3/bundle.tar.gz", bundle),
    }
    return {
        f"{package}/1.2.3.json": encode(answer),
        f"{package}/1.2.3/manifest.json": manifest,
        f"{package}/1.2.3/bundle.tar.gz": bundle,
    }


def main(arguments: list[str]) -> int:
    """Write the registry, or with ``--check`` compare it; 0 when all is well."""
    return update(EMBEDDED, build(), __file__, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
