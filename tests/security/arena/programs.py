"""The attack programs as bundle trees: C is compiled when it is first needed, once for each content.

    python tests/security/arena/programs.py --into DIR

compiles them all for machines without a compiler, which are told of DIR by MCP_TEST_PROGRAMS.
"""

import argparse
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile

SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "attacks")
PRECOMPILED = "MCP_TEST_PROGRAMS"
# Where the tree of a program has it; the sandbox shows the tree as its bundle.
PROGRAM = "program"

_COMPILE = ("cc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread")
_HEADER = os.path.join(SOURCES, "attack.h")
_INTERPRETERS = {".py": "python", ".sh": "/bin/sh"}


@functools.cache
def tree_of(source: str) -> str:
    """The bundle tree with one program; ``source`` is a path below the folder of attacks.

    Trees are shared by all workers and kept by content: one worker makes it while others wait.
    """
    key = _key(source)
    ready = os.environ.get(PRECOMPILED)
    if ready and os.path.exists(os.path.join(ready, key, PROGRAM)):
        return os.path.join(ready, key)
    store = os.path.join(tempfile.gettempdir(), f"attacks-of-tests-{os.geteuid()}")
    os.makedirs(store, mode=0o755, exist_ok=True)
    _make(source, store, key)
    return os.path.join(store, key)


def interpreter_of(source: str) -> str | None:
    """``python``, the path of a shell, or None for a program of its own."""
    return _INTERPRETERS.get(os.path.splitext(source)[1])


def sources() -> list[str]:
    """Every program there is, as paths below the folder of attacks."""
    found = []
    for folder, _, names in os.walk(SOURCES):
        found += [
            os.path.relpath(os.path.join(folder, name), SOURCES)
            for name in names
            if name.endswith((".c", *_INTERPRETERS))
        ]
    return sorted(found)


def _key(source: str) -> str:
    content = hashlib.sha256("\0".join((*_COMPILE, os.uname().machine, source)).encode())
    for path in (os.path.join(SOURCES, source), _HEADER):
        with open(path, "rb") as file:
            content.update(file.read())
    return content.hexdigest()[:20]


def _make(source: str, store: str, key: str) -> None:
    with open(os.path.join(store, f"{key}.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(store, key, PROGRAM)):
            return
        staged = tempfile.mkdtemp(dir=store)
        os.chmod(staged, 0o755)
        program, path = os.path.join(staged, PROGRAM), os.path.join(SOURCES, source)
        if source.endswith(".c"):
            subprocess.run([*_COMPILE, "-o", program, path], check=True)
        else:
            shutil.copyfile(path, program)
        os.chmod(program, 0o755)
        os.rename(staged, os.path.join(store, key))


def main() -> None:
    """Compile everything into one folder."""
    parser = argparse.ArgumentParser(description="Compile the attack programs ahead of the tests.")
    parser.add_argument("--into", required=True, metavar="DIR")
    store = os.path.abspath(parser.parse_args().into)
    os.makedirs(store, exist_ok=True)
    for source in sources():
        _make(source, store, _key(source))


if __name__ == "__main__":
    main()
