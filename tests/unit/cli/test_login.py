import base64
import io
import json
import os
import stat
import sys

import pytest

from mcp_client.registry.urls import origin_of

URL = "https://registry.example.com/api"
ORIGIN = origin_of(URL)
TOKEN = "tok-1234567890"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def stored(home):
    with open(os.path.join(home, "auth.json"), encoding="utf-8") as file:
        return file.read()


def give(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_token_from_standard_input(call, home, monkeypatch):
    give(monkeypatch, f"{TOKEN}\n")

    called = call("login", "--registry", URL, "--token-stdin", "--json")

    assert (called.status, called.stderr) == (0, "")
    assert called.envelope["result"] == {"registry": ORIGIN, "ends": None}
    assert TOKEN in stored(home)
    assert TOKEN not in called.stdout
    assert stat.S_IMODE(os.stat(os.path.join(home, "auth.json")).st_mode) == 0o600


def test_token_on_the_command_line_works_with_a_warning(call, home):
    called = call("login", "--registry", URL, "--token", TOKEN)

    assert called.status == 0
    assert TOKEN in stored(home)
    assert called.stderr.startswith("mcp: warning: ")
    assert "--token-stdin" in called.stderr
    assert TOKEN not in called.stdout + called.stderr


def test_the_configured_registry_is_the_default(call, home, monkeypatch):
    monkeypatch.setenv("MCP_REGISTRY_URL", URL)

    assert ORIGIN in call("login", "--token", TOKEN).stdout
    assert TOKEN in stored(home)


def test_the_prompt_hides_what_is_typed(call, home, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal())
    asked = []

    def answer(text, **_options):
        asked.append(text)
        return TOKEN

    monkeypatch.setattr("click.termui.hidden_prompt_func", answer)

    called = call("login", "--registry", URL)

    assert called.status == 0
    assert len(asked) == 1
    assert TOKEN in stored(home)


def test_without_a_terminal_nothing_is_asked(call, monkeypatch):
    give(monkeypatch, f"{TOKEN}\n")

    called = call("login", "--registry", URL)

    assert called.status == 2
    assert "--token-stdin" in called.stderr


@pytest.mark.parametrize("token", ["", "  ", "two words", "a\nb", "bell\x07", "é", "x" * 70_000])
def test_what_cannot_be_a_token(token, call, home, monkeypatch):
    give(monkeypatch, token)

    called = call("login", "--registry", URL, "--token-stdin")

    assert called.status == 2
    assert "error[usage]" in called.stderr
    assert not os.path.exists(os.path.join(home, "auth.json"))


def test_two_sources_at_once(call):
    assert call("login", "--registry", URL, "--token", TOKEN, "--token-stdin").status == 2


@pytest.mark.parametrize("command", [["login", "--token", TOKEN], ["logout"]])
@pytest.mark.parametrize("registry", [[], ["--registry", "file:///srv/mcp"]])
def test_registries_without_tokens(command, registry, call):
    called = call(*command, *registry)

    assert called.status == 2
    assert "takes no token" in called.stderr
    assert TOKEN not in called.stderr


def test_logout(call, home):
    call("login", "--registry", URL, "--token", TOKEN)

    first = call("logout", "--registry", URL, "--json")
    again = call("logout", "--registry", URL, "--json")

    assert first.envelope["result"] == {"registry": ORIGIN, "removed": True}
    assert again.envelope["result"] == {"registry": ORIGIN, "removed": False}
    assert (first.status, again.status) == (0, 0)
    assert TOKEN not in stored(home)


def test_a_stored_token_that_will_not_be_used_is_told(call, monkeypatch):
    monkeypatch.setenv("MCP_REGISTRY_TOKEN", "other")
    monkeypatch.setenv("MCP_REGISTRY_URL", URL)
    give(monkeypatch, TOKEN)

    called = call("login", "--token-stdin")

    assert "MCP_REGISTRY_TOKEN" in called.stderr
    assert "other" not in called.stderr


def test_a_token_of_the_environment_is_nothing_to_another_registry(call, monkeypatch):
    monkeypatch.setenv("MCP_REGISTRY_TOKEN", "other")
    give(monkeypatch, TOKEN)

    assert call("login", "--registry", URL, "--token-stdin").stderr == ""


def jwt(**claims):
    parts = ({"alg": "none"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "signature"])


def test_a_token_that_has_ended_is_not_stored(call, home, monkeypatch):
    give(monkeypatch, jwt(exp=1_000_000_000))

    called = call("login", "--registry", URL, "--token-stdin")

    assert called.status == 1
    assert "error[token-expired]" in called.stderr
    assert "2001-09-09 01:46:40 UTC" in called.stderr
    assert not os.path.exists(os.path.join(home, "auth.json"))


def test_when_a_token_ends_is_told(call, home, monkeypatch):
    token = jwt(exp=4_000_000_000)
    give(monkeypatch, token)

    called = call("login", "--registry", URL, "--token-stdin", "--json")

    assert called.envelope["result"]["ends"] == "2096-10-02 07:06:40 UTC"
    assert token in stored(home)
    assert token not in called.stdout + called.stderr


def test_a_file_others_can_read_is_refused(call, home):
    os.makedirs(home, mode=0o700)
    path = os.path.join(home, "auth.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({}, file)
    os.chmod(path, 0o644)

    called = call("login", "--registry", URL, "--token", TOKEN)

    assert called.status == 1
    assert "error[credentials-unreadable]" in called.stderr
