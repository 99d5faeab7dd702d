"""Folders of the machine, from Windows itself: variables of the environment are the user's."""

import ctypes
from functools import cache

from mcp_client.windows import api

_COMMON_APPDATA = 0x23
_LONGEST = 32768


@cache
def common_folder() -> str:
    r"""``C:\ProgramData``."""
    text = ctypes.create_unicode_buffer(_LONGEST)
    api.SHGetFolderPathW(None, _COMMON_APPDATA, None, 0, text)
    return text.value


@cache
def system_folder() -> str:
    r"""``C:\Windows\System32``."""
    text = ctypes.create_unicode_buffer(_LONGEST)
    api.GetSystemDirectoryW(text, _LONGEST)
    return text.value
