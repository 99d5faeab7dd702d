"""pyseccomp, with libseccomp by the name that the dynamic loader knows.

pyseccomp asks ctypes.util.find_library, which asks ldconfig, gcc or objdump: a small system has none of them,
and libseccomp all the same. Without the question it also loads in half the time.
"""

import ctypes.util
from typing import Any


def _name(name: str) -> str | None:
    return "libseccomp.so.2" if name == "seccomp" else None


def load_pyseccomp() -> Any:
    """The module. Raises ImportError, or OSError when there is no libseccomp."""
    find_library = ctypes.util.find_library
    # No name at all is this process itself, and its C library with it.
    ctypes.util.find_library = _name
    try:
        import pyseccomp
    finally:
        ctypes.util.find_library = find_library
    return pyseccomp
