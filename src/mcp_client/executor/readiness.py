"""Wait until the server answers: at its port, or 2xx at its health path where its manifest names one."""

import _socket
import os
import select
import time
from http import HTTPStatus

import h11

from mcp_client.executor.ingress import LOOPBACK, V4, V6, Ingress

# A server that took a second to start has waited for a tenth of that at most.
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.005, 0.1, 1.1
# How long one answer at the health path may take before another one is asked for.
_ANSWER_SECONDS = 5.0
_READ = 1 << 16


class Readiness:
    """A companion of the supervisor's loop; ``family`` is where the server answered, ``tried`` why not."""

    def __init__(self, ingress: Ingress, health: str | None) -> None:
        """Begins at once."""
        self.family: bytes | None = None
        self.tried: dict[str, str] = {}
        self._ingress = ingress
        self._health = health
        self._attempts: dict[int, _Attempt] = {}
        self._arrived: list[_Attempt] = []
        self._pause = _FIRST_PAUSE
        self._try_at: float | None = time.monotonic()
        self._asked = 0

    @property
    def due_at(self) -> float | None:
        """The next try, or the end of the one that gets no answer."""
        times = [attempt.until for attempt in self._attempts.values()]
        return min(times) if self._try_at is None and times else self._try_at

    def watch(self, poll: select.poll) -> None:
        """Nothing yet: tries are registered as they are made."""

    def move(self, poll: select.poll, ready: dict[int, int]) -> None:
        """Go on with the tries there are, and begin the next."""
        now = time.monotonic()
        for number, attempt in list(self._attempts.items()):
            if number in ready or now >= attempt.until:
                self._go_on(attempt, poll, now)
                if self.family is not None:
                    return
        if self._try_at is not None and now >= self._try_at:
            self._try_at = None
            for family in (V4, V6):
                self._asked += 1
                self._ingress.take(family, lambda end, family=family: self._begin(end, family))  # type: ignore[misc]
        for attempt in self._arrived:
            poll.register(attempt.socket, attempt.events)
            self._attempts[attempt.socket.fileno()] = attempt
        self._arrived.clear()
        if not self._attempts and not self._asked and self._try_at is None:
            self._try_at = now + self._pause
            self._pause = min(self._pause * _GROWTH, _LONGEST_PAUSE)

    def stop(self, poll: select.poll) -> None:
        """Let go of all that was begun."""
        for attempt in self._attempts.values():
            poll.unregister(attempt.socket)
            attempt.socket.close()
        for attempt in self._arrived:
            attempt.socket.close()
        self._attempts.clear()
        self._arrived.clear()

    def describe(self) -> str:
        """What the last tries met."""
        return "; ".join(f"{place}: {what}" for place, what in self.tried.items()) or "nothing could be tried"

    def _begin(self, end: _socket.socket | None, family: bytes) -> None:
        self._asked -= 1
        if end is not None:
            until = time.monotonic() + _ANSWER_SECONDS
            self._arrived.append(_Attempt(end, family, self._ingress.port, self._health, until))

    def _go_on(self, attempt: "_Attempt", poll: select.poll, now: float) -> None:
        found = attempt.go_on() if now < attempt.until else f"no answer in {_ANSWER_SECONDS:.0f} s"
        if found is None:
            poll.modify(attempt.socket, attempt.events)
            return
        poll.unregister(attempt.socket)
        del self._attempts[attempt.socket.fileno()]
        attempt.socket.close()
        if found:
            self.tried[attempt.place] = found
        else:
            self.family = attempt.family
            self.stop(poll)


class _Attempt:
    """One connection, from its beginning to an answer."""

    def __init__(
        self, end: _socket.socket, family: bytes, port: int, health: str | None, until: float
    ) -> None:
        self.socket = end
        self.family = family
        self.until = until
        self.events = select.POLLOUT
        address = LOOPBACK[family] if family == V4 else f"[{LOOPBACK[family]}]"
        self.place = f"{address}:{port}{health or ''}"
        self._health = health
        self._host = f"localhost:{port}"
        self._http: h11.Connection | None = None

    def go_on(self) -> str | None:
        """``""`` when the server is ready, None while it is open, else what went wrong."""
        try:
            return self._step()
        except BlockingIOError:
            return None
        except OSError as error:
            return (error.strerror or str(error)).lower()
        except h11.RemoteProtocolError:
            return "no answer of HTTP"

    def _step(self) -> str | None:
        if self._http is not None:
            return self._read(self._http)
        number = self.socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        if self.socket.getsockname() == self.socket.getpeername():
            # With nobody there, the kernel may have chosen the very port as ours: TCP connects to itself.
            raise OSError(0, "connection refused")
        if self._health is None:
            return ""
        self._http = h11.Connection(h11.CLIENT)
        fields = [("Host", self._host), ("Accept", "*/*"), ("Connection", "close")]
        request = h11.Request(method="GET", target=self._health, headers=fields)
        # A new connection has room for so little.
        self.socket.send((self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b""))
        self.events = select.POLLIN
        return None

    def _read(self, http: h11.Connection) -> str | None:
        data = self.socket.recv(_READ)
        if not data and not http.trailing_data[0]:
            return "closed without an answer"
        http.receive_data(data)
        while not isinstance(event := http.next_event(), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                return None
        ok = HTTPStatus.OK <= event.status_code < HTTPStatus.MULTIPLE_CHOICES
        return "" if ok else f"status {event.status_code}"
