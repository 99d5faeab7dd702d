"""Names that Windows takes for something else than a file of that name."""

import pytest

from mcp_client.cache.names import is_windows_name


@pytest.mark.parametrize(
    "name",
    [
        *("con", "CON", "nul.txt", "aux.tar.gz", "com1", "LPT9.log", "com\u00b9", "nul .txt", "CONOUT$"),
        *("a.", "a ", "...", "a:b", "a?", "a*", 'a"b', "a<b", "a>b", "a|b"),
    ],
)
def test_refused(name):
    assert not is_windows_name(name)


@pytest.mark.parametrize(
    "name", ["console", "nullable", "com", "com10", "lpt", "a.con", ".con", "é", "a b", "a.b"]
)
def test_taken(name):
    assert is_windows_name(name)
