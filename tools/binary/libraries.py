"""The shared libraries of a tree: those that not every system has come along."""

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator

# The C library itself and its parts: they belong to the system's name service and cannot be brought.
OF_THE_SYSTEM = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv|anl|nsl)\.so.*|linux-vdso.*)\Z")
# Loaded by name at run time, which no list of needed libraries shows.
LOADED_BY_NAME = ("libseccomp.so.2",)
_VERSION = re.compile(r"GLIBC_(\d+)\.(\d+)")
_FOUND = re.compile(r"^\s*(\S+) => (/\S+)", re.MULTILINE)


def gather(tree: str) -> None:
    """Copy what the ELF files of ``tree`` need into ``tree/lib``, and let it look there first."""
    library = os.path.join(tree, "lib")
    for name in LOADED_BY_NAME:
        shutil.copyfile(_system_library(name), os.path.join(library, name))
    todo = list(elf_files(tree))
    while todo:
        path = todo.pop()
        for name, source in _needed(path, library):
            copy = os.path.join(library, name)
            if not OF_THE_SYSTEM.match(name) and not source.startswith(tree) and not os.path.exists(copy):
                shutil.copyfile(source, copy)
                _copy_licence(source, os.path.join(tree, "licenses", name))
                todo.append(copy)
    for path in elf_files(tree):
        _make_relocatable(path, tree)


def elf_files(tree: str) -> Iterator[str]:
    """Every ELF file below ``tree``, in order."""
    for parent, folders, files in os.walk(tree):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def oldest_glibc(tree: str) -> str:
    """The version of the GNU C library that ``tree`` needs, such as ``2.34``."""
    versions = {
        (int(major), int(minor))
        for path in elf_files(tree)
        for major, minor in _VERSION.findall(_run("readelf", "--version-info", "--wide", path))
    }
    return "{}.{}".format(*max(versions))


def _needed(path: str, library: str) -> list[tuple[str, str]]:
    places = f"{library}:{sysconfig.get_config_var('LIBDIR')}"
    answer = subprocess.run(
        ["ldd", path],
        env={**os.environ, "LD_LIBRARY_PATH": places},
        capture_output=True,
        check=False,
        text=True,
    )
    if "not found" in answer.stdout:
        raise SystemExit(f"a library is missing:\n{answer.stdout}")
    return _FOUND.findall(answer.stdout)


def _make_relocatable(path: str, tree: str) -> None:
    """Drop debugging tables and absolute search paths; the interpreter's path serves all it loads."""
    _run("strip", "--strip-unneeded", path)
    own = _run("patchelf", "--print-rpath", path).strip()
    if os.path.dirname(path) == os.path.join(tree, "bin"):
        # DT_RPATH and not DT_RUNPATH: it is asked for everything loaded, and before LD_LIBRARY_PATH.
        _run("patchelf", "--force-rpath", "--set-rpath", "$ORIGIN/../lib", path)
    elif own and not all(part.startswith("$ORIGIN") for part in own.split(":")):
        _run("patchelf", "--remove-rpath", path)


def _system_library(name: str) -> str:
    for line in _run("ldconfig", "-p").splitlines():
        words = line.split()
        if words and words[0] == name:
            return os.path.realpath(words[-1])
    raise SystemExit(f"{name} is not installed")


def _copy_licence(source: str, folder: str) -> None:
    """Debian's word on the licence of the package that ``source`` comes from."""
    if not shutil.which("dpkg"):
        return
    for path in (source, os.path.realpath(source), f"/usr{os.path.realpath(source)}"):
        owner = subprocess.run(["dpkg", "-S", path], capture_output=True, check=False, text=True).stdout
        text = f"/usr/share/doc/{owner.partition(':')[0]}/copyright"
        if owner and os.path.exists(text):
            os.makedirs(folder, exist_ok=True)
            shutil.copyfile(text, os.path.join(folder, "copyright"))
            return


def _run(*command: str) -> str:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
