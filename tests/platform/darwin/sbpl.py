"""Read the profile language as far as our profiles use it, so that a slip is found without macOS.

Names are those of the profiles that Apple ships and of browsers; a name that is not here is either a slip or
has to be looked up and tried on macOS.
"""

import re

OPERATIONS = """
    default file-ioctl file-map-executable file-read* file-read-metadata file-write*
    file-write-data file-write-setugid iokit-get-properties ipc-posix-sem
    ipc-posix-shm-read* mach-lookup network* network-bind network-inbound network-outbound nvram*
    process-exec* process-fork process-info* signal sysctl-read
""".split()
# What may stand in a rule, by how many values it takes.
FILTERS = {
    "literal": 1,
    "subpath": 1,
    "global-name": 1,
    "ipc-posix-name": 1,
    "sysctl-name": 1,
    "sysctl-name-prefix": 1,
    "target": 1,
    "local": 2,
    "remote": 2,
}
# Which filters an operation understands.
_FILES, _NET = {"literal", "subpath"}, {"local", "remote"}
UNDERSTOOD = {
    "file": _FILES,
    "process-exec": _FILES,
    "network": _NET,
    "sysctl": {"sysctl-name", "sysctl-name-prefix"},
}
UNDERSTOOD |= {
    "mach": {"global-name"},
    "ipc": {"ipc-posix-name"},
    "signal": {"target"},
    "process-info": {"target"},
}
_TOKEN = re.compile(r'\s*(?:([()])|"((?:[^"\\]|\\.)*)"|([^\s()"]+))')


class Word(str):
    """A symbol, as opposed to a string."""

    __slots__ = ()


def parse(text):
    """Every form of ``text``: lists of lists, strings and words. Raises ValueError."""
    stack, at = [[]], 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise ValueError(f"not a token: {text[at : at + 40]!r}")
        at = found.end()
        bracket, string, word = found.groups()
        if bracket == "(":
            stack.append([])
        elif bracket == ")":
            if len(stack) == 1:
                raise ValueError("one bracket too many")
            form = stack.pop()
            stack[-1].append(form)
        else:
            stack[-1].append(string if word is None else Word(word))
    if len(stack) != 1:
        raise ValueError("a bracket is not closed")
    return stack[0]


def check(text, parameters):
    """The rules of a profile as (verdict, operations, filters). Raises ValueError for what is not known."""
    forms = parse(text)
    if forms[:2] != [["version", "1"], ["deny", "default"]]:
        raise ValueError("it does not begin with (version 1) (deny default)")
    used = set()
    rules = [_rule(form, used) for form in forms[1:]]
    if used != set(parameters):
        raise ValueError(f"parameters: used {sorted(used)}, given {sorted(parameters)}")
    return rules


def _rule(form, used):
    verdict, *rest = form
    if verdict not in {"allow", "deny"}:
        raise ValueError(f"not a rule: {form}")
    operations = [part for part in rest if isinstance(part, Word)]
    filters = [part for part in rest if not isinstance(part, Word)]
    if rest != [*operations, *filters] or not operations:
        raise ValueError(f"operations first, then filters: {form}")
    for operation in operations:
        if operation not in OPERATIONS:
            raise ValueError(f"no operation: {operation}")
        for one in filters:
            _filter(operation, one, used)
    return str(verdict), [str(operation) for operation in operations], filters


def _filter(operation, form, used):
    kind, *values = form
    if FILTERS.get(kind) != len(values):
        raise ValueError(f"no filter: {form}")
    understood = next((names for start, names in UNDERSTOOD.items() if operation.startswith(start)), set())
    if kind not in understood:
        raise ValueError(f"{operation} knows no {kind}")
    for value in values:
        _value(value, used)


def _value(value, used):
    if isinstance(value, list) and value[:1] == ["param"]:
        used.add(value[1])
    elif isinstance(value, list):
        raise ValueError(f"not a value: {value}")
