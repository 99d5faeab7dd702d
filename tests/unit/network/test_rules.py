"""A rule has one spelling, and what is misspelt is refused instead of meaning something else."""

import subprocess
import sys

import pytest

from mcp_client.network.decide import RuleSet
from mcp_client.network.rules import EVERYTHING, normal_name, parse_rule, parse_rules


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("api.example.com", "api.example.com"),
        ("API.Example.com:443", "api.example.com:443"),
        ("api.example.com.", "api.example.com"),
        ("api.example.com.:443", "api.example.com:443"),
        ("*.example.com", "*.example.com"),
        ("*.Example.com.:8443", "*.example.com:8443"),
        ("localhost", "localhost"),
        ("db.internal:5432", "db.internal:5432"),
        ("_srv.example.com", "_srv.example.com"),
        ("a--b.example", "a--b.example"),
        ("0xyz.example", "0xyz.example"),
        ("a.0xg", "a.0xg"),
        ("4chan.example:1", "4chan.example:1"),
        ("1.2.3.4.example:65535", "1.2.3.4.example:65535"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("*.B\u00dcCHER.example:80", "*.xn--bcher-kva.example:80"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("\u2603.example", "xn--n3h.example"),
        ("tls:api.example.com", "tls:api.example.com"),
        ("TLS:*.Example.com:443", "tls:*.example.com:443"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1/32", "10.0.0.1"),
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/8:443", "10.0.0.0/8:443"),
        ("127.0.0.1:11434", "127.0.0.1:11434"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("::1", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("[::1]", "::1"),
        ("[::1]:443", "[::1]:443"),
        ("[2001:db8::/32]:443", "[2001:db8::/32]:443"),
        ("[::/0]:443", "[::/0]:443"),
    ],
)
def test_rules_have_one_spelling(text, normal):
    assert str(parse_rule(text)) == normal
    assert parse_rule(normal) == parse_rule(text)


WRONG = {
    "a label between two dots is missing": [
        "", ".", "..", "*.", ".example.com", "a..b", "example.com..", "tls:", ":443", "*..a", ".:80",
    ],
    "letters, digits, hyphens and dots": [
        " ", "*", "**", "**.example.com", "a.*.com", "*example.com", "*.*.com", "ex*.com", "*:443", "tls:*",
        "user@example.com", "a b", " a", "a ", "a\tb", "a\n", "a\r\nb", "a\r\n", "a\0", "a\0.example.com",
        "example.com\0.evil.com", "example.com?x", "example.com#", "a\\.b", "a,b", "a;b", "$(x)", "${host}",
        "!example.com", "%41.com", "\x7f.com", "a\x1b[2J",
    ],
    "is no address": [
        "\uff11\uff12\uff17.0.0.1",
        "127.1", "127.0.1", "2130706433", "0x7f.0.0.1", "0x7f000001", "0X7F000001", "017700000001",
        "1.2.3.4.5",
        "256.0.0.1", "01.2.3.4", "127.0.0.01", "127.0.0.0x1", "example.1", "example.0x", "example.0x1f",
        "1", "0",
        "1.2.3.4.", "127.1.", "1:80:", "127.1:80", "*.10.0.0.1", "*.1", "*.0x7f", "10.0.0",
        "example.com/path", "example.com/24", "::1::2", ":::", "[::g]", "[::1::]:80", "a:b:c",
        "::1:80:443:::",
        "example.com:443:443", "1.2.3.4:80:80",
    ],
    "a port is 1 to 65535": [
        "example.com:", "example.com:0", "example.com:00", "example.com:65536", "example.com:99999",
        "example.com:100000", "example.com:080", "example.com:http", "example.com:-1", "example.com:+80",
        "example.com: 80", "example.com:80 ", "example.com:8_0", "example.com:0x50", "example.com:80\n",
        "example.com:\u0664\u0664\u0663", "example.com:\uff18\uff10", "example.com:\u00b2", "example.com:*",
        "example.com:80-90", "10.0.0.1:0", "10.0.0.0/8:0", "[::1]:0", "[::1]:65536", "[::1]:",
        "a:" + "9" * 200,
        "tls:tls:a", "javascript:alert", "http://example.com",
    ],
    "brackets stand around": [
        "[]", "[]:80", "[::1", "[::1]443", "[::1]x", "[::1]]:80", "[10.0.0.1]:80", "[example.com]:80", "[",
        "[:", "[:443",
    ],
    "hyphen": ["-a.example", "a-.example", "a.-", "-", "*.-a.example"],
    "a label has at most 63": ["a" * 64 + ".com", "com." + "a" * 64, "\u00fc" * 64 + ".com"],
    "a name has at most 253": [".".join(["a" * 60] * 4) + ".abcdefghij"],
    "more than 300 characters": ["a." * 200, "1" * 5000, "[" + ":" * 5000, "\u00fc." * 200],
    "has host bits set": ["10.0.0.1/8", "2001:db8::1/32", "[2001:db8::1/32]:443"],
    "a prefix is 0 to": ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/08", "::/129"],
    "zone identifier": ["fe80::1%eth0", "fe80::1%eth0/64", "[fe80::1%1]:80", "::1%"],
    "this is IPv4": ["::ffff:10.0.0.1", "[::ffff:127.0.0.1]:80", "::ffff:7f00:1", "::ffff:0:0/96"],
    "nothing can be reached": [
        "0.0.0.0", "0.0.0.0:80", "0.1.2.3", "255.255.255.255", "224.0.0.251:5353", "224.0.0.0/4", "::",
        "[::]:80",
        "ff02::1", "55.198.0.1", "55.198.0.0/16", "2e00::1", "2e00::/64",
    ],
    "before a name": ["tls:10.0.0.1", "tls:10.0.0.0/8", "tls:[::1]:443", "tls:::1", "tls:443"],
    "only look like ASCII": [
        "\u212aelvin.com", "\uff45xample.com", "\u2101.com", "a.\uff43om", "\u02b0ost.com",
        "127.0.0.\uff11", "\u2460.\u2461",
    ],
    "programs disagree": [
        "stra\u00dfe.example", "STRA\u1e9eE.example", "a\u200db\u00fc.example", "\u03c3\u03c2.example",
        "b\u00fccher\u3002example", "b\u00fc\uff0eexample", "b\u00fc\uff61example",
    ],
    "no international name": ["xn--\u00fc.example", "\ud800.example", "\u202e.example",
    "a\u0301\u05d0.example", "\u00fc" * 62 + "x"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("says", "text"), [(says, text) for says, texts in WRONG.items() for text in texts], ids=ascii
)
def test_everything_else_is_refused_with_the_forms_there_are(says, text):
    with pytest.raises(ValueError, match=r"\Aexpected host") as caught:
        parse_rule(text)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("looks_like", "text"),
    [
        ("apple.com", "\u0430pple.com"),
        ("example.com", "\u0435xample.com"),
        ("paypal.com", "p\u0430yp\u0430l.com"),
        ("google.com", "g\u03bfogle.com"),
        ("a-b.com", "a\u2010b.com"),
        ("example.com", "ex\u0430mple.\u0441om"),
    ],
)
def test_a_homograph_is_shown_as_what_it_is(looks_like, text):
    rule = parse_rule(text)
    assert rule.name.isascii()
    assert "xn--" in str(rule)
    assert not RuleSet([rule]).name_allowed(looks_like)
    assert RuleSet([rule]).name_allowed(text)


@pytest.mark.parametrize(
    ("rule", "name", "covered"),
    [
        ("example.com", "example.com", True),
        ("example.com", "api.example.com", False),
        ("example.com", "evilexample.com", False),
        ("example.com", "example.com.evil.net", False),
        ("example.com", "example.co", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.c.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "evilexample.com", False),
        ("*.example.com", "a.evilexample.com", False),
        ("*.example.com", "example.com.evil.net", False),
        ("*.com", "example.com", True),
        ("10.0.0.0/8", "10.0.0.1", False),
        ("10.0.0.0/8", "", False),
        ("0.0.0.0/0", "example.com", False),
    ],
)
def test_which_names_a_rule_covers(rule, name, covered):
    assert RuleSet([parse_rule(rule)]).name_allowed(name) is covered


def test_a_rule_without_a_port_is_about_every_port():
    assert all(parse_rule("a.example").covers_port(port) for port in (1, 22, 443, 65535))
    assert [port for port in (1, 442, 443, 444) if parse_rule("a.example:443").covers_port(port)] == [443]


def test_an_operator_may_say_everything_and_nobody_else_may():
    assert parse_rules(["*", "a.example", "A.example.", "*"]) == (EVERYTHING, parse_rule("a.example"))
    assert str(EVERYTHING) == "*"
    with pytest.raises(ValueError, match="expected host"):
        parse_rule("*")
    with pytest.raises(ValueError, match="expected host"):
        parse_rules(["*:443"])


def test_names_are_normal_only_when_they_are_names():
    assert normal_name("Api.EXAMPLE.com.") == "api.example.com"
    for text in ("", ".", "10.0.0.1", "a b", "a\0b", "*.example.com", "a.example.com..", "::1", "a:80"):
        with pytest.raises(ValueError):
            normal_name(text)


CODE = """
import sys
before = set(sys.modules)
import mcp_client.network.rules, mcp_client.network.combine, mcp_client.network.decide
from mcp_client.network.rules import parse_rule
parse_rule("api.example.com:443"), parse_rule("10.0.0.0/8"), parse_rule("2001:db8::/32")
names = "ipaddress socket dataclasses encodings.idna stringprep json"
print(*(name for name in names.split() if name in set(sys.modules) - before))
"""


def test_rules_cost_a_warm_start_no_heavy_import():
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
