"""Secrets out of text before it is written down.

Three nets: the shapes of well-known tokens, user names and passwords in URLs, and values beside a name
that means a secret (``token=...``, ``"password": "..."``, ``--api-key ...``). It errs on the side of
removing too much; a secret without a known shape and without a telling name passes.
"""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, pattern

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

REDACTED = "[redacted]"
_MAX_INPUT = 65_536
_MAX_TEXT = 1_000
_MAX_ARGS = 200
_SHORTEST_TOKEN = 16

_TELLING = (
    *(
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "apikey",
        "accesskey",
        "privatekey",
        "credential",
    ),
    *("authorization", "cookie", "jwt", "bearer", "connectionstring", "signature"),
)
_TELLING_ALONE = frozenset(("auth", "key", "pass", "pat", "pwd", "session", "sessionid", "sig", "dsn"))
_TELLING_LAST = frozenset(("auth", "key", "pass", "pat", "pwd", "dsn"))
_FOLD = str.maketrans("", "", "-_. ")

# Every pattern is linear: repeats are bounded, or cannot start again inside what they scanned.
_SHAPES = pattern(
    r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<![A-Za-z0-9])(?:gh[opsur]_|github_pat_|glpat-|xox[a-z]-|[prs]k[-_]|pypi-|npm_|hf_|dop_v1_|shpat_"
    r"|whsec_|ya29\.|AIza)[A-Za-z0-9_-]{16,}"
    r"|(?<![A-Za-z0-9])A[KS]IA[0-9A-Z]{16}"
    r"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"
    r"|(?<=[Bb]earer )[^\s\"',]+|(?<=[Bb]asic )[A-Za-z0-9+/=_-]{8,}"
)
# One of these is in everything that the shapes match; a test compares them.
_SIGNS = (
    *("PRIVATE KEY-----", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "xox", "pypi-"),
    *(
        "pk-",
        "pk_",
        "rk-",
        "rk_",
        "sk-",
        "sk_",
        "npm_",
        "hf_",
        "dop_v1_",
        "shpat_",
        "whsec_",
        "ya29.",
        "AIza",
    ),
    *("AKIA", "ASIA", "eyJ", "earer ", "asic "),
)
_CAPITALS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_USERINFO = pattern(r"(?<=://)[^/\s\"'<>]*@")
_NAME = pattern(r"(?<![\w.-])-{0,2}([A-Za-z_][\w.-]{0,63})[\\\"']{0,4}\s{0,4}[=:]\s{0,4}")
_VALUE = pattern(r"(?s)\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s&]+")
_PORT = pattern(r"[0-9]{1,5}(?![\w.-])")
_OPTION = pattern(r"-{0,2}([A-Za-z_][\w.-]{0,63})=")


def redact(text: str) -> str:
    """``text`` without what looks like a secret, cut to 1000 characters."""
    text = text[:_MAX_INPUT]
    if len(text) >= _SHORTEST_TOKEN and any(sign in text for sign in _SIGNS):
        text = _SHAPES.sub(REDACTED, text)
    if "://" in text and "@" in text:
        text = _USERINFO.sub(f"{REDACTED}@", text)
    if ("=" in text or ":" in text) and _may_tell(text):
        text = _redact_values(text)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def redact_args(args: Sequence[str]) -> list[str]:
    """Arguments without secrets, ``--token VALUE`` and ``TOKEN=VALUE`` too; at most 200 and their number."""
    result: list[str] = []
    after_secret = False
    for arg in args[:_MAX_ARGS]:
        option = _OPTION.match(arg) if "=" in arg else None
        if after_secret and not arg.startswith("--"):
            result.append(REDACTED)
        elif option and is_telling(option[1]):
            result.append(option[0] + REDACTED)
        else:
            result.append(redact(arg))
        after_secret = arg.startswith("-") and "=" not in arg and is_telling(arg.lstrip("-"))
    if len(args) > _MAX_ARGS:
        result.append(f"… and {len(args) - _MAX_ARGS} more")
    return result


def redact_url(url: str) -> str:
    """``url`` without user name, password, query and fragment."""
    return redact(url.partition("?")[0].partition("#")[0])


def is_telling(name: str) -> bool:
    """Whether a variable, an option or a field of this name holds a secret, going by its name."""
    folded = name.lower().translate(_FOLD)
    if folded in _TELLING_ALONE or any(word in folded for word in _TELLING):
        return True
    return _last_word(name).lower() in _TELLING_LAST


def _last_word(name: str) -> str:
    """Of ``db-pass``, ``db_pass``, ``db.pass`` and ``dbPass``: ``pass``."""
    last = name.replace("_", "-").replace(".", "-").rpartition("-")[2]
    for place in range(len(last) - 1, 0, -1):
        before = last[place - 1]
        if last[place] in _CAPITALS and before.isascii() and (before.islower() or before.isdecimal()):
            return last[place:]
    return last


def _may_tell(text: str) -> bool:
    """False when no name in ``text`` can be a telling one: patterns, and ``re``, are for the others."""
    folded = text.lower().translate(_FOLD)
    return any(word in folded for word in _TELLING) or any(word in folded for word in _TELLING_ALONE)


def _redact_values(text: str) -> str:
    shown: list[str] = []
    done = 0
    while name := _NAME.search(text, done):
        shown.append(text[done : name.end()])
        done = name.end()
        # `token://` is a URL, not a pair.
        if (
            is_telling(name[1])
            and not text.startswith("//", done)
            and not _is_destination(name, text)
            and (value := _VALUE.match(text, done))
        ):
            quote = value[0][0] if value[0][0] in "\"'" else ""
            shown.append(f"{quote}{REDACTED}{quote}")
            done = value.end()
    return "".join(shown) + text[done:]


def _is_destination(name: re.Match[str], text: str) -> bool:
    """Whether this is ``secrets.example.com:443``; ``db.password:443`` is none."""
    _, dot, last = name[1].rpartition(".")
    return (
        bool(dot) and name[0].endswith(":") and not is_telling(last) and bool(_PORT.match(text, name.end()))
    )
