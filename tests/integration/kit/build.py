"""Things that take long to make are made once: complete or absent, under a lock, kept between runs."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def build_root() -> str:
    """Where real servers and clients are kept; one per user, since files of another one cannot be renewed."""
    return os.environ.get("MCP_TEST_BUILD") or os.path.join(PROJECT, ".build", "test-servers")


def built(name: str, recipe: Sequence[str], make: Callable[[str], None]) -> str:
    """The folder ``name`` as ``make(folder)`` fills it; made again only when ``recipe`` or Python changes.

    Safe for any number of processes: one makes it while the others wait, and it appears by a rename.
    """
    key = hashlib.sha256("\0".join([PYTHON, *recipe]).encode()).hexdigest()[:12]
    root = build_root()
    final = os.path.join(root, f"{name}-{key}")
    if os.path.isdir(final):
        return final
    os.makedirs(root, exist_ok=True)
    with open(os.path.join(root, f".{name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(final):
            staged = f"{final}.partial"
            shutil.rmtree(staged, ignore_errors=True)
            os.makedirs(staged)
            make(staged)
            os.rename(staged, final)
    return final


def run(command: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run a build step; a failure says which, with the end of what it wrote."""
    if shutil.which(command[0]) is None:
        raise RuntimeError(f"the integration tests need {command[0]!r} on PATH")
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=280,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout[-2000:]}")


def npm_install(folder: str, *packages: str) -> None:
    """Install npm packages into ``folder/node_modules``, without what only their developers need."""
    options = ["--omit=dev", "--no-audit", "--no-fund", "--no-save", "--loglevel=error", "--prefix", folder]
    run(["npm", "install", *options, *packages], cwd=folder, env=_system_authorities())


def _system_authorities() -> dict[str, str]:
    """Let Node trust whom the machine trusts: pip does by itself, and networks with a proxy need it."""
    bundles = [path for path in CERTIFICATES if os.path.isfile(path)]
    known = os.environ.get("NODE_EXTRA_CA_CERTS")
    return {"NODE_EXTRA_CA_CERTS": known or bundles[0]} if known or bundles else {}


def pip_install(folder: str, *packages: str) -> None:
    """Vendor PyPI packages into ``folder`` for the Python that runs the tests.

    Compiled files carry no times: those would differ from the times in the bundle, and Python would compile
    everything again at each start, in vain, since the tree is read-only.
    """
    python = [sys.executable, "-m"]
    run([*python, "pip", "install", "--quiet", "--no-compile", "--target", folder, *packages])
    run([*python, "compileall", "-q", "-j0", "--invalidation-mode", "unchecked-hash", folder])


def virtual_environment(folder: str, *packages: str) -> None:
    """A virtual environment in ``folder``; it is moved afterwards, so only its ``bin/python`` is for use."""
    run([sys.executable, "-m", "venv", folder])
    run([os.path.join(folder, "bin", "python"), "-m", "pip", "install", "--quiet", *packages])
