"""Names of platforms as manifests write them: ``<os>-<arch>``."""

from __future__ import annotations

import os
import sys

_ARCHITECTURES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "i386": "386",
    "x86": "386",
    "i686": "386",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}


def normalise(operating_system: str, machine: str) -> str:
    """``('linux', 'x86_64')`` becomes ``linux-amd64``; unknown machines keep their own name."""
    name = {"win32": "windows"}.get(operating_system, operating_system)
    return f"{name}-{_ARCHITECTURES.get(machine.lower(), machine.lower())}"


def current() -> str:
    """The platform this process runs on."""
    if sys.platform == "win32":
        machine = os.environ.get("PROCESSOR_ARCHITECTURE", "amd64")
    else:
        machine = os.uname().machine
    return normalise(sys.platform, machine)
