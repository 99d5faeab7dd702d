"""``mcp cache``: what is stored on this machine, and how it goes away."""

import re
import time
from collections.abc import Iterable, Sequence
from functools import cache as cache_results
from typing import TYPE_CHECKING, Any

import click

from mcp_client.app import App
from mcp_client.cli.group import Entry as Command
from mcp_client.cli.group import LazyGroup
from mcp_client.cli.options import json_option
from mcp_client.cli.output import Report, fields, table
from mcp_client.cli.reference import REFERENCE
from mcp_client.config.units import format_size
from mcp_client.digest import Digest
from mcp_client.errors import MCPError, printable
from mcp_client.reference import parse_reference

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from mcp_client.cache.store import Entry

_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{6,64})")
_SHOWN = 12
_MOST_NAMED = 5
_KINDS = ("manifest", "bundle", "tree", "compiled")


@click.group(
    cls=LazyGroup,
    entries={
        "ls": Command("mcp_client.cli.cache:ls", "List what is stored."),
        "rm": Command("mcp_client.cli.cache:rm", "Remove what is stored."),
        "verify": Command("mcp_client.cli.verify:verify", "Prove what is stored, byte by byte."),
        "stats": Command("mcp_client.cli.cache:stats", "Tell how much is stored."),
    },
    short_help="List, remove and measure what is stored.",
)
def cache() -> None:
    """Look after the packages that are stored on this machine.

    \b
    Examples:
      mcp cache ls
      mcp cache rm acme/tool@1.0.0
      mcp cache verify
      mcp cache stats
    """  # noqa: D301  \b is click's mark for text that must not be wrapped


@click.command(short_help="List what is stored.")
@json_option
@click.pass_obj
def ls(app: App) -> Report:
    """List manifests, bundles, unpacked trees and what was compiled of them, the one used last first.

    \b
    Examples:
      mcp cache ls
      mcp cache ls --json
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    entries = app.cache.entries()
    return Report(
        lambda: {"entries": [entry_value(entry) for entry in entries]},
        lambda: _listed(entries) if entries else "nothing is stored",
    )


def _listed(entries: "Iterable[Entry]") -> str:
    size, minute = cache_results(format_size), cache_results(_minute)
    rows = [
        (
            entry.kind,
            _short(entry.digest),
            size(entry.size),
            minute(entry.used // 60),
            printable(" ".join(entry.references)),
        )
        for entry in entries
    ]
    return table(("KIND", "DIGEST", "SIZE", "USED", "REFERENCES"), rows)


def _complete_target(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    return REFERENCE.shell_complete(ctx, parameter, incomplete)


@click.command(short_help="Remove what is stored.")
@click.argument("targets", metavar="[DIGEST|REF]...", nargs=-1, shell_complete=_complete_target)
@click.option("--all", "everything", is_flag=True, help="Remove everything no server is running from.")
@json_option
@click.pass_obj
def rm(app: App, targets: Sequence[str], everything: bool) -> Report:
    """Remove artifacts by digest, by the beginning of one (6 digits or more), or all that only REF needs.

    What another reference needs as well stays, and REF must be fetched again all the same. Nothing is
    removed when one of them is not there or in use. What a reference once resolved to is remembered: should
    it ever mean something else, it is refused.

    \b
    Examples:
      mcp cache rm acme/tool@1.0.0
      mcp cache rm sha256:35e1c43061
      mcp cache rm --all
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    if everything == bool(targets):
        raise MCPError(
            "usage",
            "name digests or references, or give --all" if not targets else "--all leaves nothing to name",
            hint="mcp cache ls  lists what there is",
        )
    # What is named by its digest, or not at all, can be removed even where the database cannot be read.
    entries = app.cache.entries(even_if_full=all(map(_PREFIX.fullmatch, targets)))
    kept: list[Entry] = []
    if everything:
        removed, errors = _remove_unused(app, {entry.digest for entry in entries})
        freed_aside = app.cache.clear_quarantine()
    else:
        digests, references = chosen(targets, entries)
        removed, errors = app.cache.remove(digests, references), []
        kept = [entry for entry in entries if references & set(entry.references) and entry not in removed]
        freed_aside = 0
    freed = sum(entry.size for entry in removed) + freed_aside
    text = f"removed {len(removed)} entries, {format_size(freed)}" if removed or freed else "nothing removed"
    if kept:
        text += f"; {len(kept)} that other references need stay"
    result = {
        "removed": [entry_value(entry) for entry in removed],
        "kept": [entry_value(entry) for entry in kept],
        "freed_bytes": freed,
    }
    return Report(result, text, tuple(errors))


@click.command(short_help="Tell how much is stored.")
@json_option
@click.pass_obj
def stats(app: App) -> Report:
    """Tell how much is stored, of what, and how much may be.

    \b
    Examples:
      mcp cache stats
      mcp cache stats --json
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    entries = app.cache.entries()
    kinds = {kind: [entry.size for entry in entries if entry.kind == kind] for kind in _KINDS}
    total, limit = sum(entry.size for entry in entries), app.settings.cache.max_size
    aside = app.cache.quarantine_size()
    result: dict[str, Any] = {
        "folder": app.settings.cache.dir,
        "total_bytes": total,
        "quarantine_bytes": aside,
        "max_bytes": limit,
        "references": len({name for entry in entries for name in entry.references}),
        "kinds": {kind: {"count": len(sizes), "bytes": sum(sizes)} for kind, sizes in kinds.items()},
    }
    facts = [
        ("folder", printable(result["folder"])),
        *(
            (kind if kind == "compiled" else f"{kind}s", f"{len(sizes)}, {format_size(sum(sizes))}")
            for kind, sizes in kinds.items()
        ),
        ("references", str(result["references"])),
        ("total", f"{format_size(total)} of {format_size(limit)}"),
        *([("quarantine", format_size(aside))] if aside else []),
    ]
    return Report(result, fields(facts))


def chosen(targets: "Iterable[str]", entries: "Sequence[Entry]") -> tuple[set[Digest], set[str]]:
    """The digests and the references that words of the command line name. Raises ``not-cached``."""
    digests: set[Digest] = set()
    references: set[str] = set()
    for target in targets:
        match = _PREFIX.fullmatch(target)
        if match is None:
            reference = str(parse_reference(target))
            there = any(reference in entry.references for entry in entries)
            references.add(reference)
        else:
            found = _beginning_with(match[1], target, entries)
            there = bool(found)
            digests |= found
        if not there:
            raise MCPError(
                "not-cached", f"nothing is stored for {target}", hint="mcp cache ls  lists what there is"
            )
    return digests, references


def _beginning_with(digits: str, target: str, entries: "Sequence[Entry]") -> set[Digest]:
    found = {entry.digest for entry in entries if entry.digest.hex.startswith(digits)}
    if len(found) > 1:
        named = ", ".join(sorted(map(_short, found))[:_MOST_NAMED])
        raise MCPError(
            "usage", f"{target} is the beginning of {len(found)} digests: {named}", hint="write more of it"
        )
    return found


def _remove_unused(app: App, digests: Iterable[Digest]) -> "tuple[list[Entry], list[MCPError]]":
    """Remove what can be removed; one running server must not keep everything else."""
    wanted = set(digests)
    try:
        return app.cache.remove(wanted), []
    except MCPError as error:
        if error.code != "in-use":
            raise
    removed: list[Entry] = []
    errors: list[MCPError] = []
    for digest in wanted:
        try:
            removed += app.cache.remove({digest})
        except MCPError as error:
            errors.append(error)
    return removed, errors


def _minute(minutes: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(minutes * 60))


@cache_results
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _short(digest: Digest) -> str:
    return f"sha256:{digest.hex[:_SHOWN]}"


def entry_value(entry: "Entry") -> dict[str, Any]:
    """One entry as JSON values."""
    return {
        "kind": entry.kind,
        "digest": str(entry.digest),
        "size": entry.size,
        "references": list(entry.references),
        "used": _second(int(entry.used)),
        "path": entry.path,
    }
