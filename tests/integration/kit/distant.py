"""A registry that is not on this machine, as far as anybody there can tell. Works for root and for users."""

import base64
import json
import os
import shutil
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from kit import authority
from kit.bundle import Package

# By the last part of their names, all below reach.example.
SERVERS = {
    "registry": "1.2.3.4",
    "store": "5.6.7.8",
    "private": "10.20.0.1",
    "neighbour": "10.20.0.2",
    "metadata": "169.254.169.254",
    "inner": "127.0.0.1",
}
PROXY, SOCKS = ("10.20.0.9", 3128), ("10.20.0.9", 1080)
HOSTS = {
    **{f"{name}.reach.example": [address] for name, address in SERVERS.items()},
    "mixed.reach.example": [SERVERS["store"], SERVERS["inner"]],
    "mapped.reach.example": [f"::ffff:{SERVERS['inner']}"],
    "broken.reach.example": ["9.9.9.9", SERVERS["store"]],
    "store.wrong.example": [SERVERS["store"]],
    # A table of hosts that somebody spoilt.
    "localhost": [SERVERS["private"]],
}
_PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "programs", "distant.py")


class Distant:
    """The network; ``prefix`` runs a command in it, as the user of the tests."""

    def __init__(self, folder: str, package: Package) -> None:
        for name, path in authority.files().items():
            shutil.copy(path, os.path.join(folder, name))
        self.certificate = os.path.join(folder, "ca.pem")
        form = {key: value for key, value in package._asdict().items() if isinstance(value, str)}
        data = {key: base64.b64encode(getattr(package, key)).decode() for key in ("manifest", "bundle")}
        user = os.geteuid() != 0
        self._process = subprocess.Popen(
            [
                *("unshare", "-Urnm" if user else "-nm", sys.executable, _PROGRAM, folder),
                json.dumps({**form, **data}),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"
        enter = ["nsenter", "-t", str(self._process.pid), "-m", "-n"]
        # As in kit.internet: root inside, and himself again by one more namespace.
        identity = [f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}"]
        himself = ["-U", "--preserve-credentials", "unshare", "-U", *identity]
        self.prefix = [*enter, *himself] if user else enter

    def set(self, **wanted: Any) -> dict[str, Any]:
        """What was seen since the last call, and from now on ``faults``, ``answer`` and ``token``."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        seen: dict[str, Any] = self._read()
        return seen

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate("")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
