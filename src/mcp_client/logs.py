"""What the program says about itself, always on standard error.

Warnings and errors are one plain line for the person in front of it. Diagnostics (``info``, ``debug``) and
everything in the ``json`` format go through structlog, which is imported when the first of them is emitted:
a run at the default level never pays for it.
"""

from __future__ import annotations

import sys

from mcp_client import system
from mcp_client.config.settings import LOG_LEVELS
from mcp_client.errors import printable
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

    from mcp_client.choices import LogFormat, LogLevel

_LIMIT = 900
_PATIENCE_MILLISECONDS = 200
_PLAIN = frozenset({"warning", "error"})


class Log:
    """Messages at or above ``level``; values come out terminal-safe and without secrets."""

    def __init__(self, level: LogLevel, form: LogFormat) -> None:
        """``form`` is the setting ``log.format``."""
        self._threshold = LOG_LEVELS.index(level)
        self._form = form
        self._structured: FilteringBoundLogger | None = None

    def debug(self, event: str, **fields: object) -> None:
        """A step, for whoever looks for a fault."""
        self._emit("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """A step the user may want to follow (``-v``)."""
        self._emit("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Something the user should know; the work goes on."""
        self._emit("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Something went wrong beside the failure that is reported by an MCPError."""
        self._emit("error", event, fields)

    def report(self, event: str, text: str, rows: Iterable[Mapping[str, object]]) -> None:
        """What the user asked for, whatever the level: ``text``, or an event for each row in ``json``."""
        if not _has_room():
            return
        try:
            if self._form == "json":
                for row in rows:
                    self._open().info(event, **row)
            elif sys.stderr is not None:
                sys.stderr.write(text)
                sys.stderr.flush()
        except (OSError, ValueError):
            # Nobody reads it any more.
            return

    def _emit(self, level: LogLevel, event: str, fields: dict[str, object]) -> None:
        if LOG_LEVELS.index(level) < self._threshold:
            return
        # Nobody may be listening any more: a closed standard error must not end a run, and a full one that
        # nobody reads must not keep it from its other duties.
        if not _has_room():
            return
        try:
            self._write(level, event, fields)
        except (OSError, ValueError):
            return

    def _write(self, level: LogLevel, event: str, fields: dict[str, object]) -> None:
        if self._form == "text" and level in _PLAIN:
            shown = "".join(f" {name}={value}" for name, value in _safe(fields).items())
            if sys.stderr is not None:
                sys.stderr.write(f"mcp: {level}: {_clean(event)}{shown}\n")
                sys.stderr.flush()
        else:
            getattr(self._open(), level)(event, **fields)

    def _open(self) -> FilteringBoundLogger:
        if self._structured is None:
            self._structured = _structlog(self._form)
        return self._structured


def _has_room() -> bool:
    """Whether a line can be written to standard error without waiting long for somebody to read."""
    return system.has_room(2, _PATIENCE_MILLISECONDS)


def _structlog(form: LogFormat) -> FilteringBoundLogger:
    import structlog

    stream = sys.stderr
    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=0, sort_keys=False)
    )
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            _safe_processor,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
        cache_logger_on_first_use=False,
    )
    return logger


def _safe_processor(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    return _safe(dict(event))


def _safe(fields: dict[str, Any]) -> dict[str, Any]:
    """Values without secrets and control characters; numbers and booleans stay what they are."""
    from mcp_client.audit.redact import REDACTED, is_telling

    return {
        name: REDACTED
        if is_telling(name)
        else value
        if value is None or isinstance(value, bool | int | float)
        else _clean(str(value))
        for name, value in fields.items()
    }


def _clean(text: str) -> str:
    from mcp_client.audit.redact import redact

    return printable(redact(text), _LIMIT)
