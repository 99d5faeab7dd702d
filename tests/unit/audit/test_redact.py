import subprocess
import sys

import pytest

from mcp_client.audit import redact as module
from mcp_client.audit.redact import REDACTED, is_telling, redact, redact_args, redact_url

SECRET = "hunter2hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        "ghp_" + "a1" * 18,
        "github_pat_" + "a1_" * 10,
        "glpat-" + "a1-" * 7,
        "xoxb-123456789012-abcdefghijkl",
        "sk-proj-" + "a1" * 20,
        "sk_live_" + "a1" * 12,
        "AKIA" + "ABCD2345" * 2,
        "AIza" + "x" * 35,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIE cut short",
    ],
)
def test_tokens_go_by_their_shape(text):
    assert redact(f"before {text} after") in (f"before {REDACTED} after", f"before {REDACTED}")
    assert text[-12:] not in redact(f"--x={text}")


@pytest.mark.parametrize(
    "text",
    [
        f"TOKEN={SECRET}",
        f"env:GITHUB_TOKEN={SECRET} x",
        f"--api-key={SECRET}",
        f"password: {SECRET}",
        f'{{"password": "{SECRET}"}}',
        f"{{'clientSecret': '{SECRET}'}}",
        f'{{"password": "a\\"{SECRET}"}}',
        f'{{\\"password\\":\\"{SECRET}\\"}}',
        f"Authorization: Bearer {SECRET}",
        f"authorization: Basic {SECRET}",
        f"X-Api-Key: {SECRET}",
        f"Cookie: id={SECRET}",
        f"https://me:{SECRET}@host/path",
        f"postgres://me:p@{SECRET}@host/db",
        f"https://{SECRET}@host",
        f"https://host/?a=1&access_token={SECRET}&b=2",
        f"https://host/?X-Amz-Signature={SECRET}",
        f"AccountKey={SECRET};Endpoint=x",
        f"bearer {SECRET}",
    ],
)
def test_values_go_by_their_name_or_place(text):
    assert SECRET not in redact(text)
    assert REDACTED in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "secretsmanager.region.example.com:443",
        "(to allow it: --allow-net tls:token.example.com:8443)",
        "",
        "--mode stdio",
        "--root=/srv/data",
        "https://host:8443/path?page=2",
        "C:\\Users\\me",
        "the server exited: status=1, reason: out of memory",
        "expected sha256:" + "ab" * 32 + ", got sha256:" + "cd" * 32,
        "org/name@sha:0123456789abcdef0123456789abcdef01234567",
        "skeleton-of-a-long-word-that-is-no-token",
        "10:30:05",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact(text) == text


def test_what_stands_around_a_secret_stays():
    assert (
        redact("https://me:pw@host/?token=abc&page=2") == f"https://{REDACTED}@host/?token={REDACTED}&page=2"
    )
    assert redact('{"token": "abc", "page": 2}') == f'{{"token": "{REDACTED}", "page": 2}}'


def test_text_is_cut_after_it_is_redacted():
    assert len(redact("x" * 5000)) == 1000
    assert "ghp_" not in redact("." * 980 + "ghp_" + "a" * 36)


def test_arguments_know_their_neighbours():
    given = [
        "--token",
        SECRET,
        "-p",
        "80",
        "--password=a b",
        f"API_KEY={SECRET} {SECRET}",
        "--secret",
        "--flag",
        "x",
    ]
    assert redact_args(given) == [
        "--token",
        REDACTED,
        "-p",
        "80",
        f"--password={REDACTED}",
        f"API_KEY={REDACTED}",
        "--secret",
        "--flag",
        "x",
    ]


def test_the_number_of_arguments_is_bounded():
    shown = redact_args(["x"] * 1000)
    assert len(shown) == 201
    assert shown[-1] == "… and 800 more"


def test_a_url_loses_all_that_is_not_its_place():
    assert redact_url("https://me:pw@host/a?sig=x#y") == f"https://{REDACTED}@host/a"
    assert redact_url("file:///srv/registry") == "file:///srv/registry"


@pytest.mark.parametrize(
    "name", ["token", "GITHUB_TOKEN", "api-key", "apiKey", "db.password", "key", "ssh_key", "accountKey"]
)
def test_names_that_tell(name):
    assert is_telling(name)


@pytest.mark.parametrize("name", ["mode", "monkey", "passive", "keyboard", "author", "path", "page"])
def test_names_that_do_not(name):
    assert not is_telling(name)


HOSTILE = r"""
from mcp_client.audit.redact import redact
texts = ["a", "-eyJ", "a:", "://", "token=", "-----BEGIN ", "a-", "token:", " ", "Bearer ", "\\", "=\\'"]
for text in texts:
    redact((text * 70_000)[:70_000])
"""


def test_no_text_stalls_it():
    # Anything quadratic takes minutes here; pytest's own timeout is the only clock.
    subprocess.run([sys.executable, "-c", HOSTILE], check=True, timeout=120)


@pytest.mark.parametrize(
    "mark", test_tokens_go_by_their_shape.pytestmark + test_values_go_by_their_name_or_place.pytestmark
)
def test_no_text_with_a_secret_is_passed_over_in_a_hurry(mark, monkeypatch):
    """Patterns are only asked about texts that may match: with and without that, the same is said."""
    texts = [
        f"{before}{text}" for text in mark.args[1] for before in ("", "some words: ", "--path=/x ", "a.b-")
    ]
    hurried = [redact(text) for text in texts]
    monkeypatch.setattr(module, "_SIGNS", ("",))
    monkeypatch.setattr(module, "_may_tell", lambda _: True)
    assert hurried == [redact(text) for text in texts]
    assert any(REDACTED in text for text in hurried)


@pytest.mark.parametrize(
    "name", ["dbPass", "db_pass", "db-pass", "db.pass", "a_bKey", "myAuth", "aPat", "a9Key", "KEY", "x-PWD"]
)
def test_the_last_word_of_a_name_tells(name):
    assert is_telling(name)
    assert redact(f"{name}={SECRET}") == f"{name}={REDACTED}"
    assert redact_args([f"--{name}", SECRET]) == [f"--{name}", REDACTED]


@pytest.mark.parametrize("name", ["dbPassage", "dbpassing", "ABKey_x", "aKEYs", "key.name", "patch"])
def test_another_word_of_a_name_does_not(name):
    assert not is_telling(name)
