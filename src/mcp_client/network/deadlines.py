"""Many equal timeouts: to start, stop or expire one costs the same however many there are."""

from __future__ import annotations

from mcp_client.light import Generic, TypeVar

Key = TypeVar("Key")


class Deadlines(Generic[Key]):
    """What is due ``seconds`` after it was last started; times are those of the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        """Nothing is due."""
        self._seconds = seconds
        # All wait equally long, so that the order of starting is the order of being due.
        self._due: dict[Key, float] = {}

    def start(self, key: Key, now: float) -> None:
        """Let ``key`` be due once, counted from ``now``."""
        self._due.pop(key, None)
        self._due[key] = now + self._seconds

    def stop(self, key: Key) -> None:
        """It is not waited for any more, if it was."""
        self._due.pop(key, None)

    @property
    def first(self) -> float | None:
        """When the next one is due."""
        return next(iter(self._due.values()), None)

    def oldest(self, now: float, *, waiting: float) -> Key | None:
        """The one that was started first, if that was at least ``waiting`` seconds ago."""
        key = next(iter(self._due), None)
        return key if key is not None and self._due[key] - self._seconds + waiting <= now else None

    def take_expired(self, now: float) -> list[Key]:
        """Stop all that are due."""
        expired = []
        for key, due in self._due.items():
            if due > now:
                break
            expired.append(key)
        for key in expired:
            del self._due[key]
        return expired
