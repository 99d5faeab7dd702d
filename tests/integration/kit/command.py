"""The command under test, as an MCP client starts it: few variables, pipes, nothing of the developer."""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from kit import processes

# The single file instead of the source, when `make test-binary` asks for it.
EXECUTABLE = os.environ.get("MCP_TEST_EXECUTABLE") or os.path.join(os.path.dirname(sys.executable), "mcp")
_FAILURE = re.compile(r"^mcp: error\[([a-z-]+)\]: (.+)$", re.MULTILINE)
_HINT = re.compile(r"^  hint: (.+)$", re.MULTILINE)


class Result(NamedTuple):
    """How one run ended; ``status`` is negative when ``mcp`` itself died of a signal."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def code(self) -> str | None:
        """Code of the failure that was reported, if one was."""
        match = _FAILURE.search(self.stderr)
        return match[1] if match else None

    @property
    def message(self) -> str:
        match = _FAILURE.search(self.stderr)
        return match[2] if match else ""

    @property
    def hint(self) -> str | None:
        match = _HINT.search(self.stderr)
        return match[1] if match else None


class Running(subprocess.Popen[bytes]):
    """A run in progress; a test that fails does not wait for it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, trace)


class Mcp:
    """``mcp`` with a home of its own; ``marker`` is in the environment of everything it forks.

    ``folder`` holds HOME and TMPDIR too; ``registry`` is a URL, or None for the embedded registry.
    """

    def __init__(self, folder: str, registry: str | None = None) -> None:
        self.folder = folder
        self.home = os.path.join(folder, "mcp-home")
        self.temporary = os.path.join(folder, "tmp")
        self.marker = f"marker={uuid.uuid4().hex}"
        os.makedirs(self.temporary, exist_ok=True)
        self.env = {
            "HOME": folder,
            "LANG": "C.UTF-8",
            "PATH": f"{sys.base_prefix}/bin:{os.environ['PATH']}",
            "MCP_HOME": self.home,
            "TMPDIR": self.temporary,
            processes.MARKER: self.marker,
        }
        if registry is not None:
            self.env["MCP_REGISTRY_URL"] = registry

    def configure(self, text: str) -> str:
        """Write ``config.yaml`` in the home; its path."""
        os.makedirs(self.home, exist_ok=True)
        path = os.path.join(self.home, "config.yaml")
        with open(path, "w") as opened:
            opened.write(text)
        return path

    def start(self, *args: str, env: Mapping[str, str] | None = None, **options: Any) -> Running:
        """Start ``mcp ARGS`` with pipes on all three streams."""
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return Running([EXECUTABLE, *args], env={**self.env, **(env or {})}, **{**streams, **options})

    def run(
        self,
        *args: str,
        given: bytes | None = None,
        seconds: float = 60,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> Result:
        """Run ``mcp ARGS`` and wait for it; ``prefix`` is put before the command.

        ``given`` is written to stdin, which then ends. Without it stdin stays open and silent, as a client
        that waits for an answer leaves it: the end of stdin tells ``mcp`` that nobody wants it any more.
        """
        reading, writing = os.pipe()
        try:
            done = subprocess.run(
                [*prefix, EXECUTABLE, *args],
                **({"stdin": reading} if given is None else {"input": given}),
                capture_output=True,
                env={**self.env, **(env or {})},
                timeout=seconds,
                check=False,
            )
        finally:
            os.close(reading)
            os.close(writing)
        return Result(done.returncode, done.stdout, done.stderr.decode(errors="replace"))

    @property
    def cache(self) -> str:
        return os.path.join(self.home, "cache")

    def cached(self, *kinds: str) -> list[str]:
        """Entries of these folders of the cache, all that hold content by default."""
        return [
            f"{kind}/{name}"
            for kind in kinds or ("manifests", "bundles", "trees", "staging")
            if os.path.isdir(os.path.join(self.cache, kind))
            for name in sorted(os.listdir(os.path.join(self.cache, kind)))
        ]


def refused(result: Result, code: str, *, status: int = 125) -> None:
    """One failure, reported as every failure is, and not a byte on stdout."""
    assert result.code == code, result
    assert result.status == status, result
    assert result.hint, result
    assert "Traceback" not in result.stderr, result.stderr
    assert result.stdout == b"", result.stdout[:200]
