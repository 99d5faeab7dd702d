"""Read a usual ``mcp run`` line without the command line library, as that would read it."""

from __future__ import annotations

import os

from mcp_client.cli.flags import RUN_FLAGS, RunFlags
from mcp_client.config.settings import LOG_LEVELS
from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING
from mcp_client.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

_FLAGS = {name: flag for flag in RUN_FLAGS for name in (flag.name, flag.short) if name is not None}


def parse_line(words: Sequence[str]) -> tuple[dict[str, str], RunFlags] | None:
    """The global options and the flags of one command line; None for everything click should answer."""
    overrides: dict[str, str] = {}
    at = 0
    while at < len(words) and words[at] != "run":
        name, equals, value = words[at].partition("=")
        at += 1
        if not equals and at < len(words):
            value, at = words[at], at + 1
        if name == "--config" and value and not os.path.isdir(value):
            overrides["config"] = value
        elif name == "--log-level" and value in LOG_LEVELS:
            overrides["log_level"] = value
        else:
            return None
    flags = parse_run(words[at + 1 :])
    return None if flags is None else (overrides, flags)


def parse_run(words: Sequence[str]) -> RunFlags | None:
    """The words after ``run``; None for everything click should answer: help, a plan, and what is wrong."""
    plain: list[str] = []
    values: dict[str, object] = {}
    several: dict[str, list[str]] = {}
    waiting = iter(words)
    for word in waiting:
        if word == "--":
            plain += waiting
            break
        if not word.startswith("-") or word == "-":
            plain.append(word)
            continue
        name, equals, value = word.partition("=")
        flag = _FLAGS.get(name)
        if flag is None:
            return None
        if flag.metavar is None:
            if equals:
                return None
            values[flag.field] = flag.value
            continue
        given = value if equals else next(waiting, None)
        if given is None or not (flag.most is None or _is_number(given, flag.most)):
            return None
        if flag.multiple:
            several.setdefault(flag.field, []).append(given)
        else:
            values[flag.field] = given if flag.most is None else int(given)
    if not plain or not _is_reference(plain[0]):
        return None
    flags = RunFlags(plain[0], tuple(plain[1:]), **values, **several)  # type: ignore[arg-type]
    return None if flags.stdio and flags.listens else flags


def _is_number(text: str, most: int) -> bool:
    """Not every spelling that int() takes."""
    return text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most


def _is_reference(text: str) -> bool:
    try:
        parse_reference(text)
    except MCPError:
        return False
    return True
