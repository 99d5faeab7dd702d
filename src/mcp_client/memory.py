"""Memory of a process that stays: garbage, what was freed (mallopt(3), malloc_trim(3)), code (madvise(2))."""

import gc
import os
import sys

_USUAL = gc.get_threshold()
_RARELY = 100_000
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MADV_DONTNEED = 4
_SMAPS = "/proc/self/smaps"
_CHUNK = 1 << 12
_LARGEST_KEPT = 4 << 20
_MOST_KEPT = 8 << 20


def collect_rarely() -> None:
    """A start makes little garbage, and looking for it takes a millisecond each time.

    With all that a pull imports there are 60,000 objects by then: 10 ms.
    """
    gc.set_threshold(_RARELY)


def give_back() -> None:
    """Return what a start needed and a server's supervisor does not to the system: about 2 MB.

    From now on garbage is looked for as usual, but not in what is there: that stays.
    """
    gc.freeze()
    gc.set_threshold(*_USUAL)
    _call("malloc_trim", 0)
    if sys.platform == "linux":
        _drop_code()


def _drop_code() -> None:
    """Let go of pages that are as they are in their file, such as code: who needs one has it back at once.

    They stay in the page cache. A mapping of which anything was ever changed, by a relocation for example,
    has pages of its own (proc_pid_smaps(5), Anonymous), which would be lost, and is left alone.
    """
    import ctypes  # the launcher's already

    advise = ctypes.CDLL(None).madvise
    advise.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
    try:
        smaps = os.open(_SMAPS, os.O_RDONLY)
    except OSError:
        # Without /proc they stay, which harms nobody.
        return
    bounds: list[bytes] = []
    rest = b""
    while piece := os.read(smaps, _CHUNK):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line[:1] not in b"0123456789abcdefA":
                continue
            fields = line.split()
            if fields[0] != b"Anonymous:":
                # Address, permissions, offset, device, inode.
                is_file = fields[1] in {b"r--p", b"r-xp"} and fields[4] != b"0"
                bounds = fields[0].split(b"-") if is_file else []
            elif bounds and fields[1] == b"0":
                start, end = int(bounds[0], 16), int(bounds[1], 16)
                advise(start, end - start, _MADV_DONTNEED)
    os.close(smaps)


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
