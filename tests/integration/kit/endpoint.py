"""``mcp run`` of a server that speaks HTTP, from the line that tells its URL to its end."""

import json
import os
import select
import signal
import subprocess
from types import TracebackType
from typing import Any, Self

from kit.command import EXECUTABLE, Mcp

_START_SECONDS = 60


class Endpoint:
    """A run in the background; ``facts`` is what it says on stdout once the server answers."""

    def __init__(self, mcp: Mcp, *args: str, **options: Any) -> None:
        """``args`` follow ``mcp run --json``; ``options`` are of subprocess.Popen."""
        self._stderr = os.path.join(mcp.folder, f"stderr-{os.urandom(4).hex()}")
        self._command = [EXECUTABLE, "run", "--json", *args]
        self._options = {"stdin": subprocess.DEVNULL, "env": mcp.env, **options}

    def __enter__(self) -> Self:
        with open(self._stderr, "wb") as errors:
            self.process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=errors, **self._options
            )
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], _START_SECONDS)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            self.process.kill()
            raise AssertionError(f"no URL, status {self.process.wait()}:\n{self.stderr}")
        self.facts = json.loads(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()
        assert self.process.stdout is not None
        rest = self.process.stdout.read()
        self.process.stdout.close()
        if kind is None:
            assert rest == b"", "only one line belongs on stdout"

    @property
    def url(self) -> str:
        return str(self.facts["url"])

    @property
    def port(self) -> int:
        return int(self.facts["port"])

    @property
    def stderr(self) -> str:
        with open(self._stderr, errors="replace") as opened:
            return opened.read()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(30)
