"""One HTTP request to the server and its answer, on a connection of the pool."""

from collections.abc import Sequence
from typing import Protocol

import h11

from mcp_client.executor.http.counts import Counts
from mcp_client.executor.http.link import Link, Pool
from mcp_client.network.engine.loop import LARGEST_READ, READ


class Receiver(Protocol):
    """Who is told of the answer; after on_end() or on_lost() nothing follows."""

    def on_head(self, status: int, fields: dict[bytes, bytes]) -> None:
        """The final status, and the fields by their names in lower case."""

    def on_data(self, data: bytes) -> None:
        """More of the body."""

    def on_end(self) -> None:
        """The whole answer is there."""

    def on_lost(self) -> None:
        """There is no answer, or not all of it."""


class Transfer:
    """Begins at once; :meth:`close` ends it without another word."""

    def __init__(
        self,
        pool: Pool,
        receiver: Receiver,
        *,
        method: str,
        target: str,
        fields: Sequence[tuple[str, str]],
        body: bytes = b"",
    ) -> None:
        """``fields`` are complete but for the length of the ``body``."""
        sized = [*fields, ("Content-Length", str(len(body)))] if method == "POST" else fields
        self._request = h11.Request(method=method, target=target, headers=list(sized))
        self._body = body
        self._pool = pool
        self._receiver = receiver
        self._link: Link | None = None
        self._closed = self._held_back = self._retried = False
        self._ticket = 0
        self._seek(fresh=False)

    def hold_back(self, wanted: bool) -> None:
        """Read no more for now, or go on."""
        if wanted != self._held_back:
            self._held_back = wanted
            self._settle()

    def close(self) -> None:
        """The server sees an end of the connection, if the answer is not complete."""
        self._closed = True
        self._pool.cancel(self._ticket)
        if self._link is not None:
            self._link.channel.close()
            self._link = None

    def _seek(self, *, fresh: bool) -> None:
        self._ticket = self._pool.take(self._on_link, fresh=fresh)

    def _on_link(self, link: Link | None) -> None:
        if link is None:
            self._lose()
            return
        self._link = link
        link.attach(self._on_ready)
        pieces = [link.connection.send(self._request)]
        if self._body:
            pieces.append(link.connection.send(h11.Data(data=self._body)))
        pieces.append(link.connection.send(h11.EndOfMessage()))
        before = link.channel.sent
        try:
            link.channel.write([piece for piece in pieces if piece])
        except OSError:
            # The server closed a kept connection just now: nothing of the request has reached it.
            link.channel.close()
            if link.used and not self._retried and link.channel.sent == before:
                self._retried = True
                self._seek(fresh=True)
            else:
                self._lose()
            return
        self._settle()

    def _settle(self) -> None:
        if self._link is not None:
            self._link.channel.watch(0 if self._held_back else READ)

    def _on_ready(self) -> None:
        link = self._link
        if link is None:
            return
        try:
            link.channel.flush()
            data = None if self._held_back else link.channel.read(LARGEST_READ)
        except OSError:
            self._lose()
            return
        if data is not None:
            link.connection.receive_data(bytes(data))
            self._take_events(link)
        if self._link is link:
            self._settle()

    def _take_events(self, link: Link) -> None:
        while self._link is link:
            try:
                event = link.connection.next_event()
            except h11.RemoteProtocolError:
                self._lose()
                return
            if isinstance(event, h11.Response):
                self._receiver.on_head(event.status_code, dict(event.headers))
            elif isinstance(event, h11.Data):
                self._receiver.on_data(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._link = None
                self._closed = True
                self._pool.give_back(link)
                self._receiver.on_end()
            elif isinstance(event, h11.ConnectionClosed):
                self._lose()
            elif not isinstance(event, h11.InformationalResponse):
                return

    def _lose(self) -> None:
        if not self._closed:
            self.close()
            self._receiver.on_lost()


class Counted:
    """Passes everything on, and counts the answer."""

    def __init__(self, receiver: Receiver, counts: Counts) -> None:
        """Both get what comes."""
        self._counts = counts
        self._receiver = receiver
        self.on_data, self.on_end = receiver.on_data, receiver.on_end

    def on_head(self, status: int, fields: dict[bytes, bytes]) -> None:
        """As a receiver."""
        self._counts.answer(status)
        self._receiver.on_head(status, fields)

    def on_lost(self) -> None:
        """As a receiver."""
        self._counts.aborted += 1
        self._receiver.on_lost()
