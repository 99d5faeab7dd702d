"""Where host runtimes live: PATH first, then where version managers keep theirs, for Python at last our own.

A GUI client starts us with a bare PATH, and a version manager puts shims on a full one: scripts that fork,
read the home folder and pick a version. Neither is what a sandbox can execute, so shims are passed over in
favour of the installation they would have chosen.
"""

from __future__ import annotations

import os
import sys

from mcp_client.light import TYPE_CHECKING, pattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SYSTEM = ("/usr/local/bin", "/usr/bin", "/bin")
# (folder below the home folder, environment variable that overrides it, pattern below it)
_MANAGERS = (
    (".pyenv", "PYENV_ROOT", "versions/*/bin"),
    (".nvm", "NVM_DIR", "versions/node/*/bin"),
    (".local/share/fnm", "FNM_DIR", "node-versions/*/installation/bin"),
    (".volta", "VOLTA_HOME", "tools/image/node/*/bin"),
    (".asdf", "ASDF_DATA_DIR", "installs/python/*/bin"),
    (".asdf", "ASDF_DATA_DIR", "installs/nodejs/*/bin"),
    (".local/share/mise", "MISE_DATA_DIR", "installs/python/*/bin"),
    (".local/share/mise", "MISE_DATA_DIR", "installs/node/*/bin"),
    (".local/share/uv/python", "UV_PYTHON_INSTALL_DIR", "*/bin"),
)
_FRAMEWORK = "/Library/Frameworks/Python.framework/Versions/Current/bin"
_SHARED_PREFIXES = ("/home/linuxbrew/.linuxbrew/bin", "/opt/homebrew/bin", _FRAMEWORK)
_DEVELOPER_TOOLS = ("/Library/Developer/CommandLineTools/usr/bin", "/Applications/Xcode.app")
# (environment variable of Windows, pattern below it)
_INSTALLED = (
    ("LOCALAPPDATA", "Programs/Python/*"),
    ("LOCALAPPDATA", "Python/pythoncore-*"),
    ("PROGRAMFILES", "Python*"),
    ("PROGRAMFILES", "nodejs*"),
    ("APPDATA", "nvm/*"),
    ("USERPROFILE", ".pyenv/pyenv-win/versions/*"),
    ("APPDATA", "uv/python/*"),
)
_SHIM_PROGRAMS = frozenset({"volta-shim", "snap", "mise", "rtx", "asdf"})
_NUMBERS = pattern(r"\d+")


def candidates(name: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Executables called ``name``, best first, shims left out; each path once."""
    seen = set()
    for folder in _folders(environ):
        for spelling in _spellings(name):
            path = os.path.join(folder, spelling)
            if path not in seen and is_runtime(path):
                seen.add(path)
                yield path
    if name == "python3" and sys.executable:
        # What runs this program runs servers too, where its user has installed no other.
        own = os.path.realpath(sys.executable)
        if own not in map(os.path.realpath, seen):
            yield own


def is_runtime(path: str) -> bool:
    """Whether ``path`` is an executable file and not a version manager's shim."""
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        return False
    if sys.platform == "darwin" and path.startswith("/usr/bin/") and not _has_developer_tools():
        # A stub that opens a window, and asks whether they should be installed.
        return False
    if sys.platform == "win32":
        # What lies in WindowsApps leads to a shop, not to a program.
        return path.lower().endswith(".exe") and "\\windowsapps\\" not in path.lower()
    in_shims = os.path.basename(os.path.dirname(path)) == "shims"
    return not in_shims and os.path.basename(os.path.realpath(path)) not in _SHIM_PROGRAMS


def _has_developer_tools() -> bool:
    return any(os.path.isdir(place) for place in _DEVELOPER_TOOLS)


def _spellings(name: str) -> tuple[str, ...]:
    """The names of files under which a program called ``name`` may be installed."""
    if sys.platform != "win32":
        return (name,)
    # Installed Pythons for Windows have no python3.exe.
    return (f"{name}.exe", "python.exe") if name == "python3" else (f"{name.removesuffix('.exe')}.exe",)


def _folders(environ: Mapping[str, str]) -> Iterator[str]:
    for folder in environ.get("PATH", "").split(os.pathsep):
        if os.path.isabs(folder):
            yield folder
            if os.path.basename(folder) == "shims":
                yield from _chosen_by_pyenv(os.path.dirname(folder), environ)
    if sys.platform == "win32":
        yield from _windows_folders(environ)
        return
    yield from _SYSTEM
    yield from _SHARED_PREFIXES
    home = environ.get("HOME", "")
    for below_home, variable, shape in _MANAGERS:
        root = environ.get(variable) or os.path.join(home, below_home)
        if os.path.isabs(root):
            yield from _expand(root, shape)


def _windows_folders(environ: Mapping[str, str]) -> Iterator[str]:
    """Where installers put programs that a bare PATH lacks."""
    for variable, below in _INSTALLED:
        root = environ.get(variable, "")
        if os.path.isabs(root):
            yield from _expand(root, below)


def _chosen_by_pyenv(root: str, environ: Mapping[str, str]) -> Iterator[str]:
    """What pyenv's shims would run: PYENV_VERSION or the global file, several versions allowed."""
    chosen = environ.get("PYENV_VERSION", "").replace(":", " ")
    if not chosen:
        try:
            with open(os.path.join(root, "version"), encoding="utf-8") as file:
                chosen = file.read(4096)
        except (OSError, UnicodeDecodeError):
            return
    for version in chosen.split():
        yield os.path.join(root, "versions", version, "bin")


def _expand(root: str, shape: str) -> Iterator[str]:
    """Folders that match ``shape`` with one ``*``, highest version first."""
    before, _, after = shape.partition("*")
    folder, _, prefix = before.rpartition("/")
    parent = os.path.join(root, folder)
    try:
        names = os.listdir(parent)
    except OSError:
        return
    for name in sorted(filter(lambda name: name.startswith(prefix), names), key=_version_order, reverse=True):
        yield os.path.join(parent, name, after.lstrip("/"))


def _version_order(name: str) -> tuple[int, ...]:
    return tuple(int(number) for number in _NUMBERS.findall(name))
