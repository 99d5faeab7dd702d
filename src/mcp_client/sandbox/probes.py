"""Find out what this host can enforce, by doing it."""

import sys
from collections.abc import Callable
from typing import NamedTuple


class Probe(NamedTuple):
    """One control, tried: whether it works, what was seen, what mends it, and whether a run needs it."""

    control: str
    works: bool
    detail: str
    mend: str | None
    required: bool


def probe_all(filter_folder: str) -> list[Probe]:
    """Try every control of this platform's sandbox; ``filter_folder`` as for open_backend()."""
    if sys.platform == "linux":
        from mcp_client.sandbox.linux.probes import probe_linux

        return probe_linux(filter_folder)
    mend = "run it on Linux"
    return [Probe("sandbox", False, f"there is none for {sys.platform} yet", mend, required=True)]


def attempt(
    control: str, mechanism: str, action: Callable[[], None], mend: Callable[[OSError], str]
) -> Probe:
    """Run ``action``; an OSError means that the control does not work, and ``mend`` says what to do."""
    try:
        action()
    except OSError as error:
        detail = f"{mechanism}: {error.strerror or error}"
        return Probe(control, False, detail, mend(error), required=True)
    return Probe(control, True, mechanism, None, required=True)
