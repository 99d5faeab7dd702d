"""What was reached and what was refused, for the audit record: bounded, whatever a server tries."""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_DESTINATIONS = 256
# Of these; whoever tries many in vain does not hide what was reached.
_MOST_DENIED = 192
_MOST_NOTICES = 16
_OTHERS = "(others)"


class Tally:
    """One destination: connections by how they went, and bytes the server ``sent`` to it and ``received``."""

    __slots__ = ("allowed", "denied", "failed", "reason", "received", "sent")

    def __init__(self) -> None:
        """Nothing yet; ``reason`` is why the last one was denied or failed."""
        self.allowed = self.denied = self.failed = self.sent = self.received = 0
        self.reason = ""

    def fail(self, reason: str) -> None:
        """Count a connection that was allowed and did not come about, or was cut."""
        self.failed += 1
        self.reason = reason

    def to_record(self, destination: str) -> dict[str, object]:
        """For the audit log; zeros are left out."""
        values: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        return {"destination": destination, **{name: value for name, value in values.items() if value}}


class Counts:
    """Counts for each destination: ``host:port``, or a name that was only looked up."""

    def __init__(self, on_denied: Callable[[str], None]) -> None:
        """``on_denied`` gets one line of text at the first denial of a destination."""
        self._on_denied = on_denied
        self._tallies: dict[str, Tally] = {}
        self._notices = 0

    def of(self, destination: str, most: int = _MOST_DESTINATIONS) -> Tally:
        """The tally of one destination, or the one that all share when there are ``most`` of them."""
        tally = self._tallies.get(destination)
        if tally is None:
            if len(self._tallies) >= most:
                destination = _OTHERS
            tally = self._tallies.setdefault(destination, Tally())
        return tally

    def deny(self, destination: str, reason: str, grant: str | None) -> None:
        """Count a denial and, at the first one, say what would allow it (``grant``)."""
        tally = self.of(destination, _MOST_DENIED)
        tally.denied += 1
        tally.reason = reason
        if tally.denied > 1 or self._notices > _MOST_NOTICES:
            return
        self._notices += 1
        if self._notices > _MOST_NOTICES:
            self._on_denied("network: more destinations were denied; the audit record counts them")
        else:
            mend = f" (to allow it: {grant})" if grant else ""
            self._on_denied(f"network: {destination} denied: {reason}{mend}")

    def to_record(self) -> list[dict[str, object]]:
        """All destinations for the audit log, in the order of their first use."""
        return [tally.to_record(destination) for destination, tally in self._tallies.items()]
