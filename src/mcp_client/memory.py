"""Looking for garbage, and what glibc does with memory that was freed (mallopt(3), malloc_trim(3))."""

import gc
import sys

_USUAL = gc.get_threshold()
_RARELY = 50_000
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST_KEPT = 4 << 20
_MOST_KEPT = 8 << 20


def collect_rarely() -> None:
    """A start makes little garbage, and looking for it takes a millisecond each time."""
    gc.set_threshold(_RARELY)


def give_back() -> None:
    """Return what a start needed and a server's supervisor does not to the system: about 0.5 MB.

    From now on garbage is looked for as usual, but not in what is there: that stays.
    """
    gc.freeze()
    gc.set_threshold(*_USUAL)
    _call("malloc_trim", 0)


class KeptMemory:
    """Within the block pieces of up to 4 MB are made of memory that was freed before, 8 MB of it at most.

    By itself glibc asks the kernel for each piece anew and returns it at once, so that every 4 KB of it cost
    a page fault and a page of zeros the next time: as many faults again as the rest of a pull has. And it
    lets each thread hoard memory of its own, though what one of them makes is freed by another.
    """

    def __enter__(self) -> None:
        """From now on."""
        _call("mallopt", _M_ARENA_MAX, 1)
        _call("mallopt", _M_MMAP_THRESHOLD, _LARGEST_KEPT)
        _call("mallopt", _M_TRIM_THRESHOLD, _MOST_KEPT)

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        _call("malloc_trim", 0)


def _call(name: str, *numbers: int) -> None:
    if sys.platform != "linux":
        return
    import ctypes  # the launcher's already

    try:
        getattr(ctypes.CDLL(None), name)(*numbers)
    except AttributeError:
        # Another libc.
        return
