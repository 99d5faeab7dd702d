"""What a warm start reads by hand is read as by the patterns that say what it is."""

import random
import re
from fnmatch import fnmatchcase

import pytest

from mcp_client import reference
from mcp_client.audit.redact import _last_word
from mcp_client.config import values
from mcp_client.digest import parse_digest
from mcp_client.errors import MCPError
from mcp_client.manifest.constraint import _parse
from mcp_client.manifest.expand import _pieces
from mcp_client.policy.environment import _fits

COUNT = 1500


def texts(*pieces, most=8, seed=1):
    """Texts of a few pieces each, the same in every run."""
    chance = random.Random(seed)
    return ["".join(chance.choices(pieces, k=chance.randint(0, most))) for _ in range(COUNT)]


def outcome(function, *given):
    """What it returns, or the kind of failure."""
    try:
        return function(*given)
    except (MCPError, ValueError) as error:
        return type(error), str(error)


def same(function, other, samples):
    """Compare, and look that both kinds of answer occurred."""
    answers = [function(sample) for sample in samples]
    assert answers == [other(sample) for sample in samples]
    assert len(set(map(repr, answers))) > 1


def test_references(monkeypatch):
    samples = texts("a", "9", "-", ".", "/", "@", "1", "0", "A", "@1.2.3", "ab/c@", "01", "٣", " ", most=7)
    samples += ["a" * 128 + "/b@1.2.3", "a" * 129 + "/b@1.2.3", "a/" + "b" * 128 + "@1.0.0", "a/b@1.2.3\n"]
    samples += [f"a/b@{'9' * length}.0.0" for length in (1, 400, 600)]
    quick = [outcome(reference.parse_reference, text) for text in samples]
    assert any(reference._plain(text) for text in samples)
    monkeypatch.setattr(reference, "_plain", lambda _: None)
    assert quick == [outcome(reference.parse_reference, text) for text in samples]


def test_registries(monkeypatch):
    samples = texts(
        "https://", "http://", "a.b", ":", "443", "80", "/", "x", "?", "@", "A", "..", " ", "%", "٣", most=6
    )
    samples += [
        "https://" + "a" * 2040,
        "https://" + "a" * 2041,
        "http://h:99999/p/",
        "file:///x",
        "https://[::1]:8/x",
    ]
    quick = [outcome(values.registry_url, text) for text in samples]
    assert any(values._plain_registry(text) for text in samples)
    monkeypatch.setattr(values, "_plain_registry", lambda _: None)
    assert quick == [outcome(values.registry_url, text) for text in samples]


def test_digests():
    pattern = re.compile(r"sha256:([0-9a-f]{64})\Z")
    half = "0123456789abcdef" * 2
    samples = texts("sha256:", half, half, "a", "A", "\n", "/", most=4)
    same(
        lambda text: not isinstance(outcome(parse_digest, text)[0], type),
        lambda text: bool(pattern.match(text)),
        samples,
    )


def test_constraints():
    pattern = re.compile(r"(>=|<=|==|!=|~=|>|<)\s*([0-9]{1,9}(?:\.[0-9]{1,9}){0,3})(\.\*)?")

    def by_pattern(text):
        match = pattern.fullmatch(text.strip())
        if (
            match is None
            or (match[3] and match[1] not in {"==", "!="})
            or (match[1] == "~=" and "." not in match[2])
        ):
            return None
        return match[1], tuple(map(int, match[2].split("."))), bool(match[3])

    def by_hand(text):
        found = outcome(_parse, text, text)
        return None if found[0] is MCPError else found

    same(
        by_hand,
        by_pattern,
        texts("=", "==", ">=", "<", "~=", "!=", "3", ".", "11", ".*", " ", "*", "1" * 9, "٣"),
    )


def test_variables():
    pattern = re.compile(r"\$\$\{|\$\{([^{}]{0,128}\})?")

    def by_pattern(text):
        found, at, plain = [], 0, ""
        for match in pattern.finditer(text):
            plain += text[at : match.start()]
            at = match.end()
            if match[0] == "$${":
                plain += "${"
            elif match[1] is None:
                return None
            else:
                found.append((plain, match[1][:-1]))
                plain = ""
        return [*found, (plain + text[at:], None)]

    def by_hand(text):
        try:
            return list(_pieces(text))
        except MCPError:
            return None

    samples = texts("$", "{", "}", "${", "a", "${bundle}", "$${", "x" * 64)
    same(by_hand, by_pattern, [*samples, "${" + "x" * 128 + "}", "${" + "x" * 129 + "}"])


def test_last_words():
    same(
        _last_word,
        lambda text: re.split(r"[-_.]|(?<=[a-z0-9])(?=[A-Z])", text)[-1],
        texts("a", "B", "-", "_", ".", "9", "É", "é"),
    )


@pytest.mark.parametrize("pattern", ["A*", "*", "AB", "", "A*B*", "A?", "[AB]*", "*A", "A["])
def test_names_of_variables(pattern):
    names = texts("A", "B", "*", "[", "?", most=4)
    assert [_fits(name, pattern) for name in names] == [fnmatchcase(name, pattern) for name in names]
