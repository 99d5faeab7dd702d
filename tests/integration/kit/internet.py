"""An internet of the tests: the command runs on a machine that has a wire to another one, and no more.

Works for root and for users, with namespaces only. Names, addresses and services are those of
``programs/internet``.
"""

import json
import os
import shutil
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from kit import authority

PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "programs", "internet")
sys.path.insert(0, PROGRAM)

import places  # noqa: E402 (a program of its own, which finds its modules beside it)

__all__ = ["Internet", "places"]


class Internet:
    """The two machines; ``prefix`` runs a command on the near one, as the user of the tests."""

    def __init__(self, folder: str, redis_server: str | None = None) -> None:
        """``folder`` is empty, and becomes the world's."""
        self._folder = folder
        for name, path in authority.files().items():
            shutil.copy(path, os.path.join(folder, name))
        if redis_server is not None:
            os.symlink(redis_server, os.path.join(folder, "redis-server"))
        self._make_repository()
        user = os.geteuid() != 0
        self._process = subprocess.Popen(
            [_tool("unshare"), "-Urnm" if user else "-nm", sys.executable, f"{PROGRAM}/main.py", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the internet of the tests does not start; its reason is above")
        enter = [_tool("nsenter"), "-t", str(self._process.pid), "-m", "-n"]
        # Inside he is root, and with one more user namespace himself: the command treats root differently.
        identity = [f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}"]
        himself = ["-U", "--preserve-credentials", _tool("unshare"), "-U", *identity]
        self.prefix = [*enter, *himself] if user else enter

    def _make_repository(self) -> None:
        repository = os.path.join(self._folder, "repository.git")
        author = ["-c", "user.name=tests", "-c", "user.email=tests@reach.example"]
        for command in (
            ["init", "-q", "--bare", repository],
            ["-C", repository, "config", "http.receivepack", "true"],
        ):
            subprocess.run(["git", *command], check=True, env={**os.environ, "HOME": self._folder})
        tree = _git(repository, "mktree", given=b"")
        commit = _git(repository, *author, "commit-tree", "-m", "far away", tree)
        _git(repository, "update-ref", "HEAD", commit)

    def seen(self, **wanted: object) -> list[dict[str, Any]]:
        """What the servers were asked so far, those lines that hold what is ``wanted``."""
        with open(os.path.join(self._folder, "log")) as log:
            lines = [json.loads(line) for line in log]
        return [line for line in lines if wanted.items() <= line.items()]

    def forget(self) -> None:
        """Empty the list of what was seen."""
        os.truncate(os.path.join(self._folder, "log"), 0)

    def resolve_by(self, address: str) -> None:
        """Let the near machine ask another name server."""
        with open(os.path.join(self._folder, "resolv.conf"), "w") as opened:
            opened.write(f"nameserver {address}\n")

    def close(self) -> None:
        """Switch both machines off."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _git(repository: str, *command: str, given: bytes | None = None) -> str:
    done = subprocess.run(
        ["git", "-C", repository, *command], input=given, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode().strip()


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"the integration tests need {name} (util-linux) on PATH")
    return found
