"""A home folder, and what the single file unpacks there."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILE = os.environ.get("MCP_TEST_EXECUTABLE") or os.path.join(ROOT, "dist", "mcp")
PLACE = ".cache/mcp-client/program"
VERSION = ("--version",)


class Home(NamedTuple):
    """A user's home folder."""

    folder: str

    @property
    def place(self) -> str:
        """Where unpacked forms are."""
        return os.path.join(self.folder, PLACE)

    @property
    def temporary(self) -> str:
        """TMPDIR, where a form goes that may not be in the cache."""
        return os.path.join(self.folder, "tmp")

    def start(
        self, *arguments: str, file: str = FILE, prefix: Sequence[str] = (), **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start the file with few variables and pipes."""
        os.makedirs(self.temporary, mode=0o700, exist_ok=True)
        env = {"HOME": self.folder, "TMPDIR": self.temporary, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        env |= options.pop("env", {})
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([*prefix, file, *arguments], env=env, **{**pipes, **options})

    def run(
        self, *arguments: str, file: str = FILE, prefix: Sequence[str] = (), env: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        """Run the file to its end; ``--version`` unless told otherwise."""
        with self.start(*(arguments or VERSION), file=file, prefix=prefix, env=env) as running:
            stdout, stderr = running.communicate(b"", timeout=120)
        return subprocess.CompletedProcess(arguments, running.returncode, stdout.decode(), stderr.decode())

    def forms(self, place: str | None = None) -> list[str]:
        """Names of the unpacked forms, and of what is left of work."""
        place = place or self.place
        names = os.listdir(place) if os.path.isdir(place) else []
        return sorted(name for name in names if name != "lock")

    def form(self) -> str:
        """The folder of the only unpacked form."""
        (name,) = self.forms()
        assert len(name) == 64, name
        return os.path.join(self.place, name)

    def works(self, *, silent: bool = True) -> None:
        """The file runs, and leaves one whole form in this home."""
        done = self.run()
        assert (done.returncode, done.stdout.split()[0]) == (0, "mcp-client"), done
        assert not silent or done.stderr == "", done.stderr


def inode(path: str) -> int:
    """What a rebuilt file differs by."""
    return os.lstat(path).st_ino
