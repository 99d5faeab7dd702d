"""Which environment variables reach the server: none, but for those that somebody named."""

from __future__ import annotations

import os

from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WILD = frozenset("*?[")

# Names that make a loader, an interpreter or a tool run somebody's code, or that are ours. They never come
# from the host, whoever asks; a value given by hand is the user's own word.
_INJECTION = (
    "BASH_ENV",
    "BASH_FUNC_*",
    "CLASSPATH",
    "DYLD_*",
    "ENV",
    "GCONV_PATH",
    "GIT_*",
    "GLIBC_TUNABLES",
    "IFS",
    "JAVA_OPTS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LD_*",
    "LOCPATH",
    "LUA_*",
    "MALLOC_*",
    "MCP_*",
    "NLSPATH",
    "NODE_*",
    "NPM_CONFIG_*",
    "PERL5*",
    "PERLLIB",
    "PROMPT_COMMAND",
    "PYTHON*",
    "RES_OPTIONS",
    "RUBYLIB",
    "RUBYOPT",
    "SHELLOPTS",
    "TZDIR",
    "_JAVA_OPTIONS",
)


def is_injection(name: str) -> bool:
    """Whether a variable of this name could change what code runs."""
    return _matches(name, _INJECTION)


def select_environment(
    host: Mapping[str, str], allowed: Iterable[str], denied: Iterable[str]
) -> dict[str, str]:
    """The host's variables a manifest asks for by exact name, without those any pattern denies.

    An empty list of names is an empty environment. Patterns are globs, compared without regard to case.
    """
    patterns = tuple(denied)
    return {
        name: host[name]
        for name in allowed
        if name in host and not is_injection(name) and not _matches(name, patterns)
    }


def refuse_denied(names: Iterable[str], denied: Iterable[str]) -> None:
    """Raise ``env-refused`` for the first of ``names`` that matches a pattern of the operator's."""
    patterns = tuple(denied)
    for name in names:
        if _matches(name, patterns):
            raise MCPError(
                "env-refused",
                f"the operator's policy keeps {name} from every server",
                hint="leave it out, or ask whoever owns policy.environment.deny",
            )


def parse_grant(text: str, host: Mapping[str, str]) -> tuple[str, str]:
    """``KEY=VALUE``, or ``KEY`` for the host's own value. Raises ``env-refused``."""
    name, given, value = text.partition("=")
    if not (name.isascii() and name.isidentifier()):
        raise MCPError("env-refused", f"not a variable name: {name[:60]!r}", hint="write KEY=VALUE or KEY")
    if "\0" in value:
        raise MCPError("env-refused", f"{name} holds a NUL character", hint="no variable can")
    if given:
        return name, value
    if is_injection(name):
        raise MCPError(
            "env-refused",
            f"{name} can change what code runs and never comes from the host",
            hint=f"if you mean it, give the value yourself: --env {name}=...",
        )
    if name not in host:
        raise MCPError(
            "env-refused", f"{name} is not set here", hint=f"set it, or give a value: --env {name}=..."
        )
    return name, host[name]


def read_env_file(path: str, host: Mapping[str, str]) -> dict[str, str]:
    """``KEY=VALUE`` or ``KEY`` lines; blank lines and ``#`` comments are skipped, quotes around a value go.

    Raises ``env-refused`` with the line number.
    """
    if not os.path.isfile(path):
        raise MCPError("env-refused", f"cannot read {path}: not a file", hint="check --env-file")
    try:
        # Editors of other systems begin a file with a byte order mark.
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise MCPError("env-refused", f"cannot read {path}: {error}", hint="check --env-file") from error
    found = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        try:
            name, value = parse_grant(text, host)
        except MCPError as error:
            raise MCPError(error.code, f"{path}, line {number}: {error.message}", hint=error.hint) from None
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        found[name] = value[1:-1] if quoted else value
    return found


def _matches(name: str, patterns: Iterable[str]) -> bool:
    upper = name.upper()
    return any(_fits(upper, pattern.upper()) for pattern in patterns)


def _fits(name: str, pattern: str) -> bool:
    """As fnmatch.fnmatchcase(), which is only imported for patterns that are no plain beginning of a name."""
    beginning = pattern.removesuffix("*")
    if not _WILD.isdisjoint(beginning):
        from fnmatch import fnmatchcase

        return fnmatchcase(name, pattern)
    return name == pattern if beginning == pattern else name.startswith(beginning)
