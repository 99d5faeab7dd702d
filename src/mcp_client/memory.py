"""Memory that a start needed and a server's supervisor does not."""

import sys


def give_back() -> None:
    """Return free pages of the C heap to the system, where it is glibc's (malloc_trim(3)): about 0.5 MB."""
    if sys.platform != "linux":
        return
    import ctypes  # the launcher's already

    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        # Another libc.
        return
