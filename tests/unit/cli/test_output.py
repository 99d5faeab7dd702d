import io
import json
import sys

import click
import pytest

from mcp_client.cli.output import Report, fields, show, table
from mcp_client.errors import MCPError


class Terminal(io.StringIO):
    def isatty(self):
        return True


def printed(monkeypatch, report, stream, *, as_json=False):
    monkeypatch.setattr(sys, "stdout", stream)
    show(report, command="cache ls", as_json=as_json)
    return stream.getvalue()


def test_a_table_is_aligned_and_has_no_blanks_at_its_ends():
    text = click.unstyle(table(("KIND", "SIZE", "NAME"), [("bundle", "1kB", "a"), ("tree", "20.0MB", "")]))

    assert text.splitlines() == ["KIND    SIZE    NAME", "bundle  1kB     a", "tree    20.0MB"]


def test_colours_take_no_room_in_a_table():
    text = table(("A", "B"), [(click.style("x", fg="red"), "1"), ("yy", "2")])

    assert click.unstyle(text).splitlines() == ["A   B", "x   1", "yy  2"]


def test_fields_indent_the_further_lines_of_a_value():
    text = click.unstyle(fields([("name", "acme"), ("runs", "one\ntwo")]))

    assert text == "name  acme\nruns  one\n      two"


def test_the_envelope_of_a_success(monkeypatch):
    report = Report({"name": "ä\u202e"}, "text")

    shown = printed(monkeypatch, report, io.StringIO(), as_json=True)

    assert json.loads(shown) == {"ok": True, "command": "cache ls", "result": {"name": "ä\u202e"}}
    assert shown.isascii()
    assert shown.count("\n") == 1
    assert report.status == 0


def test_a_terminal_gets_json_over_several_lines(monkeypatch):
    assert printed(monkeypatch, Report({}, ""), Terminal(), as_json=True).count("\n") > 1


def test_work_done_in_part_has_a_result_and_an_error(monkeypatch, capsys):
    report = Report(
        {"done": 1},
        "one",
        (MCPError("forbidden", "no", hint="ask"), MCPError("usage", "also no", hint="ask")),
    )

    envelope = json.loads(printed(monkeypatch, report, io.StringIO(), as_json=True))

    assert envelope["ok"] is False
    assert envelope["result"] == {"done": 1}
    assert envelope["error"] == {"code": "forbidden", "message": "no", "hint": "ask", "details": {}}
    assert report.status == 1
    assert (
        capsys.readouterr().err
        == "mcp: error[forbidden]: no\n  hint: ask\nmcp: error[usage]: also no\n  hint: ask\n"
    )


@pytest.mark.parametrize(
    ("stream", "environment", "coloured"),
    [
        (Terminal, {}, True),
        (Terminal, {"NO_COLOR": "1"}, False),
        (Terminal, {"NO_COLOR": ""}, True),
        (Terminal, {"TERM": "dumb"}, False),
        (io.StringIO, {}, False),
    ],
)
def test_colours_only_where_they_belong(stream, environment, coloured, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    shown = printed(monkeypatch, Report(None, click.style("red", fg="red")), stream())

    assert ("\x1b[" in shown) is coloured
    assert "red" in shown


def test_a_locale_without_the_character_is_no_failure(monkeypatch):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", stream)

    show(Report(None, "cut…"), command="info", as_json=False)

    assert raw.getvalue() == b"cut\\u2026\n"


def test_no_standard_output_is_no_failure(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)

    show(Report({}, "text"), command="info", as_json=False)
    show(Report({}, "text"), command="info", as_json=True)
