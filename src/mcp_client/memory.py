"""Memory that a start needed and a server's supervisor does not."""

import gc
import sys

_USUAL = gc.get_threshold()
_RARELY = 50_000


def collect_rarely() -> None:
    """A start makes little garbage, and looking for it takes a millisecond each time."""
    gc.set_threshold(_RARELY)


def give_back() -> None:
    """Return free pages of the C heap to the system, where it is glibc's (malloc_trim(3)): about 0.5 MB.

    From now on garbage is looked for as usual, but not in what is there: that stays.
    """
    gc.freeze()
    gc.set_threshold(*_USUAL)
    if sys.platform != "linux":
        return
    import ctypes  # the launcher's already

    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        # Another libc.
        return
