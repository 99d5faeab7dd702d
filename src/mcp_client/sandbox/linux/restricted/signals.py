"""A system call filter that lets a process signal nobody but itself, for kernels whose Landlock cannot.

Compiled by hand at the start, since a process id is in it. Children keep the filter with their parent's id:
they can neither signal nor be signalled, except by process group.
"""

import errno
import os
import struct

_INSTRUCTION = struct.Struct("=HBBI")
_LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_OFFSET_NUMBER, _OFFSET_TARGET = 0, 16
_RETURN_ALLOW, _RETURN_ERRNO = 0x7FFF0000, 0x00050000

# kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo (asm/unistd.h); another ABI is refused elsewhere.
_CALLS = (62, 200, 234, 129, 297) if os.uname().machine == "x86_64" else (129, 130, 131, 138, 240)


def only_itself(pid: int) -> bytes:
    """The BPF program for the process ``pid``. Target 0, the own process group (kill(2)), stays allowed."""
    calls = len(_CALLS)
    program = [(_LOAD_WORD, 0, 0, _OFFSET_NUMBER)]
    # Each comparison that matches jumps over the others and over the first return.
    program += [(_JUMP_EQUAL, calls - index, 0, number) for index, number in enumerate(_CALLS)]
    program += [
        (_RETURN, 0, 0, _RETURN_ALLOW),
        (_LOAD_WORD, 0, 0, _OFFSET_TARGET),
        (_JUMP_EQUAL, 1, 0, pid),
        (_JUMP_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _RETURN_ALLOW),
        (_RETURN, 0, 0, _RETURN_ERRNO | errno.EPERM),
    ]
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)
