"""Structures and numbers of the Windows API (winnt.h, winbase.h, processthreadsapi.h of the Windows SDK).

Fixed-width types only, so that sizes and offsets are the same on every 64-bit system that imports this.
"""

import ctypes
from ctypes import (
    POINTER,
    Structure,
    c_int32,
    c_int64,
    c_size_t,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)

DWORD, WORD, BOOL, LARGE_INTEGER, SIZE_T, HANDLE = c_uint32, c_uint16, c_int32, c_int64, c_size_t, c_void_p
# Two bytes a character on Windows; a pointer all the same where this is only measured.
LPWSTR = c_void_p

# CreateFileW
GENERIC_READ, GENERIC_WRITE, DELETE = 0x80000000, 0x40000000, 0x00010000
SYNCHRONIZE = 0x100000
FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_SHARE_DELETE = 1, 2, 4
CREATE_NEW, CREATE_ALWAYS, OPEN_EXISTING, OPEN_ALWAYS, TRUNCATE_EXISTING = 1, 2, 3, 4, 5
FILE_ATTRIBUTE_NORMAL, FILE_ATTRIBUTE_REPARSE_POINT = 0x80, 0x400
FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT = 0x02000000, 0x00200000
LOCKFILE_FAIL_IMMEDIATELY, LOCKFILE_EXCLUSIVE_LOCK = 1, 2

# CreateProcessW
CREATE_SUSPENDED, DETACHED_PROCESS, CREATE_UNICODE_ENVIRONMENT = 0x4, 0x8, 0x400
EXTENDED_STARTUPINFO_PRESENT, CREATE_NO_WINDOW = 0x80000, 0x08000000
STARTF_USESTDHANDLES = 0x100
PROC_THREAD_ATTRIBUTE_HANDLE_LIST = 0x20002
PROC_THREAD_ATTRIBUTE_JOB_LIST = 0x2000D
PROC_THREAD_ATTRIBUTE_CHILD_PROCESS_POLICY = 0x2000E
PROCESS_CREATION_CHILD_PROCESS_RESTRICTED = 1

# SetInformationJobObject
JobObjectBasicAccountingInformation, JobObjectBasicUIRestrictions = 1, 4
JobObjectAssociateCompletionPortInformation, JobObjectExtendedLimitInformation = 7, 9
JobObjectCpuRateControlInformation = 15
JOB_OBJECT_LIMIT_ACTIVE_PROCESS = 0x8
JOB_OBJECT_LIMIT_PROCESS_MEMORY, JOB_OBJECT_LIMIT_JOB_MEMORY = 0x100, 0x200
JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION = 0x400
JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE = 0x2000
# Handles, clipboard read and write, system parameters, display settings, global atoms, desktop, log off.
JOB_OBJECT_UILIMIT_ALL = 0xFF
JOB_OBJECT_CPU_RATE_CONTROL_ENABLE, JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP = 1, 4
JOB_OBJECT_MSG_ACTIVE_PROCESS_LIMIT = 3
JOB_OBJECT_MSG_EXIT_PROCESS, JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS = 7, 8
JOB_OBJECT_MSG_PROCESS_MEMORY_LIMIT, JOB_OBJECT_MSG_JOB_MEMORY_LIMIT = 9, 10

# Tokens
TOKEN_ASSIGN_PRIMARY, TOKEN_DUPLICATE, TOKEN_QUERY = 0x1, 0x2, 0x8
TOKEN_ADJUST_DEFAULT = 0x80
DISABLE_MAX_PRIVILEGE, LUA_TOKEN = 0x1, 0x4
TokenUser, TokenPrivileges, TokenDefaultDacl, TokenIntegrityLevel = 1, 3, 6, 25
SE_GROUP_INTEGRITY = 0x20
SE_PRIVILEGE_ENABLED = 0x2

# Security
SE_FILE_OBJECT = 1
OWNER_SECURITY_INFORMATION, DACL_SECURITY_INFORMATION, LABEL_SECURITY_INFORMATION = 0x1, 0x4, 0x10
PROTECTED_DACL_SECURITY_INFORMATION = 0x80000000
SDDL_REVISION_1 = 1
ACCESS_ALLOWED_ACE_TYPE, INHERIT_ONLY_ACE = 0, 0x8

# Waiting, memory, errors
INFINITE, WAIT_OBJECT_0, WAIT_TIMEOUT = 0xFFFFFFFF, 0, 258
MEM_RESERVE, MEM_COMMIT, MEM_RELEASE, PAGE_READWRITE = 0x2000, 0x1000, 0x8000, 0x4
DUPLICATE_SAME_ACCESS = 2
ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION = 32, 33
ERROR_BROKEN_PIPE, ERROR_INSUFFICIENT_BUFFER, ERROR_NO_DATA, ERROR_IO_PENDING = 109, 122, 232, 997
PROCESS_QUERY_LIMITED_INFORMATION = 0x1000


class SECURITY_ATTRIBUTES(Structure):
    """Whether a handle is inherited, and who may open the object."""

    _fields_ = (("nLength", DWORD), ("lpSecurityDescriptor", c_void_p), ("bInheritHandle", BOOL))


class STARTUPINFOW(Structure):
    """Standard handles and windows of a new process."""

    _fields_ = (
        ("cb", DWORD),
        ("lpReserved", LPWSTR),
        ("lpDesktop", LPWSTR),
        ("lpTitle", LPWSTR),
        *((name, DWORD) for name in ("dwX", "dwY", "dwXSize", "dwYSize", "dwXCountChars", "dwYCountChars")),
        ("dwFillAttribute", DWORD),
        ("dwFlags", DWORD),
        ("wShowWindow", WORD),
        ("cbReserved2", WORD),
        ("lpReserved2", c_void_p),
        ("hStdInput", HANDLE),
        ("hStdOutput", HANDLE),
        ("hStdError", HANDLE),
    )


class STARTUPINFOEXW(Structure):
    """The same with a list of attributes."""

    _fields_ = (("StartupInfo", STARTUPINFOW), ("lpAttributeList", c_void_p))


class PROCESS_INFORMATION(Structure):
    """A new process and its first thread."""

    _fields_ = (("hProcess", HANDLE), ("hThread", HANDLE), ("dwProcessId", DWORD), ("dwThreadId", DWORD))


class JOBOBJECT_BASIC_LIMIT_INFORMATION(Structure):
    """Limits of a job; ``LimitFlags`` says which of them count."""

    _fields_ = (
        ("PerProcessUserTimeLimit", LARGE_INTEGER),
        ("PerJobUserTimeLimit", LARGE_INTEGER),
        ("LimitFlags", DWORD),
        ("MinimumWorkingSetSize", SIZE_T),
        ("MaximumWorkingSetSize", SIZE_T),
        ("ActiveProcessLimit", DWORD),
        ("Affinity", c_size_t),
        ("PriorityClass", DWORD),
        ("SchedulingClass", DWORD),
    )


class IO_COUNTERS(Structure):
    """Operations and bytes of input and output."""

    _fields_ = tuple(
        (name, c_uint64)
        for name in (
            "ReadOperationCount",
            "WriteOperationCount",
            "OtherOperationCount",
            "ReadTransferCount",
            "WriteTransferCount",
            "OtherTransferCount",
        )
    )


class JOBOBJECT_EXTENDED_LIMIT_INFORMATION(Structure):
    """Limits of memory as well, and what the peak was, in bytes."""

    _fields_ = (
        ("BasicLimitInformation", JOBOBJECT_BASIC_LIMIT_INFORMATION),
        ("IoInfo", IO_COUNTERS),
        ("ProcessMemoryLimit", SIZE_T),
        ("JobMemoryLimit", SIZE_T),
        ("PeakProcessMemoryUsed", SIZE_T),
        ("PeakJobMemoryUsed", SIZE_T),
    )


class JOBOBJECT_BASIC_ACCOUNTING_INFORMATION(Structure):
    """What a job has used; times in units of 100 ns."""

    _fields_ = (
        ("TotalUserTime", LARGE_INTEGER),
        ("TotalKernelTime", LARGE_INTEGER),
        ("ThisPeriodTotalUserTime", LARGE_INTEGER),
        ("ThisPeriodTotalKernelTime", LARGE_INTEGER),
        ("TotalPageFaultCount", DWORD),
        ("TotalProcesses", DWORD),
        ("ActiveProcesses", DWORD),
        ("TotalTerminatedProcesses", DWORD),
    )


class JOBOBJECT_BASIC_UI_RESTRICTIONS(Structure):
    """What a job may not do to the desktop."""

    _fields_ = (("UIRestrictionsClass", DWORD),)


class JOBOBJECT_CPU_RATE_CONTROL_INFORMATION(Structure):
    """A share of all processors, in hundredths of a percent."""

    _fields_ = (("ControlFlags", DWORD), ("CpuRate", DWORD))


class JOBOBJECT_ASSOCIATE_COMPLETION_PORT(Structure):
    """Where a job tells what happens in it."""

    _fields_ = (("CompletionKey", c_void_p), ("CompletionPort", HANDLE))


class SID_AND_ATTRIBUTES(Structure):
    """A group of a token; TOKEN_USER and TOKEN_MANDATORY_LABEL are one each."""

    _fields_ = (("Sid", c_void_p), ("Attributes", DWORD))


class LUID_AND_ATTRIBUTES(Structure):
    """A privilege of a token."""

    _fields_ = (("LuidLow", DWORD), ("LuidHigh", c_int32), ("Attributes", DWORD))


class ACL(Structure):
    """The head of a list of access."""

    _fields_ = (
        ("AclRevision", c_uint8),
        ("Sbz1", c_uint8),
        ("AclSize", WORD),
        ("AceCount", WORD),
        ("Sbz2", WORD),
    )


class ACCESS_ALLOWED_ACE(Structure):
    """One entry of it; the SID begins at ``SidStart``."""

    _fields_ = (
        ("AceType", c_uint8),
        ("AceFlags", c_uint8),
        ("AceSize", WORD),
        ("Mask", DWORD),
        ("SidStart", DWORD),
    )


class OVERLAPPED(Structure):
    """An offset in a file, for LockFileEx()."""

    _fields_ = (
        ("Internal", c_void_p),
        ("InternalHigh", c_void_p),
        ("Offset", DWORD),
        ("OffsetHigh", DWORD),
        ("hEvent", HANDLE),
    )


class FILETIME(Structure):
    """Units of 100 ns since 1601."""

    _fields_ = (("dwLowDateTime", DWORD), ("dwHighDateTime", DWORD))


P = POINTER
sizeof = ctypes.sizeof
