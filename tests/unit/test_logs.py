import io
import json
import subprocess
import sys

import pytest

from mcp_client.logs import Log


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_a_level_lets_itself_and_worse_through(level, said, capsys):
    log = Log(level, "json")

    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(f"a {name}")

    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["level"] for line in err.splitlines()] == said


def test_a_warning_in_text_is_one_plain_line(capsys):
    Log("warning", "text").warning("acme/x@1.0.0 is deprecated", since="2025")

    assert capsys.readouterr().err == "mcp: warning: acme/x@1.0.0 is deprecated since=2025\n"


def test_json_keeps_fields_and_their_types(capsys):
    Log("info", "json").info("fetched", bytes=12, cached=False, url="https://r.example.com/x")

    record = json.loads(capsys.readouterr().err)
    assert record.pop("time").endswith("Z")
    assert record == {
        "event": "fetched",
        "level": "info",
        "bytes": 12,
        "cached": False,
        "url": "https://r.example.com/x",
    }


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("level", ["info", "warning"])
def test_no_control_character_reaches_a_terminal(form, level, capsys):
    getattr(Log("debug", form), level)("a\x1b[2Jb\nmcp: forged", note="\u202egnp\x07")

    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("level", ["info", "warning"])
def test_no_secret_is_said(form, level, capsys):
    secret = "ghp_" + "a1B2" * 9
    log = getattr(Log("debug", form), level)

    log(f"asked with Bearer {secret}", token="plain-but-named", url=f"https://ada:{secret}@r.example.com/")

    text = capsys.readouterr().err
    assert secret not in text
    assert "plain-but-named" not in text
    assert "r.example.com" in text


def test_structlog_is_imported_only_when_it_speaks():
    script = """
import sys
from mcp_client.logs import Log
log = Log("warning", "text")
log.info("nobody hears this")
log.warning("plain")
print(sorted({"structlog", "asyncio", "logging"} & set(sys.modules)))
Log("info", "text").info("heard")
print("structlog" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\nTrue\n"


def test_a_closed_standard_error_does_not_matter(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    Log("warning", "text").warning("into the void")
    Log("warning", "json").warning("into the void")

    monkeypatch.setattr(sys, "stderr", None)
    Log("warning", "text").warning("nowhere")
    Log("warning", "json").warning("nowhere")
