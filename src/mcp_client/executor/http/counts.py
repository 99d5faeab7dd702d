"""What the audit record says of an HTTP server's clients: bounded, whatever they and the server send."""

_MOST_STATUSES = 32
_OTHERS = "others"


class Counts:
    """``received`` and ``sent`` are bytes on the clients' connections, heads and framing included."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.connections = self.requests = self.aborted = self.received = self.sent = 0
        self._statuses: dict[str, int] = {}
        self._refused: dict[str, int] = {}

    def answer(self, status: int) -> None:
        """Count a final answer, the server's or ours."""
        key = str(status)
        if key not in self._statuses and len(self._statuses) >= _MOST_STATUSES:
            key = _OTHERS
        self._statuses[key] = self._statuses.get(key, 0) + 1

    def refuse(self, reason: str) -> None:
        """Count a request that the server did not get to see; ``reason`` is one of a few words of ours."""
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def to_record(self) -> dict[str, object]:
        """For the audit log; ``requests`` were passed on, ``aborted`` of these have no whole answer."""
        record: dict[str, object] = {
            "connections": self.connections,
            "requests": self.requests,
            "aborted": self.aborted,
            "bytes_received": self.received,
            "bytes_sent": self.sent,
            "statuses": dict(sorted(self._statuses.items())),
        }
        if self._refused:
            record["refused"] = dict(sorted(self._refused.items()))
        return record
