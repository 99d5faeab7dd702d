"""What reads ``mcp run`` without click must read it as click does, or leave it alone."""

import random
import subprocess
import sys

import click
import pytest

from mcp_client.cli.flags import RUN_FLAGS, RunFlags
from mcp_client.cli.quick import parse_line, parse_run
from mcp_client.cli.run import run
from mcp_client.errors import MCPError

WORDS = [
    *("acme/a@1.0.0", "acme/b@sha:abcdef1", "acme/a", "x", "", "-", "--", "-v", "-vv", "-h", "--help", "-x"),
    *("--env", "--env=A=1", "--env=", "--timeout", "--timeout=5m", "5m", "--offline", "--offline=1", "--off"),
    *(
        "--mount",
        "--set",
        "--allow-net",
        "--registry",
        "--registry=file:///x",
        "--json",
        "--dry-run",
        "--bogus",
    ),
    *("--port", "--port=1", "--host", "--token", "--token-file", "--allow-origin", "--stdio", "0"),
    *("--port=65536", "--port=+1", "--port=1_0", "--port=-1", "--port=", "--port=00080"),
    *("--verbose", "--no-verbose", "A=1", "--allow-degraded", "--env-file", "=", "--=", "é", "--envé", "\n"),
]


def by_click(words):
    """The flags, ``other`` for what no run comes of, or the failure."""
    try:
        context = run.make_context("run", list(words))
    except click.exceptions.Exit:
        return "other"
    except (click.ClickException, MCPError) as error:
        return error
    given = dict(context.params)
    if given.pop("dry_run"):
        return "other"
    return RunFlags(reference=str(given.pop("reference")), **given)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_read_quickly_is_what_click_reads(seed):
    chance = random.Random(seed)
    for _ in range(100):
        words = [chance.choice(WORDS) for _ in range(chance.randrange(7))]
        flags = parse_run(words)
        if flags is not None:
            plain = flags._replace(
                **{f.field: tuple(getattr(flags, f.field)) for f in RUN_FLAGS if f.multiple}
            )
            assert plain == by_click(words), words


@pytest.mark.parametrize(
    "words",
    [
        ["acme/a@1.0.0"],
        ["--env", "A=1", "--env=B", "acme/a@1.0.0", "-v", "--timeout", "5m", "one", "--", "--env", "--"],
        ["--offline", "--", "acme/a@1.0.0", "-x"],
        ["acme/a@1.0.0", "--port", "8080", "--json"],
        ["--stdio", "acme/a@1.0.0"],
        ["acme/a@1.0.0", "--registry", "file:///x", "--set", "a=-b", "--set", "--mount", "--mount", "a:b"],
    ],
)
def test_usual_lines_are_read_quickly(words):
    assert parse_run(words) is not None


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["acme/a"],
        ["acme/a@1.0.0", "--env"],
        ["acme/a@1.0.0", "--dry-run"],
        ["--help"],
        ["acme/a@1.0.0", "--port", "65536"],
        ["acme/a@1.0.0", "--stdio", "--port", "1"],
        ["-vh", "x"],
    ],
)
def test_everything_else_is_for_click(words):
    assert parse_run(words) is None


def test_global_options_stand_before_the_command(tmp_path):
    run_words = ["run", "acme/a@1.0.0"]
    overrides = {"config": "/x", "log_level": "debug"}
    assert parse_line(["--config", "/x", "--log-level=debug", *run_words]) == (
        overrides,
        RunFlags("acme/a@1.0.0"),
    )
    for words in (
        ["--config", *run_words],
        ["--config=", *run_words],
        ["--config", str(tmp_path), *run_words],
        ["--log-level", "loud", *run_words],
        ["--version", *run_words],
        ["info", *run_words],
        ["--config", "/x"],
    ):
        assert parse_line(words) is None, words


def test_a_usual_run_does_not_import_click():
    script = (
        "import sys; from mcp_client.cli.main import main; "
        "main(['run', 'acme/none@1.0.0', '--offline', '--timeout', 'wrong']) if sys.argv[1] == 'fails' else "
        "__import__('mcp_client.cli.start'); "
        "print('click' in sys.modules)"
    )

    def imported(what):
        command = [sys.executable, "-c", script, what]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert imported("starts") == "False\n"
    assert imported("fails") == "True\n"
