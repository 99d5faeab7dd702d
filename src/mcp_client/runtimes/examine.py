"""Ask an installed program for its version and for the folders it lives in."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

_PYTHON_NAME = re.compile(r"(?:python|pypy)[0-9.]*\Z")
_PYTHON_QUESTION = (
    "import json, sys; print(json.dumps([list(sys.version_info[:3]), "
    "[sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix], sys.executable, "
    "getattr(sys, '_base_executable', '')]))"
)
# A manifest is a stranger's text: nothing it names is executed here, outside the sandbox, but these.
_ASKED = frozenset({"bun", "deno", "java", "node", "perl", "php", "ruby"})
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_SECONDS = 20
_STORES = ("/nix/store/", "/gnu/store/")
_BREW = "/.linuxbrew/"


def examine(path: str, name: str, environ: Mapping[str, str]) -> dict[str, Any] | None:
    """``executable``, ``version`` and ``paths`` of the program; None when it cannot be used in a sandbox."""
    if _PYTHON_NAME.match(name):
        return _examine_python(path, environ)
    return _examine_other(path, name, environ)


def _examine_python(path: str, environ: Mapping[str, str]) -> dict[str, Any] | None:
    output = _ask([path, "-I", "-c", _PYTHON_QUESTION], environ)
    try:
        version, prefixes, itself, base = json.loads(output)
    except ValueError:
        return None
    # A virtual environment is recognised by the path it is started with; anything else is its real path.
    in_venv = prefixes[0] != prefixes[2]
    executable = path if in_venv else _outside_usr(path)
    if sys.platform == "darwin" and not in_venv and os.path.isabs(itself):
        # /usr/bin/python3 looks for the one of the developer tools, and executes that.
        executable = itself
    if sys.platform == "win32":
        # There python.exe of a virtual environment starts another one, which a server may not.
        return {"executable": base or path, "version": version, "paths": [os.path.dirname(base or path)]}
    # Only what the interpreter says of itself, and itself: a wrapper's neighbours are none of its business.
    paths = _reduce([*prefixes, os.path.realpath(path)])
    if any(_too_broad(place, environ) for place in paths):
        return None
    return {"executable": executable, "version": version, "paths": paths}


def _examine_other(path: str, name: str, environ: Mapping[str, str]) -> dict[str, Any]:
    if name not in _ASKED:
        # Chosen by the manifest: the program itself, and nothing that happens to lie beside it.
        return {"executable": _outside_usr(path), "version": [], "paths": _reduce([os.path.realpath(path)])}
    found = _VERSION.search(_ask([path, "--version"], environ))
    version = [int(number) for number in found.groups() if number] if found else []
    real = os.path.realpath(path)
    prefix = os.path.dirname(os.path.dirname(real))
    own_prefix = os.path.basename(os.path.dirname(real)) == "bin" and _looks_private(prefix)
    needed = prefix if own_prefix and not _too_broad(prefix, environ) else real
    return {"executable": _outside_usr(path), "version": version, "paths": _reduce([needed])}


def _looks_private(prefix: str) -> bool:
    """Whether ``prefix`` belongs to one installation, as version managers and archives lay it out."""
    if os.path.basename(prefix) in {".local", "local", "opt"}:
        return False
    return any(os.path.isdir(os.path.join(prefix, name)) for name in ("lib", "include", "share", "jmods"))


def _outside_usr(path: str) -> str:
    """The path to execute: a link outside the system folders is followed, /etc/alternatives is kept."""
    return path if path.startswith(("/usr/", "/bin/")) else os.path.realpath(path)


def _reduce(paths: list[str]) -> list[str]:
    """Folders to show: stores as a whole, nothing that /usr holds already, no folder inside another."""
    wanted = set()
    for path in paths:
        place = next((store.rstrip("/") for store in _STORES if path.startswith(store)), path)
        if _BREW in f"{place}/":
            place = place[: place.index("/.linuxbrew") + len("/.linuxbrew")]
        if not f"{place}/".startswith(("/usr/", *_STORES)):
            wanted.add(place)
    return sorted(p for p in wanted if not any(p != q and p.startswith(f"{q}/") for q in wanted))


def _too_broad(place: str, environ: Mapping[str, str]) -> bool:
    """Whether showing ``place`` would show the user's home folder or the root."""
    home = os.path.realpath(environ.get("HOME") or os.path.expanduser("~"))
    if not os.path.isdir(place):
        return False
    return place in {"/", home, f"{home}/.local"} or home.startswith(f"{place}/")


def _ask(argv: list[str], environ: Mapping[str, str]) -> str:
    quiet = {key: environ[key] for key in ("HOME", "PATH", "LANG", "SYSTEMROOT") if key in environ}
    try:
        answer = subprocess.run(  # noqa: S603  the host's own program, chosen by the operator's PATH
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=quiet,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.decode(errors="replace")
