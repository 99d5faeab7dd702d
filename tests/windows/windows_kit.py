"""Programs and directory registries for the Windows tests."""

import ctypes
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

IS_WINDOWS = sys.platform == "win32"
HERE = os.path.dirname(os.path.abspath(__file__))
ANSWER = "windows-server"


def is_wine() -> bool:
    """Whether this Windows is Wine, which takes some requests and does nothing about them."""
    return IS_WINDOWS and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


@cache
def programs_folder() -> str:
    """Where tools/wine/test.sh compiled the programs; elsewhere gcc does it now."""
    given = os.environ.get("MCP_TEST_PROGRAMS")
    if given:
        return given
    folder = tempfile.mkdtemp(prefix="mcp-programs-")
    compiler = shutil.which("gcc")
    assert compiler is not None, "the Windows tests compile their programs with gcc (MinGW-w64)"
    command = [sys.executable, os.path.join(HERE, "fields.py")]
    fields = subprocess.run(command, capture_output=True, check=True)
    with open(os.path.join(folder, "fields.h"), "wb") as header:
        header.write(fields.stdout)
    for name, more in (("server", ["-municode"]), ("layout", [f"-I{folder}"])):
        source, target = os.path.join(HERE, "programs", f"{name}.c"), os.path.join(folder, f"{name}.exe")
        subprocess.run([compiler, "-O1", "-static", *more, "-o", target, source], check=True)
    return folder


class Package(NamedTuple):
    """server.exe with arguments, and what the manifest has beside them; ``files`` are added to the bundle."""

    programs: str
    arguments: tuple[str, ...] = ()
    manifest: Mapping[str, Any] = MappingProxyType({})
    files: Mapping[str, bytes] = MappingProxyType({})
    command: str = "./bin/server.exe"
    name: str = "acme/server"


class Registry:
    """A registry that is a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        os.makedirs(folder)

    @property
    def url(self) -> str:
        """As a user writes it."""
        return "file:///" + self.folder.replace("\\", "/")

    def publish(self, package: Package) -> str:
        """Write manifest, bundle and answer; the reference."""
        with open(os.path.join(package.programs, "server.exe"), "rb") as file:
            program = file.read()
        bundle = archive({"bin/server.exe": program, **package.files})
        entrypoint = {"command": package.command, "args": list(package.arguments)}
        manifest = {
            "name": package.name,
            "version": "1.0.0",
            "description": "a server",
            "entrypoints": {"windows-amd64": entrypoint},
            "transport": "stdio",
            **package.manifest,
        }
        self.write(package.name, "1.0.0", json.dumps(manifest).encode(), bundle)
        return f"{package.name}@1.0.0"

    def write(self, name: str, version: str, manifest: bytes, bundle: bytes) -> None:
        """The files of the contract."""
        folder = os.path.join(self.folder, "packages", *name.split("/"))
        os.makedirs(folder, exist_ok=True)
        answer = {}
        for kind, data in (("manifest", manifest), ("bundle", bundle)):
            file = f"{version}.{kind}"
            with open(os.path.join(folder, file), "wb") as artifact:
                artifact.write(data)
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            answer[kind] = {"digest": digest, "url": f"packages/{name}/{file}", "size_bytes": len(data)}
        with open(os.path.join(folder, f"{version}.json"), "w", encoding="utf-8") as file:
            json.dump(answer, file)


def archive(files: Mapping[str, bytes]) -> bytes:
    """A bundle with these files, all of them executable."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


def is_alive(process: int) -> bool:
    """Whether a process of this number runs."""
    import psutil

    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition, seconds: float = 30.0) -> bool:
    """Look until it is so; False after ``seconds``."""
    import time

    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
