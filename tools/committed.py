"""Files that are built from sources and committed all the same: written, or compared by ``--check``."""

import os
import sys
from collections.abc import Mapping


def update(folder: str, files: Mapping[str, bytes], tool: str, arguments: list[str]) -> int:
    """Write ``files``, named by their paths below ``folder`` with forward slashes; 0 when all is well.

    With ``--check`` among the arguments nothing is written, and 1 says that one of them differs. ``tool`` is
    the program that writes them.
    """
    if "--check" not in arguments:
        for name, data in files.items():
            path = os.path.join(folder, *name.split("/"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
        return 0
    stale = [name for name, data in files.items() if _read(os.path.join(folder, *name.split("/"))) != data]
    for name in stale:
        path = f"{os.path.basename(folder)}/{name}"
        sys.stderr.write(f"{path} differs from its source; run: python tools/{os.path.basename(tool)}\n")
    return 1 if stale else 0


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
