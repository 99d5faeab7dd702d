"""The environment block, and the base that a server on Windows gets."""

import pytest

from mcp_client.errors import MCPError
from mcp_client.sandbox.windows.environment import base_environment, environment_block, merge

HOST = {
    "SYSTEMROOT": "C:\\Windows",
    "PATH": "C:\\mine",
    "USERNAME": "alice",
    "SECRET": "s",
    "APPDATA": "C:\\mine",
}


def base():
    return base_environment(
        HOST, system="C:\\Windows\\System32", home="C:\\cache\\1", programs=("C:\\python",)
    )


def test_nothing_of_the_host_but_the_names_of_the_system():
    made = base()

    assert made["SYSTEMROOT"] == "C:\\Windows"
    assert "SECRET" not in made
    assert "alice" not in made.values()
    assert not any("mine" in value for value in made.values())


def test_home_and_temporary_folders_are_its_own():
    made = base()

    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "TEMP", "TMP", "TMPDIR"):
        assert made[name].startswith("C:\\cache\\1"), name


def test_what_is_given_wins_whatever_its_case():
    merged = merge({"Path": "one", "A": "1"}, {"PATH": "two"})

    assert merged == {"PATH": "two", "A": "1"}


def test_the_block_is_sorted_and_ends_with_two_zeros():
    assert environment_block({"b": "2", "A": "1"}) == "A=1\0b=2\0\0"
    assert environment_block({}) == "\0"


@pytest.mark.parametrize(("name", "value"), [("", "x"), ("A=B", "x"), ("A\0B", "x"), ("A", "x\0B=y")])
def test_what_would_become_another_variable_is_refused(name, value):
    with pytest.raises(MCPError) as refused:
        environment_block({name: value})

    assert refused.value.code == "env-refused"
