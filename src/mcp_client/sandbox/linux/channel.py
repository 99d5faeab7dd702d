"""How the child's side of the launch talks to the supervisor, and how its steps fail.

A step that fails is one line on the ``setup`` pipe: ``failed<TAB>stage<TAB>errno<TAB>detail``.
"""

import os
from typing import NamedTuple


class Channel(NamedTuple):
    """Pipe ends of the child's side: ``setup`` and ``report`` are written, ``control`` is read."""

    setup: int
    report: int
    control: int


class StepError(Exception):
    """A step of the set-up did not succeed; ``stage`` names it."""

    def __init__(self, stage: str, error: OSError) -> None:
        super().__init__(stage)
        self.stage = stage
        self.error = error


class step:  # noqa: N801  reads as the statement it is used as
    """Name the stage that an OSError inside belongs to."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def __enter__(self) -> None:
        """Begin the stage."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Turn an OSError into a failure of this stage."""
        if isinstance(error, OSError):
            raise StepError(self._stage, error) from error


def report_failure(channel: Channel, stage: str, error: OSError) -> None:
    """Tell the supervisor which step failed, and why."""
    reason = error.strerror or str(error)
    detail = f"{error.filename}: {reason}" if isinstance(error.filename, str) else reason
    line = f"failed\t{stage}\t{error.errno or 0}\t{detail}".replace("\n", " ")
    os.write(channel.setup, line.encode(errors="backslashreplace") + b"\n")


def await_word(control: int) -> None:
    """Wait for the supervisor; end of file means that it is gone, and so are we."""
    if not os.read(control, 1):
        os._exit(1)
