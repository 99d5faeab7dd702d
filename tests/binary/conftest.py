"""The single file ``dist/mcp``, and a Debian without Python to run it in. Run by ``make test-binary``."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from forms import FILE, Home

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BARE = os.path.join(ROOT, "tools", "binary", "bare_root.sh")
USER = 1000


@pytest.fixture
def home(tmp_path: os.PathLike[str]) -> Iterator[Home]:
    """A home folder in which the file never ran; forms are large, and go with the test."""
    assert os.path.exists(FILE), "make build"
    folder = os.path.join(tmp_path, "home")
    os.mkdir(folder, 0o700)
    yield Home(folder)
    shutil.rmtree(tmp_path, ignore_errors=True)


class Bare(NamedTuple):
    """A root with nothing but Debian's essential packages; ``shared`` is seen inside at the same path."""

    root: str
    shared: str

    def run(
        self, *command: str, uid: int = USER, given: bytes = b"", env: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside, with an empty home."""
        variables = [f"{name}={value}" for name, value in env.items()]
        return subprocess.run(
            [BARE, self.root, "enter", str(uid), "env", *variables, *command],
            input=given,
            capture_output=True,
            env={**os.environ, "SHARED": self.shared},
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="session")
def bare_root() -> str:
    """A Debian without Python, built once."""
    if os.geteuid() != 0:
        pytest.skip("a root of its own takes root to build and enter")
    folder = os.path.join(ROOT, ".build", "bare-root")
    subprocess.run([BARE, folder], check=True, timeout=900)
    return folder


@pytest.fixture
def bare(bare_root: str, tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """The Debian without Python, and the file in it."""
    shared = str(tmp_path_factory.mktemp("shared"))
    # pytest's folders are for one user, and the one inside is another.
    part = shared
    while part not in {"/", "/tmp"}:
        os.chmod(part, 0o755)
        part = os.path.dirname(part)
    subprocess.run(["cp", FILE, os.path.join(shared, "mcp")], check=True)
    return Bare(bare_root, shared)
