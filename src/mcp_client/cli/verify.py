"""``mcp cache verify``: prove what is stored, byte by byte."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mcp_client.app import App
from mcp_client.cli.cache import chosen, entry_value
from mcp_client.cli.options import json_option
from mcp_client.cli.output import Report, table
from mcp_client.config.units import format_size
from mcp_client.errors import MCPError, printable

if TYPE_CHECKING:
    from mcp_client.cache.heal import Finding
    from mcp_client.cache.store import Entry

_ERASE = "\r\x1b[K"
_SHOWN = 19
_WIDTH = 78


@click.command(short_help="Prove what is stored, byte by byte.")
@click.argument("targets", metavar="[DIGEST|REF]...", nargs=-1)
@json_option
@click.pass_obj
def verify(app: App, targets: Sequence[str]) -> Report:
    """Hash every manifest and bundle, and compare every unpacked tree with its bundle.

    What is damaged is moved to the quarantine and fetched again when it is needed. The exit status is 1 when
    something is not whole.

    \b
    Examples:
      mcp cache verify
      mcp cache verify acme/tool@1.0.0
      mcp cache verify sha256:35e1c43061 --json
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    problems = app.cache.database.check()
    entries = app.cache.entries()
    if targets:
        digests, references = chosen(targets, entries)
        entries = [
            entry for entry in entries if entry.digest in digests or references & set(entry.references)
        ]
    progress = _Progress(entries)
    try:
        findings = list(app.cache.verify(entries, progress))
    finally:
        progress.end()
    bad = [finding for finding in findings if finding.state != "whole"]
    rows = [(f.state, f.entry.kind, str(f.entry.digest)[:_SHOWN], f.problem, _names(f)) for f in bad]
    rows += [("damaged", "database", "", printable(problem), "") for problem in problems]
    whole = f"{len(findings) - len(bad)} of {len(findings)} entries are whole"
    text = table(("STATE", "KIND", "DIGEST", "PROBLEM", "REFERENCES"), rows) + f"\n{whole}" if rows else whole
    result: dict[str, Any] = {
        "verified": len(findings),
        "found": [_value(finding) for finding in bad],
        "database": problems,
    }
    return Report(result, text, _errors(bad, problems))


def _errors(bad: "Sequence[Finding]", problems: Sequence[str]) -> tuple[MCPError, ...]:
    if not bad and not problems:
        return ()
    damaged = sum(finding.state == "damaged" for finding in bad)
    unproven = len(bad) - damaged
    left = any(finding.state == "damaged" and finding.moved is None for finding in bad)
    said = [f"{damaged} entries are damaged"] if damaged else []
    said += [f"{unproven} cannot be proven"] if unproven else []
    said += ["the database is damaged"] if problems else []
    if left:
        hint = "this cache may only be read: ask whoever may write it to run the same command"
    else:
        hint = "mcp pull --refresh REF  fetches what is missing; damaged entries are in the quarantine"
    return (MCPError("cache-damaged", ", ".join(said), hint=hint),)


class _Progress:
    """How far it is, by bytes: a line on a terminal, and nothing elsewhere."""

    def __init__(self, entries: "Sequence[Entry]") -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()
        self._total = sum(entry.size for entry in entries)
        self._done = 0

    def __call__(self, entry: "Entry") -> None:
        text = f"{format_size(self._done)} of {format_size(self._total)}: {entry.kind} {entry.digest}"
        self._draw(text[:_WIDTH])
        self._done += entry.size

    def end(self) -> None:
        self._draw("")

    def _draw(self, text: str) -> None:
        if self._shown:
            sys.stderr.write(_ERASE + text)
            sys.stderr.flush()


def _names(finding: "Finding") -> str:
    return printable(" ".join(finding.entry.references))


def _value(finding: "Finding") -> dict[str, Any]:
    return {
        **entry_value(finding.entry),
        "state": finding.state,
        "problem": finding.problem,
        "quarantine": finding.moved,
    }
