import os
import re
import subprocess
import sys

import click
import pytest

import mcp_client
from mcp_client.cli import group
from mcp_client.cli.group import Entry
from mcp_client.cli.main import main
from mcp_client.cli.program import ENTRIES, program
from mcp_client.errors import MCPError

HEAVY = {
    *("httpx", "pydantic_core", "yaml", "structlog", "asyncio", "filelock", "dataclasses", "pathlib"),
    *("tempfile", "subprocess", "socket", "logging", "traceback", "difflib"),
}


def commands(table=ENTRIES):
    """Every command with its words, those of groups too."""
    for name in table:
        command = program.get_command(click.Context(program), name)
        yield name, command
        if isinstance(command, click.Group):
            inner = click.Context(command)
            for below in command.list_commands(inner):
                yield f"{name} {below}", command.get_command(inner, below)


def failing(error):
    """A command that raises ``error``."""

    @click.command()
    @click.option("--json", is_flag=True, expose_value=False)
    @click.option("--dry-run", is_flag=True, expose_value=False)
    @click.argument("rest", nargs=-1)
    def command(rest):
        raise error

    return command


@pytest.fixture
def fail(monkeypatch):
    """Let the command ``name`` raise ``error``."""

    def install(name, error):
        monkeypatch.setattr(group, "failing_command", failing(error), raising=False)
        monkeypatch.setitem(ENTRIES, name, Entry("mcp_client.cli.group:failing_command", "Fail."))

    return install


def test_version(call):
    assert call("--version") == (0, f"mcp-client {mcp_client.__version__}\n", "")


def test_help_names_every_command_and_imports_none():
    script = (
        "import sys; from mcp_client.cli.main import main; status = main(['--help']); "
        "print('MODULES', *sys.modules); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    shown, _, modules = done.stdout.partition("MODULES")
    assert all(re.search(rf"^  {name} ", shown, re.MULTILINE) for name in ENTRIES)
    loaded = set(modules.split())
    assert HEAVY & loaded == set()
    assert {entry.target.partition(":")[0] for entry in ENTRIES.values()} & loaded == set()
    assert "mcp_client.app" not in loaded


def test_parsing_for_run_imports_nothing_heavy():
    # Its own module imports the pipeline, which answers for itself; this is what comes before it.
    script = (
        "import sys; from mcp_client.cli.main import main; main(['completion', '--help']); "
        "from mcp_client.app import App; import mcp_client.cli.reference; "
        "print('MODULES', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert HEAVY & set(done.stdout.partition("MODULES")[2].split()) == set()


def test_no_command_shows_the_help_but_not_to_an_mcp_client(call):
    called = call()

    assert (called.status, called.stdout) == (2, "")
    assert "Commands:" in called.stderr


def test_every_command_has_a_short_help_and_examples(call):
    for words, command in commands():
        called = call(*words.split(), "--help")
        assert called.status == 0, words
        assert re.search(rf"^\s+(source <\()?mcp {words}", called.stdout, re.MULTILINE) or isinstance(
            command, click.Group
        ), words
        if not isinstance(command, click.Group):
            assert "Examples:" in called.stdout, words


def test_short_help_in_the_table_is_the_commands_own():
    for name, entry in ENTRIES.items():
        command = program.get_command(click.Context(program), name)
        assert command.short_help == entry.short_help


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["bogus"], 2),
        (["--bogus"], 2),
        (["--log-level", "loud", "completion", "bash"], 2),
        (["completion"], 2),
        (["completion", "tcsh"], 2),
        (["cache"], 2),
        (["pull"], 2),
        (["pull", "acme/x@1.0.0", "--bogus"], 2),
        (["run"], 125),
        (["run", "--bogus"], 125),
        (["run", "acme/x@1.0.0", "--timeout"], 125),
    ],
)
def test_wrong_usage(arguments, status, call):
    called = call(*arguments)

    assert (called.status, called.stdout) == (status, "")
    error, hint = called.stderr.splitlines()
    assert error.startswith("mcp: error[usage]: ")
    assert re.match(r"  hint: mcp .*--help$", hint)


def test_a_misspelt_command_is_suggested(call):
    assert "did you mean 'doctor'" in call("docter").stderr


@pytest.mark.parametrize(("name", "status"), [("run", 127), ("info", 1)])
def test_a_failure_is_a_line_a_hint_and_a_status(name, status, call, fail):
    fail(name, MCPError("runtime-missing", "no node", hint="install node", run_status=127))

    assert call(name) == (status, "", "mcp: error[runtime-missing]: no node\n  hint: install node\n")


@pytest.mark.parametrize(("name", "status"), [("run", 125), ("info", 2)])
def test_a_reference_that_is_none_is_wrong_usage(name, status, call):
    called = call(name, "Acme/X")

    assert called.status == status
    assert called.stderr.startswith("mcp: error[reference-invalid]: ")


def test_a_failure_with_json_is_an_envelope_and_the_line(call, fail):
    fail("info", MCPError("forbidden", "no", hint="ask", details={"status": 403}))

    called = call("info", "--json")

    assert called.envelope == {
        "ok": False,
        "command": "info",
        "error": {"code": "forbidden", "message": "no", "hint": "ask", "details": {"status": 403}},
    }
    assert called.stdout.count("\n") == 1
    assert called.stderr == "mcp: error[forbidden]: no\n  hint: ask\n"


@pytest.mark.parametrize(
    "arguments", [["pull", "--json"], ["pull", "--json", "--bogus"], ["cache", "--json"]]
)
def test_wrong_usage_with_json_is_an_envelope_too(arguments, call):
    called = call(*arguments)

    assert called.status == 2
    assert (called.envelope["ok"], called.envelope["command"]) == (False, arguments[0])
    assert called.envelope["error"]["code"] == "usage"


def test_a_nested_command_is_named_by_all_its_words(call):
    assert call("cache", "rm", "--json", "--bogus").envelope["command"] == "cache rm"


@pytest.mark.parametrize("arguments", [["--json"], ["x", "--", "--json", "--dry-run"], ["--json", "--bogus"]])
def test_a_run_never_writes_to_standard_output(arguments, call, fail):
    fail("run", MCPError("forbidden", "no", hint="ask"))

    called = call("run", *arguments)

    assert (called.status, called.stdout) == (125, "")


def test_a_dry_run_has_standard_output_to_itself(call, fail):
    fail("run", MCPError("forbidden", "no", hint="ask"))

    assert call("run", "--dry-run", "--json").envelope["error"]["code"] == "forbidden"


@pytest.mark.parametrize(("name", "status"), [("run", 125), ("info", 1)])
def test_a_defect_is_one_line_without_a_traceback(name, status, call, fail):
    fail(name, ZeroDivisionError("by \x1b[31mzero"))

    called = call(name)

    assert (called.status, called.stdout) == (status, "")
    error, hint = called.stderr.splitlines()
    assert error == "mcp: error[internal-error]: ZeroDivisionError: by \\x1b[31mzero"
    assert "--log-level debug" in hint


def test_a_defect_shows_its_traceback_at_debug(call, fail):
    fail("info", ZeroDivisionError("zero"))

    called = call("--log-level", "debug", "info")

    assert called.status == 1
    assert "Traceback (most recent call last)" in called.stderr
    assert called.stderr.endswith("--log-level debug ...` prints\n")


def test_a_defect_is_told_even_when_the_configuration_is_wrong(call, fail, tmp_path):
    fail("info", ZeroDivisionError("zero"))
    config = tmp_path / "config.yaml"
    config.write_text("nonsense: true\n")

    assert "internal-error" in call("--config", str(config), "info").stderr


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort(), EOFError()])
def test_interrupted(error, call, fail):
    fail("info", error)

    assert call("info") == (130, "", "")


def test_text_of_others_cannot_forge_lines_or_colours(call, fail):
    fail("info", MCPError("forbidden", "a\x1b]0;title\x07\u202eb", hint="c\x1b[2J"))

    assert not {"\x1b", "\x07", "\u202e"} & set(call("info").stderr)


def test_a_reader_that_leaves_early_is_no_error():
    script = (
        "import sys; from mcp_client.cli.main import main\n"
        "sys.stdin.read()\n"
        "sys.exit(main(['completion', 'bash']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONDEVMODE": ""},
    )
    process.stdout.close()
    process.stdin.close()

    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


def test_argv_is_read_when_none_is_given(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/opt/bin/mcp-client", "bogus"])

    assert main() == 2
    assert "hint: mcp-client --help" in capsys.readouterr().err
