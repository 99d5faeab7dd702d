"""The program as a folder: an interpreter, its library, the dependencies, this project; no absolute path."""

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.dirname(os.path.abspath(__file__))
VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"
# Of the standard library: its tests, what draws windows, what installs, and what prints topics of help.
LEFT_OUT = frozenset(
    "__pycache__ ensurepip idlelib lib2to3 pydoc_data site-packages dist-packages test tests tkinter "
    "turtledemo turtle.py venv __phello__".split()
)
# What takes libraries of the GPL, of terminals, or that few systems have; and what tests the interpreter.
EXTENSIONS_LEFT_OUT = (
    "_crypt _ctypes_test _curses _curses_panel _dbm _gdbm _test _tkinter _xxtestfuzz nis ossaudiodev "
    "readline spwd xx"
).split()
# The dependencies' descriptions are for installers, and to look for plugins in them takes time at each start.
DESCRIPTION = ".dist-info"


def assemble(tree: str, wheel: str) -> None:
    """Write ``wheel`` with all it needs into ``tree``; executed as ``tree/bin/python3.x tree/start.py``."""
    library = os.path.join(tree, "lib", VERSION)
    packages = os.path.join(library, "site-packages")
    _copy_interpreter(tree)
    _copy_standard_library(library)
    _install(wheel, packages)
    _gather_licences(packages, os.path.join(tree, "licenses"))
    _compile(library)
    shutil.copyfile(os.path.join(HERE, "start.py"), os.path.join(tree, "start.py"))


def _copy_interpreter(tree: str) -> None:
    os.makedirs(os.path.join(tree, "bin"))
    executable = os.path.realpath(sys.executable)
    shutil.copyfile(executable, os.path.join(tree, "bin", VERSION))
    os.chmod(os.path.join(tree, "bin", VERSION), 0o755)


def _copy_standard_library(library: str) -> None:
    source = sysconfig.get_path("stdlib")
    shutil.copytree(source, library, ignore=_ignored)
    extensions = sysconfig.get_config_var("DESTSHARED") or os.path.join(source, "lib-dynload")
    wanted = os.path.join(library, "lib-dynload")
    if not os.path.isdir(wanted) and os.path.isdir(extensions):
        shutil.copytree(extensions, wanted)
    os.makedirs(wanted, exist_ok=True)
    for name in os.listdir(wanted):
        module = name.partition(".")[0]
        if module in EXTENSIONS_LEFT_OUT or module.startswith(("_test", "xx", "_xx")):
            os.unlink(os.path.join(wanted, name))


def _ignored(folder: str, names: list[str]) -> list[str]:
    del folder
    unwanted = [name for name in names if name in LEFT_OUT or name.startswith("config-")]
    return unwanted + [name for name in names if name.endswith((".a", ".exe", ".whl", ".pickle"))]


def _install(wheel: str, packages: str) -> None:
    """Install ``wheel`` with the versions of its dependencies that are installed, and so tested, here."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    frozen = subprocess.run(
        [*pip, "freeze", "--exclude-editable"], capture_output=True, check=True, text=True
    ).stdout
    constraints = os.path.join(os.path.dirname(packages), "constraints.txt")
    with open(constraints, "w", encoding="utf-8") as file:
        file.writelines(line for line in frozen.splitlines(keepends=True) if "==" in line)
    command = [*pip, "install", "--quiet", "--no-compile", "--only-binary", ":all:", "--target", packages]
    # pyseccomp has no compiled part, and is a source archive only.
    command += [
        "--no-binary",
        "pyseccomp",
        "--root-user-action",
        "ignore",
        "--constraint",
        constraints,
        wheel,
    ]
    subprocess.run(command, check=True, stderr=subprocess.PIPE if "CI" not in os.environ else None)
    os.unlink(constraints)
    for name in ("bin", "share"):
        shutil.rmtree(os.path.join(packages, name), ignore_errors=True)


def _gather_licences(packages: str, licences: str) -> None:
    """Keep the licences of the dependencies and of Python, and drop the rest of their descriptions."""
    for name in sorted(os.listdir(packages)):
        if not name.endswith(DESCRIPTION):
            continue
        folder = os.path.join(packages, name)
        for parent, _, files in os.walk(folder):
            for file in files:
                if file.upper().startswith(("LICEN", "COPYING", "NOTICE", "AUTHORS")):
                    os.makedirs(os.path.join(licences, name.removesuffix(DESCRIPTION)), exist_ok=True)
                    shutil.copyfile(
                        os.path.join(parent, file),
                        os.path.join(licences, name.removesuffix(DESCRIPTION), file),
                    )
        shutil.rmtree(folder)
    text = os.path.join(sysconfig.get_path("stdlib"), "LICENSE.txt")
    if os.path.exists(text):
        os.makedirs(os.path.join(licences, VERSION), exist_ok=True)
        shutil.copyfile(text, os.path.join(licences, VERSION, "LICENSE.txt"))


def _compile(library: str) -> None:
    """Compile everything; sources are kept of this project only, which names its filters by theirs."""
    own = os.path.join(library, "site-packages", "mcp_client")
    for parent, folders, files in os.walk(library):
        folders.sort()
        ours = f"{parent}/".startswith(f"{own}/")
        embedded = f"{parent}/".startswith(f"{own}/embedded/")
        for name in sorted(files):
            path = os.path.join(parent, name)
            if name.endswith((".pyi", ".pyx", ".pxd", ".h", ".c", "py.typed")):
                os.unlink(path)
            elif name.endswith(".py") and not embedded:
                done = compileall.compile_file(
                    path,
                    stripdir=library,
                    quiet=2,
                    legacy=not ours,
                    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
                )
                if done and not ours:
                    os.unlink(path)
