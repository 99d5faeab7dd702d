"""Build ``dist/mcp``: one file that runs where there is no Python.

    build.py [--tree FOLDER] [--output FILE] WHEEL

The interpreter that runs this is the one that is packed. ``--tree`` writes the program as a folder and packs
nothing, for packages of distributions. The same wheel, interpreter and dependencies give the same bytes.
"""

import argparse
import glob
import os
import subprocess
import sys
import tempfile

import libraries
import payload
import tree as program

STUB = os.path.join(program.HERE, "stub")


def main() -> int:
    """Build; 0, or an exception."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--output", default=os.path.join(program.ROOT, "dist", "mcp"))
    options.add_argument("--tree", metavar="FOLDER")
    options.add_argument("wheel")
    given = options.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets goes into compiled code.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, *sys.argv])
    os.environ["PATH"] = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    if given.tree:
        sys.stdout.write(f"{_assemble(given.tree, given.wheel)}\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        tree = os.path.join(folder, "tree")
        needs = _assemble(tree, given.wheel)
        stream = payload.pack(tree)
        data = payload.join(_compile_stub(os.path.join(folder, "stub"), needs), stream)
    os.makedirs(os.path.dirname(given.output), exist_ok=True)
    staged = f"{given.output}.new"
    with open(staged, "wb") as file:
        file.write(data)
    os.chmod(staged, 0o755)
    os.replace(staged, given.output)
    sizes = f"{len(data) / 1e6:.1f} MB, unpacked {len(stream) / 1e6:.1f} MB"
    sys.stdout.write(f"{given.output}: {sizes}; needs {needs}\n")
    return 0


def _assemble(tree: str, wheel: str) -> str:
    """Write the tree; what it needs of a system."""
    program.assemble(tree, wheel)
    libraries.gather(tree)
    return f"Linux on {os.uname().machine} with glibc {libraries.oldest_glibc(tree)} or later"


def _compile_stub(output: str, needs: str) -> bytes:
    """The program that stands first in the file; static, so that it can tell what a system lacks."""
    defines = {
        "INTERPRETER": f"bin/{program.VERSION}",
        "NEEDS": needs,
    }
    command = ["musl-gcc", "-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror", "-Wno-format-truncation"]
    command += [f'-D{name}="{value}"' for name, value in defines.items()]
    command += [*sorted(glob.glob(os.path.join(STUB, "*.c"))), "-o", output]
    # zstd's header and archive are the system's; all other headers are musl's before the system's.
    command += ["-static", "-s", "-idirafter", "/usr/include", _archive("libzstd.a")]
    subprocess.run(command, check=True)
    with open(output, "rb") as file:
        return file.read()


def _archive(name: str) -> str:
    command = ["gcc", f"-print-file-name={name}"]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    if not os.path.isabs(found):
        raise SystemExit(f"{name} is not installed (Debian: libzstd-dev)")
    return found


if __name__ == "__main__":
    sys.exit(main())
