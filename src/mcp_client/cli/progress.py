"""How far downloads are: what is counted, and to whom it is shown.

Only references that the user wrote and numbers are shown: a registry has no say in what reaches the terminal.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, cast

from mcp_client.app import App
from mcp_client.cli.display import Block, Display, Lines, Transfer
from mcp_client.reference import PackageReference
from mcp_client.resolution import Descriptor, Resolution

if TYPE_CHECKING:
    from mcp_client.registry.client import RegistryClient


class Downloads:
    """Watches the downloads of any number of parts of the program, each in a thread of its own."""

    def __init__(self, display: Display | None) -> None:
        """Nothing is shown without a display."""
        self._display = display

    def watch(self, app: App, told: Resolution | None = None) -> None:
        """From now on, show how far each download of ``app`` is; its registry is opened when it is needed.

        ``told`` is what a lock says will be downloaded, without a question that would tell its name.
        """
        if self._display is None:
            return
        known = vars(app).get("registry")
        if not isinstance(known, _Watched):
            # What App makes of `registry` when it is first asked for, without asking for it now.
            build: Callable[[App], RegistryClient] = vars(App)["registry"].func
            opened = cast("RegistryClient | None", known)
            known = _Watched(lambda: opened or build(app), self)
            app.registry = cast("RegistryClient", known)
        known.expect(told)

    @contextmanager
    def transfer(self, subject: str, work: str, total: int | None = None) -> Iterator[Transfer]:
        """Show a transfer while the block is executed; whoever is in it adds to ``done``."""
        transfer = Transfer(subject, work, total)
        display = self._display
        if display is None:
            yield transfer
            return
        display.begin(transfer)
        whole = False
        try:
            yield transfer
            whole = True
        finally:
            display.end(transfer, whole=whole)


@contextmanager
def show_downloads(*, quiet: bool = False) -> Iterator[Downloads]:
    """Show downloads while the block is executed; afterwards a terminal is as it was before."""
    display = None if quiet or sys.stderr is None else _display(sys.stderr)
    try:
        yield Downloads(display)
    finally:
        if display is not None:
            display.close()


def downloads_of_a_person() -> Downloads:
    """For ``mcp run``: shown when all three streams are a terminal, and so no MCP client is at the other end.

    A client may well hand its own terminal down as standard error.
    """
    streams = (sys.stdin, sys.stdout, sys.stderr)
    by_hand = all(stream is not None and stream.isatty() for stream in streams)
    return Downloads(Block(sys.stderr) if by_hand and _obeys_escapes() else None)


def _display(stream: TextIO) -> Display:
    return Block(stream) if stream.isatty() and _obeys_escapes() else Lines(stream)


def _obeys_escapes() -> bool:
    return os.environ.get("TERM", "dumb") != "dumb"


class _Watched:
    """A registry client that counts the bytes that pass."""

    def __init__(self, build: "Callable[[], RegistryClient]", downloads: Downloads) -> None:
        self._build = build
        self._downloads = downloads
        self._built: RegistryClient | None = None
        self._resolution: Resolution | None = None
        self._subject = ""

    def expect(self, told: Resolution | None) -> None:
        self._resolution = told
        self._subject = "" if told is None else str(told.reference)

    def resolve(self, reference: PackageReference) -> Resolution:
        self._subject = str(reference)
        with self._downloads.transfer(self._subject, "resolving"):
            self._resolution = self._client.resolve(reference)
        return self._resolution

    def fetch(self, descriptor: Descriptor, limit: int) -> Iterator[bytes]:
        of_manifest = self._resolution is not None and descriptor == self._resolution.manifest
        work = "manifest" if of_manifest else "bundle"
        with self._downloads.transfer(self._subject, work, descriptor.size) as transfer:
            for chunk in self._client.fetch(descriptor, limit):
                transfer.done += len(chunk)
                yield chunk

    @property
    def _client(self) -> "RegistryClient":
        if self._built is None:
            self._built = self._build()
        return self._built

    def close(self) -> None:
        if self._built is not None:
            self._built.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)
