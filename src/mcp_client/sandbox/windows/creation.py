"""Create a process that waits: in its job from the first moment, with three handles and no others."""

import ctypes
from collections.abc import Sequence
from ctypes import addressof, byref, c_void_p, sizeof
from typing import NamedTuple

from mcp_client.windows import api
from mcp_client.windows import structures as s


class Created(NamedTuple):
    """A process whose first thread is suspended."""

    process: api.Handle
    thread: api.Handle
    pid: int


class Attributes:
    """A PROC_THREAD_ATTRIBUTE_LIST; what it points to lives as long as this."""

    def __init__(self, *, job: int, inherited: Sequence[int], children: bool) -> None:
        """``inherited`` are handles that can be inherited; without ``children`` none can be started."""
        values: list[tuple[int, ctypes.Array[c_void_p] | ctypes.c_uint32]] = [
            (s.PROC_THREAD_ATTRIBUTE_HANDLE_LIST, (c_void_p * len(inherited))(*inherited)),
            (s.PROC_THREAD_ATTRIBUTE_JOB_LIST, (c_void_p * 1)(job)),
        ]
        if not children:
            policy = ctypes.c_uint32(s.PROCESS_CREATION_CHILD_PROCESS_RESTRICTED)
            values.append((s.PROC_THREAD_ATTRIBUTE_CHILD_PROCESS_POLICY, policy))
        self._values = values
        size = s.SIZE_T()
        # Says how much it needs by failing.
        api.InitializeProcThreadAttributeList(None, len(values), 0, byref(size))
        self._memory = ctypes.create_string_buffer(size.value)
        if not api.InitializeProcThreadAttributeList(self._memory, len(values), 0, byref(size)):
            raise api.last_error()
        for kind, value in values:
            api.UpdateProcThreadAttribute(self._memory, 0, kind, addressof(value), sizeof(value), None, None)

    @property
    def pointer(self) -> int:
        """For STARTUPINFOEXW."""
        return addressof(self._memory)

    def close(self) -> None:
        """To be called once the process exists."""
        api.DeleteProcThreadAttributeList(self._memory)


def create_suspended(
    program: str,
    line: str,
    *,
    token: int,
    attributes: Attributes,
    streams: Sequence[int],
    environment: str,
    directory: str,
    console: bool,
) -> Created:
    """CreateProcessAsUserW(); ``streams`` are standard input, output and error. Raises OSError.

    With a ``console`` it has one without a window, which its children share; otherwise none, and no host
    process for it.
    """
    startup = s.STARTUPINFOEXW()
    startup.StartupInfo.cb = sizeof(startup)
    startup.StartupInfo.dwFlags = s.STARTF_USESTDHANDLES
    startup.StartupInfo.hStdInput, startup.StartupInfo.hStdOutput, startup.StartupInfo.hStdError = streams
    startup.lpAttributeList = attributes.pointer
    flags = s.CREATE_SUSPENDED | s.CREATE_UNICODE_ENVIRONMENT | s.EXTENDED_STARTUPINFO_PRESENT
    flags |= s.CREATE_NO_WINDOW if console else s.DETACHED_PROCESS
    # CreateProcessW() may write to the line; the block holds characters that end a Python text's copy.
    text = ctypes.create_unicode_buffer(line)
    block = ctypes.create_unicode_buffer(environment, len(environment) + 1)
    made = s.PROCESS_INFORMATION()
    api.CreateProcessAsUserW(
        token, program, text, None, None, True, flags, block, directory, byref(startup), byref(made)
    )
    return Created(api.Handle(made.hProcess), api.Handle(made.hThread), int(made.dwProcessId))


def inheritable(handle: int) -> api.Handle:
    """A copy of a handle that a process of ours may inherit; the original stays as it is."""
    copy = c_void_p()
    own = api.GetCurrentProcess()
    api.DuplicateHandle(own, handle, own, byref(copy), 0, True, s.DUPLICATE_SAME_ACCESS)
    return api.Handle(copy.value)


def keeps_memory_limit(process: int, limit: int) -> bool:
    """Whether the system refuses a suspended process more memory than its job may have: asked by trying.

    What is refused by the machine for want of memory looks the same, and holds as well.
    """
    size = limit + (64 << 20)
    try:
        place = api.VirtualAllocEx(process, None, size, s.MEM_RESERVE | s.MEM_COMMIT, s.PAGE_READWRITE)
    except OSError:
        return True
    api.VirtualFreeEx(process, place, 0, s.MEM_RELEASE)
    return False
