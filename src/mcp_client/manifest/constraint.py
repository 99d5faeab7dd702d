"""Version constraints on host runtimes, such as ``>=3.11,<3.12``."""

from __future__ import annotations

from mcp_client.errors import MCPError, printable

_OPERATORS = (">=", "<=", "==", "!=", "~=", ">", "<")
_MAX_PARTS, _MAX_DIGITS = 4, 9
_MAX_LENGTH = 200

Version = tuple[int, ...]


def matches(version: Version, expression: str) -> bool:
    """Whether ``version`` (``(3, 11, 7)``) fits every clause of ``expression``.

    Clauses are joined with commas; ``==`` and ``!=`` may end in ``.*``, and ``~=3.11`` is ``>=3.11,==3.*``
    (Python's version specifiers, releases only). Raises ``manifest-invalid`` for anything else.
    """
    # Read all before judging: a clause that cannot be read is an error even when an earlier one fails.
    clauses = [_parse(clause, expression) for clause in expression.split(",")]
    return all(_fits(version, *clause) for clause in clauses)


def _parse(clause: str, expression: str) -> tuple[str, Version, bool]:
    clause = clause.strip()
    operator = next((one for one in _OPERATORS if clause.startswith(one)), "")
    number = clause.removeprefix(operator).lstrip()
    wildcard = number.endswith(".*")
    parts = number.removesuffix(".*").split(".")
    fine = all(part.isascii() and part.isdecimal() and len(part) <= _MAX_DIGITS for part in parts)
    if not operator or not fine or len(parts) > _MAX_PARTS or len(expression) > _MAX_LENGTH:
        raise _invalid(expression)
    bound = tuple(map(int, parts))
    if (wildcard and operator not in ("==", "!=")) or (operator == "~=" and len(bound) == 1):
        raise _invalid(expression)
    return operator, bound, wildcard


def _fits(version: Version, operator: str, bound: Version, wildcard: bool) -> bool:
    if wildcard:
        return (_pad(version, len(bound))[: len(bound)] == bound) == (operator == "==")
    if operator == "~=":
        return _fits(version, ">=", bound, False) and _fits(version, "==", bound[:-1], True)
    width = max(len(version), len(bound))
    left, right = _pad(version, width), _pad(bound, width)
    return {
        ">=": left >= right,
        "<=": left <= right,
        "==": left == right,
        "!=": left != right,
        ">": left > right,
        "<": left < right,
    }[operator]


def _pad(version: Version, width: int) -> Version:
    return version + (0,) * (width - len(version))


def _invalid(expression: str) -> MCPError:
    return MCPError(
        "manifest-invalid",
        f"not a version constraint: '{printable(expression, 80)}'",
        hint="write clauses such as >=3.11,<3.12 with >=, >, <=, <, ==, != or ~=",
    )
