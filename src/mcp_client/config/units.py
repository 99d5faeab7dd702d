"""Durations and sizes as people write them."""

from __future__ import annotations

from itertools import pairwise

_DURATION_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
# As GNU coreutils read them: a bare letter and KiB are powers of 1024, KB is a power of 1000.
_SIZE_UNITS: dict[str, int] = {
    "": 1,
    "b": 1,
    **{letter: 1024**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
_MAX_DURATION = 10 * 365 * 86_400.0
_MAX_SIZE = 1 << 60
_DURATION_FORM = "a duration such as 30s, 5m, 1h30m or 500ms"
_SIZE_FORM = "a size such as 512M, 10GB or 1GiB"


def parse_duration(value: str | float) -> float:
    """Seconds, more than 0 and at most ten years, from ``30s``, ``1h30m``, ``500ms`` or a number of seconds.

    Raises ``ValueError`` whose text says what was expected.
    """
    if isinstance(value, str):
        seconds = _sum_of_parts(value.strip().lower())
    elif isinstance(value, bool):
        raise ValueError(f"expected {_DURATION_FORM}")  # noqa: TRY004 - pydantic collects ValueError only
    else:
        seconds = float(value)
    if not 0 < seconds <= _MAX_DURATION:
        raise ValueError(f"expected {_DURATION_FORM}, more than 0 and at most 10 years")
    return seconds


def _sum_of_parts(text: str) -> float:
    import re

    if re.fullmatch(_NUMBER, text):
        return float(text)
    if not re.fullmatch(rf"(?:{_NUMBER}(?:ms|[dhms])){{1,5}}", text):
        raise ValueError(f"expected {_DURATION_FORM}")
    parts = re.findall(rf"({_NUMBER})(ms|[dhms])", text)
    units = [_DURATION_UNITS[unit] for _, unit in parts]
    if any(later >= earlier for earlier, later in pairwise(units)):
        raise ValueError(f"expected {_DURATION_FORM}, larger units first and each once")
    return sum(float(number) * unit for (number, _), unit in zip(parts, units, strict=True))


def format_duration(seconds: float) -> str:
    """The shortest text that :func:`parse_duration` reads back, to the millisecond: ``1h30m``, ``500ms``."""
    milliseconds = round(seconds * 1000)
    if milliseconds <= 0:
        return "0s"
    shown = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            shown += f"{count}{unit}"
    return shown


def parse_size(value: str | int) -> int:
    """Bytes, 1 to 2**60, from ``512M`` (1024), ``10GB`` (1000), ``1GiB`` (1024) or a number of bytes.

    Raises ``ValueError`` whose text says what was expected.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"expected {_SIZE_FORM}")  # noqa: TRY004 - pydantic collects ValueError only
    if isinstance(value, str):
        import re

        match = re.fullmatch(rf"({_NUMBER}) ?([a-z]{{0,3}})", value.strip().lower())
        if match is None or match[2] not in _SIZE_UNITS:
            raise ValueError(f"expected {_SIZE_FORM}")
        size = round(float(match[1]) * _SIZE_UNITS[match[2]])
    else:
        size = value
    if not 1 <= size <= _MAX_SIZE:
        raise ValueError(f"expected {_SIZE_FORM}, at least 1 byte")
    return size


def format_size(size: int) -> str:
    """Bytes for people, in powers of 1000 and three significant digits: ``999B``, ``1.50MB``, ``10.0GB``."""
    amount = float(size)
    if amount < 1000:  # noqa: PLR2004
        return f"{size}B"
    units = iter(("kB", "MB", "GB", "TB", "PB", "EB"))
    unit = ""
    while amount >= 999.5:  # noqa: PLR2004 - would round to 1000
        amount /= 1000
        unit = next(units)
    digits = 2 if amount < 9.995 else 1 if amount < 99.95 else 0  # noqa: PLR2004
    return f"{amount:.{digits}f}{unit}"
