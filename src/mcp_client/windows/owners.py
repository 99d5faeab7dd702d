"""Who owns a file on Windows, and what others may do with it, by its list of access (DACL)."""

import ctypes
import msvcrt
from ctypes import byref, c_void_p
from functools import cache

from mcp_client.windows import api
from mcp_client.windows import structures as s

_SYSTEM, _ADMINISTRATORS = "S-1-5-18", "S-1-5-32-544"
# Whoever these are, they may take any file for themselves; and the owner's own rights, and the creator's.
_TRUSTED = frozenset({_SYSTEM, _ADMINISTRATORS, "S-1-3-0", "S-1-3-4"})
DACL = s.DACL_SECURITY_INFORMATION | s.PROTECTED_DACL_SECURITY_INFORMATION
_READ = 0x80000000 | 0x10000000 | 0x1
# Data, appended data, extended attributes, children, removal, rights and owner.
_WRITE = 0x40000000 | 0x10000000 | 0x2 | 0x4 | 0x10 | 0x40 | 0x10000 | 0x40000 | 0x80000
_EXECUTE = 0x20000000 | 0x10000000 | 0x20


@cache
def account_sid() -> str:
    """The user this process acts for, as text: ``S-1-5-21-...``."""
    token = c_void_p()
    api.OpenProcessToken(api.GetCurrentProcess(), s.TOKEN_QUERY, byref(token))
    held = api.Handle(token.value)
    try:
        data = token_information(token.value, s.TokenUser)
        return sid_text(s.SID_AND_ATTRIBUTES.from_buffer(data).Sid)
    finally:
        held.close()


def token_information(token: int | None, kind: int) -> "ctypes.Array[ctypes.c_char]":
    """What is asked of a token, as the structure's bytes with what they point to."""
    size = s.DWORD()
    try:
        api.GetTokenInformation(token, kind, None, 0, byref(size))
    except OSError as error:
        if error.winerror != s.ERROR_INSUFFICIENT_BUFFER:
            raise
    data = ctypes.create_string_buffer(size.value)
    api.GetTokenInformation(token, kind, data, size, byref(size))
    return data


def sid_text(sid: int | None) -> str:
    """A security identifier as text."""
    text = c_void_p()
    api.ConvertSidToStringSidW(sid, byref(text))
    try:
        return ctypes.wstring_at(text.value or 0)
    finally:
        api.LocalFree(text)


def account() -> tuple[str, int | str]:
    """Name and identifier of the user."""
    size = s.DWORD(257)
    name = ctypes.create_unicode_buffer(size.value)
    api.GetUserNameW(name, byref(size))
    return name.value, account_sid()


def is_own(descriptor: int) -> bool:
    """Whether the open file belongs to this user, or to those who own the machine."""
    owner, _, _ = _security(descriptor)
    return owner in {account_sid(), _SYSTEM, _ADMINISTRATORS}


def exposure(descriptor: int) -> int:
    """What others may do with the open file: a union of 4 (read), 2 (write) and 1 (execute).

    Others are all but this user, the system and its administrators.
    """
    _, granted, everything = _security(descriptor)
    if everything:
        return 0o7
    trusted = _TRUSTED | {account_sid()}
    mask = 0
    for sid, rights in granted:
        mask |= 0 if sid in trusted else rights
    return (4 if mask & _READ else 0) | (2 if mask & _WRITE else 0) | (1 if mask & _EXECUTE else 0)


def close_to_others(path: str) -> None:
    """Give a new file or folder a list of its own: this user, and the system. Raises OSError.

    What is made in the folder later inherits it.
    """
    user = account_sid()
    apply(path, f"D:P(A;OICI;FA;;;{user})(A;OICI;FA;;;SY)", DACL)


def label_low(path: str) -> bool:
    """Let processes of low integrity write to a new folder, and to what is made in it later.

    False where the file system keeps no labels.
    """
    try:
        apply(path, "S:(ML;OICI;NW;;;LW)", s.LABEL_SECURITY_INFORMATION)
    except OSError:
        return False
    return True


def mend_exposure(path: str) -> str:
    """The command that closes a file to others."""
    return f'icacls "{path}" /inheritance:r /grant:r "%USERNAME%:F"'


def descriptor_of(sddl: str) -> c_void_p:
    """A security descriptor, to be freed by LocalFree(), of its text ("SDDL"). Raises OSError."""
    descriptor = c_void_p()
    api.ConvertStringSecurityDescriptorToSecurityDescriptorW(sddl, s.SDDL_REVISION_1, byref(descriptor), None)
    return descriptor


def apply(path: str, sddl: str, kinds: int) -> None:
    """Set the parts ``kinds`` of who may use a file to what ``sddl`` says. Raises OSError."""
    descriptor = descriptor_of(sddl)
    try:
        api.SetFileSecurityW(path, kinds, descriptor)
    finally:
        api.LocalFree(descriptor)


def _security(descriptor: int) -> tuple[str, list[tuple[str, int]], bool]:
    """Owner, what is granted to whom, and whether there is no list, which grants everything to all."""
    owner, dacl, whole = c_void_p(), c_void_p(), c_void_p()
    kinds = s.OWNER_SECURITY_INFORMATION | s.DACL_SECURITY_INFORMATION
    handle = msvcrt.get_osfhandle(descriptor)
    api.GetSecurityInfo(handle, s.SE_FILE_OBJECT, kinds, byref(owner), None, byref(dacl), None, byref(whole))
    try:
        if not dacl.value:
            return sid_text(owner.value), [], True
        granted = []
        for number in range(s.ACL.from_address(dacl.value).AceCount):
            entry = c_void_p()
            api.GetAce(dacl, number, byref(entry))
            ace = s.ACCESS_ALLOWED_ACE.from_address(entry.value or 0)
            if ace.AceType == s.ACCESS_ALLOWED_ACE_TYPE and not ace.AceFlags & s.INHERIT_ONLY_ACE:
                sid = (entry.value or 0) + s.ACCESS_ALLOWED_ACE.SidStart.offset
                granted.append((sid_text(sid), int(ace.Mask)))
        return sid_text(owner.value), granted, False
    finally:
        api.LocalFree(whole)


def label_of(path: str) -> str | None:
    """The integrity level a file or folder is labelled with; None without a label, which means medium."""
    sacl, whole = c_void_p(), c_void_p()
    # A folder is meant as it is, and not by a handle: whoever may read it may read its label.
    api.GetNamedSecurityInfoW(
        path, s.SE_FILE_OBJECT, s.LABEL_SECURITY_INFORMATION, None, None, None, byref(sacl), byref(whole)
    )
    try:
        if not sacl.value or not s.ACL.from_address(sacl.value).AceCount:
            return None
        entry = c_void_p()
        api.GetAce(sacl, 0, byref(entry))
        return sid_text((entry.value or 0) + s.ACCESS_ALLOWED_ACE.SidStart.offset)
    finally:
        api.LocalFree(whole)
