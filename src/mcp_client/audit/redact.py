"""Secrets out of text before it is written down.

Three nets: the shapes of well-known tokens, user names and passwords in URLs, and values beside a name
that means a secret (``token=...``, ``"password": "..."``, ``--api-key ...``). It errs on the side of
removing too much; a secret without a known shape and without a telling name passes.
"""

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
_TELLING_ALONE = frozenset(
    ("auth", "pass", "pwd", "key", "sig", "pin", "pat", "dsn", "session", "sessionid", "code")
)
_FOLD = str.maketrans("", "", "-_. ")

_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<![A-Za-z0-9])(?:"
    r"(?:gh[opsur]|github_pat|glpat|xox[a-z]|sk|rk|pk|pypi|npm|hf|dop_v1|shpat|ya29|AIza|whsec)[-_.]?[A-Za-z0-9_-]{16,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?)"
    r"|(?<=[Bb]earer )[^\s\"',]+|(?<=[Bb]asic )[A-Za-z0-9+/=_-]{8,}",
    re.DOTALL,
)
_USERINFO = re.compile(r"(?<=://)[^/\s\"'<>]*@")
# Bounded and anchored at the start of a word, so that no text makes it quadratic.
_PAIR = re.compile(
    r"(?<![\w.-])([A-Za-z_][\w.-]{0,63})(\"?'?\s{0,4}[=:]\s{0,4})(\"[^\"]*\"?|'[^']*'?|[^\s\"'&,;}]+)"
)
_OPTION = re.compile(r"-{0,2}([A-Za-z_][\w.-]{0,63})=")


def redact(text: str) -> str:
    """``text`` without what looks like a secret, cut to 1000 characters."""
    text = text[:_MAX_INPUT]
    if len(text) >= _SHORTEST_TOKEN:
        text = _SHAPES.sub(REDACTED, text)
    if "://" in text:
        text = _USERINFO.sub(f"{REDACTED}@", text)
    if "=" in text or ":" in text:
        text = _PAIR.sub(_redact_pair, text)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def redact_args(args: Sequence[str]) -> list[str]:
    """Arguments without secrets: ``--token VALUE`` and ``TOKEN=VALUE`` too. At most 200, then their number."""
    result: list[str] = []
    after_secret = False
    for arg in args[:_MAX_ARGS]:
        option = _OPTION.match(arg)
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
    return redact(re.split(r"[?#]", url, maxsplit=1)[0])


def is_telling(name: str) -> bool:
    """Whether a variable, an option or a field of this name holds a secret, going by its name."""
    folded = name.lower().translate(_FOLD)
    if folded in _TELLING_ALONE or any(word in folded for word in _TELLING):
        return True
    last = re.split(r"[-_.]", name.lower())[-1]
    return last in ("key", "pwd", "pass", "auth", "pat", "dsn")


def _redact_pair(match: re.Match[str]) -> str:
    name, between, value = match[1], match[2], match[3]
    if not is_telling(name) or value.startswith((REDACTED, f'"{REDACTED}', f"'{REDACTED}")):
        return match[0]
    # `scheme://` is no pair: nothing named `https` holds a secret, but `token://` is not one either.
    if value.startswith("//"):
        return match[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{name}{between}{quote}{REDACTED}{quote}"
