"""The identity of a server: this user's, without privileges and administrators, and of low integrity.

A process of low integrity cannot write to what is not labelled low, whatever lists of access say ("Mandatory
Integrity Control"), nor send messages to other windows (UIPI), nor open this user's processes to
change them.
"""

import ctypes
from ctypes import byref, c_void_p, sizeof

from mcp_client.windows import api
from mcp_client.windows import structures as s
from mcp_client.windows.owners import account_sid, descriptor_of, sid_text, token_information

LOW_INTEGRITY = "S-1-16-4096"
_KEPT_PRIVILEGE = "SeChangeNotifyPrivilege"


class Identity:
    """A token for CreateProcessAsUserW(), and what of it could be had."""

    def __init__(self) -> None:
        """Make it of this process's own token. Raises OSError where not even that can be done."""
        own, token = c_void_p(), c_void_p()
        access = s.TOKEN_DUPLICATE | s.TOKEN_ASSIGN_PRIMARY | s.TOKEN_QUERY | s.TOKEN_ADJUST_DEFAULT
        api.OpenProcessToken(api.GetCurrentProcess(), access, byref(own))
        held = api.Handle(own.value)
        try:
            # LUA_TOKEN: administrators and their like are there to deny access only.
            flags = s.DISABLE_MAX_PRIVILEGE | s.LUA_TOKEN
            api.CreateRestrictedToken(held.value, flags, 0, None, 0, None, 0, None, byref(token))
        finally:
            held.close()
        self._token = api.Handle(token.value)
        self._own_what_it_makes()
        self.low = self._lower()

    @property
    def handle(self) -> int:
        """The token."""
        return self._token.value or 0

    def close(self) -> None:
        """Let go of it."""
        self._token.close()

    def _own_what_it_makes(self) -> None:
        """What the server makes, it may use: an administrator's things are for administrators by default."""
        access = descriptor_of(f"D:(A;;GA;;;{account_sid()})(A;;GA;;;SY)")
        try:
            present, dacl, defaulted = s.BOOL(), c_void_p(), s.BOOL()
            api.GetSecurityDescriptorDacl(access, byref(present), byref(dacl), byref(defaulted))
            api.SetTokenInformation(self._token.value, s.TokenDefaultDacl, byref(dacl), sizeof(dacl))
        finally:
            api.LocalFree(access)

    def _lower(self) -> bool:
        """Set low integrity; whether the system then says so."""
        sid = c_void_p()
        api.ConvertStringSidToSidW(LOW_INTEGRITY, byref(sid))
        try:
            label = s.SID_AND_ATTRIBUTES(sid.value, s.SE_GROUP_INTEGRITY)
            size = sizeof(label) + api.GetLengthSid(sid)
            api.SetTokenInformation(self._token.value, s.TokenIntegrityLevel, byref(label), size)
        except OSError:
            return False
        finally:
            api.LocalFree(sid)
        return integrity_of(self.handle) == LOW_INTEGRITY


def integrity_of(token: int) -> str:
    """The integrity level of a token as a SID: ``S-1-16-8192`` is a usual program's."""
    data = token_information(token, s.TokenIntegrityLevel)
    return sid_text(s.SID_AND_ATTRIBUTES.from_buffer(data).Sid)


def process_token(process: int) -> api.Handle:
    """The token that a process really has."""
    token = c_void_p()
    api.OpenProcessToken(process, s.TOKEN_QUERY, byref(token))
    return api.Handle(token.value)


def enabled_privileges(token: int) -> int:
    """How many privileges are enabled; one is what everybody needs to walk through folders."""
    data = token_information(token, s.TokenPrivileges)
    count = s.DWORD.from_buffer(data).value
    entries = (s.LUID_AND_ATTRIBUTES * count).from_buffer(data, ctypes.sizeof(s.DWORD))
    return sum(1 for entry in entries if entry.Attributes & s.SE_PRIVILEGE_ENABLED)
