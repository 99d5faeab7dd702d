"""What reaches the server's environment, and what never does."""

import os

import pytest

from mcp_client.errors import MCPError
from mcp_client.policy.environment import is_injection, parse_grant, read_env_file, select_environment

HOST = {
    "LOG_LEVEL": "debug",
    "API_KEY": "k",
    "DB_PASSWORD": "p",
    "HOME": "/home/me",
    "LD_PRELOAD": "/evil.so",
}


def test_an_empty_list_lets_nothing_through() -> None:
    assert select_environment(HOST, (), ()) == {}


def test_only_named_variables_that_exist_pass() -> None:
    assert select_environment(HOST, ("LOG_LEVEL", "MISSING"), ()) == {"LOG_LEVEL": "debug"}


def test_names_are_exact_and_never_patterns() -> None:
    assert select_environment(HOST, ("*", "LOG_*", "log_level"), ()) == {}


@pytest.mark.parametrize("pattern", ["*_PASSWORD", "*_password", "DB_*", "*", "DB_PASSWOR?"])
def test_a_denied_pattern_wins(pattern: str) -> None:
    assert "DB_PASSWORD" not in select_environment(HOST, ("DB_PASSWORD",), (pattern,))
    assert "DB_PASSWORD" in select_environment(HOST, ("DB_PASSWORD",), ())


@pytest.mark.parametrize(
    "name",
    (
        "LD_PRELOAD ld_preload LD_LIBRARY_PATH PYTHONPATH PYTHONSTARTUP NODE_OPTIONS BASH_ENV "
        "JAVA_TOOL_OPTIONS PERL5LIB GIT_SSH_COMMAND MCP_REGISTRY_TOKEN GCONV_PATH DYLD_INSERT_LIBRARIES"
    ).split(),
)
def test_injection_names_never_come_from_the_host(name: str) -> None:
    assert is_injection(name)
    assert select_environment({name: "x"}, (name,), ()) == {}
    with pytest.raises(MCPError) as caught:
        parse_grant(name, {name: "x"})
    assert caught.value.code == "env-refused"
    assert parse_grant(f"{name}=given by hand", {}) == (name, "given by hand")


def test_a_grant_gives_a_value_or_takes_the_hosts() -> None:
    assert parse_grant("API_KEY=a=b", HOST) == ("API_KEY", "a=b")
    assert parse_grant("API_KEY=", HOST) == ("API_KEY", "")
    assert parse_grant("API_KEY", HOST) == ("API_KEY", "k")


@pytest.mark.parametrize("text", ["", "=x", "1A=x", "A B=x", "A-B=x", "A\0=x", "A=x\0y", "UNSET"])
def test_what_is_no_variable_is_refused(text: str) -> None:
    with pytest.raises(MCPError) as caught:
        parse_grant(text, HOST)
    assert caught.value.code == "env-refused"


def test_a_file_of_variables(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, ".env")
    with open(path, "w", encoding="utf-8") as file:
        file.write("# comment\n\nexport A=1\nB='two words'\nC=\"quoted\"\nAPI_KEY\nD=it's\n")
    assert read_env_file(path, HOST) == {
        "A": "1",
        "B": "two words",
        "C": "quoted",
        "API_KEY": "k",
        "D": "it's",
    }


def test_an_error_in_a_file_names_its_line(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, ".env")
    with open(path, "w", encoding="utf-8") as file:
        file.write("A=1\nnot a name=2\n")
    with pytest.raises(MCPError, match="line 2"):
        read_env_file(path, HOST)
    with pytest.raises(MCPError, match="cannot read"):
        read_env_file(path + ".missing", HOST)
