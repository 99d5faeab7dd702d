"""What two lists allow together is never more than either of them."""

import pytest

from mcp_client.network.combine import meet, meet_all, within
from mcp_client.network.rules import EVERYTHING, Rule, parse_rule


def rule(text: str) -> Rule:
    return EVERYTHING if text == "*" else parse_rule(text)


MEET = [
    ("a.example", "a.example", "a.example"),
    ("a.example", "b.example", None),
    ("a.example", "a.example:443", "a.example:443"),
    ("a.example:80", "a.example:443", None),
    ("a.example:443", "a.example:443", "a.example:443"),
    ("a.example", "tls:a.example", "tls:a.example"),
    ("a.example:443", "tls:a.example", "tls:a.example:443"),
    ("*.example", "a.example", "a.example"),
    ("*.example", "a.b.example", "a.b.example"),
    ("*.example", "a.b.example:1", "a.b.example:1"),
    ("*.example:2", "a.b.example:1", None),
    ("*.example", "*.b.example", "*.b.example"),
    ("*.example", "*.example", "*.example"),
    ("*.example.com", "example.com", None),
    ("*.example.com", "evilexample.com", None),
    ("*.example.com", "*.evilexample.com", None),
    ("tls:*.example", "a.example:443", "tls:a.example:443"),
    ("10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/16"),
    ("10.0.0.0/8", "10.1.2.3:80", "10.1.2.3:80"),
    ("10.0.0.0/8:443", "10.1.2.3", "10.1.2.3:443"),
    ("10.0.0.0/8", "11.0.0.0/8", None),
    ("8.0.0.0/7", "9.0.0.0/8", "9.0.0.0/8"),
    ("10.0.0.0/8", "2001:db8::/32", None),
    ("0.0.0.0/0", "::/0", None),
    ("10.0.0.0/8", "a.example", None),
    ("0.0.0.0/0", "a.example", None),
    # Closed ranges are in a network that lies in them, and in no wider one.
    ("0.0.0.0/0", "10.0.0.0/8", None),
    ("0.0.0.0/0", "127.0.0.1", None),
    ("0.0.0.0/0", "8.8.8.8", "8.8.8.8"),
    ("0.0.0.0/0", "0.0.0.0/0:443", "0.0.0.0/0:443"),
    ("8.0.0.0/6", "10.0.0.0/8", None),
    ("169.254.0.0/16", "169.254.169.254", None),
    ("169.254.0.0/16", "169.254.1.1", "169.254.1.1"),
    ("fc00::/7", "fd00:ec2::254", None),
    ("fc00::/7", "fd12::/16", "fd12::/16"),
    ("::/0", "::1", None),
    ("168.63.128.0/17", "168.63.129.16", None),
    ("*", "a.example:443", "a.example:443"),
    ("*", "tls:*.example", "tls:*.example"),
    ("*", "8.8.8.8", "8.8.8.8"),
    ("*", "0.0.0.0/0", "0.0.0.0/0"),
    ("*", "10.0.0.0/8", None),
    ("*", "127.0.0.1:80", None),
    ("*", "169.254.169.254", None),
    ("*", "::1", None),
    ("*", "*", "*"),
]


@pytest.mark.parametrize(("one", "other", "common"), MEET)
def test_the_rule_for_what_both_allow(one, other, common):
    found = None if common is None else rule(common)
    assert meet(rule(one), rule(other)) == found
    assert meet(rule(other), rule(one)) == found


@pytest.mark.parametrize(("one", "other", "common"), MEET)
def test_what_both_allow_lies_within_each(one, other, common):
    if common is not None:
        assert within(rule(common), rule(one))
        assert within(rule(common), rule(other))


def test_lists_meet_rule_by_rule():
    asked = [rule(text) for text in ("*.example", "b.test:80", "10.0.0.0/8", "gone.test")]
    allowed = [rule(text) for text in ("a.example", "b.example:443", "b.test", "10.9.0.0/16", "a.example")]
    shown = [str(found) for found in meet_all(asked, allowed)]
    assert shown == ["a.example", "b.example:443", "b.test:80", "10.9.0.0/16"]
    assert meet_all(asked, []) == ()
    assert meet_all([], allowed) == ()


@pytest.mark.parametrize(
    ("narrow", "wide", "holds"),
    [
        ("a.example", "a.example", True),
        ("a.example:1", "a.example", True),
        ("a.example", "a.example:1", False),
        ("a.example:1", "a.example:2", False),
        ("a.example", "*.example", True),
        ("tls:a.example", "a.example", True),
        ("*.example", "a.example", False),
        ("example", "*.example", False),
        ("*.b.example", "*.example", True),
        ("10.0.0.1", "0.0.0.0/0", True),
        ("10.0.0.0/8", "10.0.0.0/8", True),
        ("10.0.0.0/8", "10.0.0.0/9", False),
        ("10.0.0.1", "a.example", False),
        ("a.example", "10.0.0.1", False),
        ("10.0.0.1", "*", True),
        ("a.example", "*", True),
        ("*", "a.example", False),
        ("*", "0.0.0.0/0", False),
        ("*", "*", True),
    ],
)
def test_what_a_denial_covers_whole(narrow, wide, holds):
    assert within(rule(narrow), rule(wide)) is holds
