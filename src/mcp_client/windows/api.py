"""Every call into Windows, typed, and with one way to fail: OSError with ``winerror``.

``use_last_error`` keeps the error of a call from being overwritten by the interpreter's own calls.
"""

import ctypes
from collections.abc import Callable
from ctypes import c_int, c_void_p, c_wchar_p
from typing import Any

from mcp_client.windows import structures as s

_INVALID = ctypes.c_void_p(-1).value
_P, _D, _B, _H = c_void_p, s.DWORD, s.BOOL, s.HANDLE

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)

Call = Callable[..., Any]


def last_error() -> OSError:
    """What the last call said, as an exception."""
    return ctypes.WinError(ctypes.get_last_error())


def _failed_at_zero(result: Any, _function: Any, _arguments: Any) -> Any:
    if not result:
        raise last_error()
    return result


def _failed_at_invalid(result: Any, _function: Any, _arguments: Any) -> Any:
    if result is None or result == _INVALID:
        raise last_error()
    return result


def _failed_with_number(result: Any, _function: Any, _arguments: Any) -> Any:
    if result:
        raise ctypes.WinError(result)
    return result


def _bind(
    library: ctypes.WinDLL, name: str, result: Any, *arguments: Any, check: Any = _failed_at_zero
) -> Call:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    if check is not None:
        function.errcheck = check
    return function  # type: ignore[no-any-return]


_k, _a = _kernel32, _advapi32

# Handles and files
CloseHandle = _bind(_k, "CloseHandle", _B, _H)
DuplicateHandle = _bind(_k, "DuplicateHandle", _B, _H, _H, _H, s.P(_H), _D, _B, _D)
CreateFileW = _bind(_k, "CreateFileW", _H, c_wchar_p, _D, _D, _P, _D, _D, _H, check=_failed_at_invalid)
LockFileEx = _bind(_k, "LockFileEx", _B, _H, _D, _D, _D, _D, s.P(s.OVERLAPPED))
CreatePipe = _bind(_k, "CreatePipe", _B, s.P(_H), s.P(_H), _P, _D)
PeekNamedPipe = _bind(_k, "PeekNamedPipe", _B, _H, _P, _D, _P, s.P(_D), _P)
GetConsoleMode = _bind(_k, "GetConsoleMode", _B, _H, s.P(_D), check=None)

# Processes
GetCurrentProcess = _bind(_k, "GetCurrentProcess", _H, check=None)
OpenProcess = _bind(_k, "OpenProcess", _H, _D, _B, _D)
GetProcessTimes = _bind(_k, "GetProcessTimes", _B, _H, *[s.P(s.FILETIME)] * 4)
GetExitCodeProcess = _bind(_k, "GetExitCodeProcess", _B, _H, s.P(_D))
ResumeThread = _bind(_k, "ResumeThread", _D, _H, check=None)
CreateEventW = _bind(_k, "CreateEventW", _H, _P, _B, _B, c_wchar_p)
SetEvent = _bind(_k, "SetEvent", _B, _H)
ResetEvent = _bind(_k, "ResetEvent", _B, _H)
WaitForMultipleObjects = _bind(_k, "WaitForMultipleObjects", _D, _D, _P, _B, _D, check=None)
WaitForSingleObject = _bind(_k, "WaitForSingleObject", _D, _H, _D, check=None)
InitializeProcThreadAttributeList = _bind(
    _k, "InitializeProcThreadAttributeList", _B, _P, _D, _D, s.P(s.SIZE_T), check=None
)
UpdateProcThreadAttribute = _bind(
    _k, "UpdateProcThreadAttribute", _B, _P, _D, s.SIZE_T, _P, s.SIZE_T, _P, s.P(s.SIZE_T)
)
DeleteProcThreadAttributeList = _bind(_k, "DeleteProcThreadAttributeList", None, _P, check=None)
CreateProcessAsUserW = _bind(
    _a, "CreateProcessAsUserW", _B,
    _H, c_wchar_p, _P, _P, _P, _B, _D, _P, c_wchar_p, _P, s.P(s.PROCESS_INFORMATION),
)  # fmt: skip
VirtualAllocEx = _bind(_k, "VirtualAllocEx", _P, _H, _P, s.SIZE_T, _D, _D)
VirtualFreeEx = _bind(_k, "VirtualFreeEx", _B, _H, _P, s.SIZE_T, _D)

# Jobs
CreateJobObjectW = _bind(_k, "CreateJobObjectW", _H, _P, c_wchar_p)
SetInformationJobObject = _bind(_k, "SetInformationJobObject", _B, _H, c_int, _P, _D)
QueryInformationJobObject = _bind(_k, "QueryInformationJobObject", _B, _H, c_int, _P, _D, s.P(_D))
TerminateJobObject = _bind(_k, "TerminateJobObject", _B, _H, _D)
IsProcessInJob = _bind(_k, "IsProcessInJob", _B, _H, _H, s.P(_B))
CreateIoCompletionPort = _bind(_k, "CreateIoCompletionPort", _H, _H, _H, c_void_p, _D)
GetQueuedCompletionStatus = _bind(
    _k, "GetQueuedCompletionStatus", _B, _H, s.P(_D), s.P(c_void_p), s.P(c_void_p), _D, check=None
)

# Console
HandlerRoutine = ctypes.WINFUNCTYPE(_B, _D)
SetConsoleCtrlHandler = _bind(_k, "SetConsoleCtrlHandler", _B, _P, _B)

# Tokens and lists of access
LocalFree = _bind(_k, "LocalFree", _P, _P, check=None)
OpenProcessToken = _bind(_a, "OpenProcessToken", _B, _H, _D, s.P(_H))
CreateRestrictedToken = _bind(
    _a, "CreateRestrictedToken", _B, _H, _D, _D, _P, _D, _P, _D, _P, s.P(_H)
)  # fmt: skip
GetTokenInformation = _bind(_a, "GetTokenInformation", _B, _H, c_int, _P, _D, s.P(_D))
SetTokenInformation = _bind(_a, "SetTokenInformation", _B, _H, c_int, _P, _D)
ConvertStringSidToSidW = _bind(_a, "ConvertStringSidToSidW", _B, c_wchar_p, s.P(_P))
ConvertSidToStringSidW = _bind(_a, "ConvertSidToStringSidW", _B, _P, s.P(_P))
GetLengthSid = _bind(_a, "GetLengthSid", _D, _P, check=None)
GetSecurityInfo = _bind(
    _a,
    "GetSecurityInfo",
    _D,
    _H,
    c_int,
    _D,
    s.P(_P),
    s.P(_P),
    s.P(_P),
    s.P(_P),
    s.P(_P),
    check=_failed_with_number,
)
GetNamedSecurityInfoW = _bind(
    _a, "GetNamedSecurityInfoW", _D, c_wchar_p, c_int, _D, s.P(_P), s.P(_P), s.P(_P), s.P(_P), s.P(_P),
    check=_failed_with_number,
)  # fmt: skip
SetFileSecurityW = _bind(_a, "SetFileSecurityW", _B, c_wchar_p, _D, _P)
ConvertStringSecurityDescriptorToSecurityDescriptorW = _bind(
    _a, "ConvertStringSecurityDescriptorToSecurityDescriptorW", _B, c_wchar_p, _D, s.P(_P), s.P(_D)
)
GetSecurityDescriptorDacl = _bind(
    _a, "GetSecurityDescriptorDacl", _B, _P, s.P(_B), s.P(_P), s.P(_B)
)  # fmt: skip
GetAce = _bind(_a, "GetAce", _B, _P, _D, s.P(_P))
GetUserNameW = _bind(_a, "GetUserNameW", _B, _P, s.P(_D))


# Folders
GetSystemDirectoryW = _bind(_k, "GetSystemDirectoryW", _D, _P, _D)
SHGetFolderPathW = _bind(
    ctypes.WinDLL("shell32"), "SHGetFolderPathW", _D, _H, c_int, _H, _D, _P, check=_failed_with_number
)


class Handle:
    """A handle that is closed once, by close() or when nobody has it any more."""

    __slots__ = ("value",)

    def __init__(self, value: int | None) -> None:
        """``value`` becomes ours."""
        self.value = value

    def close(self) -> None:
        """Let go of the object."""
        value, self.value = self.value, None
        if value is not None:
            CloseHandle(value)

    def __del__(self) -> None:
        try:
            self.close()
        except OSError:
            return
