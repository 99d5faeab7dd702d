"""Write what a shell and man(1) read, from the program's own commands: the manual page and the completions.

The results are committed below ``packaging``, and a test compares them. ``--check`` writes nothing and fails
on a difference.
"""

import os
import sys
from inspect import cleandoc

import click
from committed import update

from mcp_client.cli.caller import completion_variable
from mcp_client.cli.completion import SHELLS
from mcp_client.cli.program import ENTRIES, program
from mcp_client.config.settings import LOG_LEVELS

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, "packaging")
NAMES = ("mcp", "mcp-client")
PLACES = {
    "bash": "completions/bash/{name}",
    "zsh": "completions/zsh/_{name}",
    "fish": "completions/fish/{name}.fish",
}
EXIT_STATUS = (
    ("mcp run", "the server's own status; 128+N when signal N killed it, 137 also when it was out of memory"),
    ("124", "mcp run: the time given by --timeout was over"),
    ("125", "mcp run: a failure of mcp itself: usage, registry, integrity, policy or sandbox"),
    ("126, 127", "mcp run: the entrypoint cannot be executed, or is not found"),
    ("0, 1, 2", "every other command: success, failure, wrong usage"),
)
ENVIRONMENT = (
    ("MCP_HOME", "the folder of this program's files instead of ~/.mcp"),
    ("MCP_CONFIG", "the configuration instead of config.yaml in it"),
    ("MCP_REGISTRY_URL, MCP_REGISTRY_TOKEN, MCP_REGISTRY_CA_FILE", "the registry, and what opens it"),
    ("MCP_OFFLINE", "ask no registry"),
    ("MCP_CACHE_DIR", "the cache instead of cache in MCP_HOME"),
    ("MCP_LOG_LEVEL", f"one of {', '.join(LOG_LEVELS)}"),
    ("MCP_TIMEOUT", "the default of --timeout"),
)
FILES = (
    ("~/.mcp/config.yaml", "settings"),
    ("~/.mcp/auth.json", "tokens, by registry"),
    ("~/.mcp/cache", "verified manifests and bundles"),
    ("~/.mcp/audit.log", "one record for the start and one for the end of every run"),
    ("/etc/mcp/policy.yaml", "what an administrator takes away; it can give nothing"),
)


def build() -> dict[str, bytes]:
    """Every file by its path below ``packaging``."""
    files = {"man/mcp.1": _page()}
    files |= {f"man/{name}.1": ".so man1/mcp.1\n" for name in NAMES[1:]}
    for name in NAMES:
        for shell, place in PLACES.items():
            source = SHELLS[shell](program, {}, name, completion_variable(name)).source()
            files[place.format(name=name)] = source.rstrip("\n") + "\n"
    return {path: text.encode() for path, text in files.items()}


def _page() -> str:
    context = click.Context(program, info_name="mcp", **program.context_settings)
    lines = ['.TH MCP 1 "" "mcp\\-client" "User Commands"', ".SH NAME"]
    lines += ["mcp, mcp\\-client \\- run Model Context Protocol servers nobody has to trust", ".SH SYNOPSIS"]
    lines += [".B mcp", ".RI [ OPTIONS ] \\~ COMMAND \\~ [ ARGUMENTS ]", ".SH DESCRIPTION"]
    lines += [*_text(program.help or ""), ".SH OPTIONS", *_options(program, context), ".SH COMMANDS"]
    for name in ENTRIES:
        command = program.get_command(context, name)
        assert command is not None
        lines += _command(command, click.Context(command, info_name=name, parent=context))
    for title, rows in (("EXIT STATUS", EXIT_STATUS), ("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        lines.append(f".SH {title}")
        for term, meaning in rows:
            lines += [".TP", f".B {_escape(term)}", _escape(meaning)]
    return "\n".join(lines) + "\n"


def _command(command: click.Command, context: click.Context) -> list[str]:
    words = " ".join(context.command_path.split()[1:])
    usage = " ".join(_escape(piece) for piece in command.collect_usage_pieces(context))
    lines = [f".SS {_escape(f'mcp {words}')}", f".B mcp {_escape(words)}", usage, ".PP"]
    lines += [*_text(command.help or command.short_help or ""), *_options(command, context)]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            lines += _command(below, click.Context(below, info_name=name, parent=context))
    return lines


def _options(command: click.Command, context: click.Context) -> list[str]:
    lines = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            names, meaning = record
            lines += [".TP", f".B {_escape(names)}", _escape(" ".join(meaning.split()))]
    return lines


def _text(text: str) -> list[str]:
    r"""Paragraphs of click's help; those marked with ``\b`` keep their lines."""
    lines = []
    # Since Python 3.13 the compiler takes the indentation away itself.
    for paragraph in cleandoc(text.replace("\r", "")).split("\n\n"):
        rows = [row.rstrip() for row in paragraph.split("\n")]
        if rows[0].strip() == "\b":
            lines += [".PP", ".nf", *(_escape(row) for row in rows[1:]), ".fi"]
        else:
            lines += [".PP", *(_escape(row.strip()) for row in rows)]
    return lines


def _escape(text: str) -> str:
    """Text that roff prints as it stands."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def main(arguments: list[str]) -> int:
    """Write the files, or with ``--check`` compare them; 0 when all is well."""
    return update(FOLDER, build(), __file__, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
