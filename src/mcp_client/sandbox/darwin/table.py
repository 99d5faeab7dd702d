"""The processes of this machine, as the keeper looks at them: who they are, whose children, what they use."""

from typing import NamedTuple, Protocol


class Seen(NamedTuple):
    """One living process. ``unique`` is a number that no other one has until the machine restarts.

    ``parent`` is that of the process that forked it, whoever its parent is by now; ``group`` is its process
    group.
    """

    pid: int
    unique: int
    parent: int
    group: int


class Used(NamedTuple):
    """What one process used so far: seconds of CPU, those of the children it waited for, bytes of memory."""

    seconds: float
    waited_for: float
    memory: int


class ProcessTable(Protocol):
    """Of one user's processes. A process that ended and was not waited for is not there any more."""

    def processes(self) -> list[Seen]:
        """All of this user's."""

    def look(self, pid: int) -> Seen | None:
        """One of them; None when there is no such process."""

    def use(self, pid: int) -> Used | None:
        """What it used; None when it is gone."""

    def is_confined(self, pid: int, inside: str, outside: str) -> bool:
        """Whether it lives in the sandbox that may write the folder ``inside`` and not ``outside``."""
