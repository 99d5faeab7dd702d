"""Each connection is decided by the narrowest rule, a denial wins, and a refusal names what would help."""

import pytest

from mcp_client.network.addresses import Address, parse_address
from mcp_client.network.decide import RuleSet, Verdict
from mcp_client.network.rules import Rule, parse_rule, parse_rules


def address(text: str) -> Address:
    found = parse_address(text)
    assert found is not None, text
    return found


def rules(*allow: str, deny: tuple[str, ...] = (), bound: tuple[str, ...] | None = None, own=()) -> RuleSet:
    return RuleSet(
        map(parse_rule, allow),
        parse_rules(deny),
        bound=None if bound is None else parse_rules(bound),
        own={address(text) for text in own},
    )


def ask(given: RuleSet, destination: str, port: int = 443) -> Verdict:
    return given.decide(parse_address(destination) or destination, port)


def test_without_rules_nothing_is_allowed():
    nothing = rules()
    assert not nothing.name_allowed("example.com")
    for destination in ("example.com", "localhost", "8.8.8.8", "127.0.0.1", "::1", "169.254.169.254"):
        assert not ask(nothing, destination).allowed
        assert not nothing.check_address(address("127.0.0.1"), 443).allowed


@pytest.mark.parametrize(
    "name",
    [
        "example.com", "EXAMPLE.com", "example.com.", "api.cdn.example.org", "a.b.cdn.example.org",
        "API.CDN.example.org.",
    ],
)  # fmt: skip
def test_an_allowed_name_in_every_spelling(name):
    given = rules("example.com", "*.cdn.example.org")
    assert given.name_allowed(name)
    assert ask(given, name).allowed


@pytest.mark.parametrize(
    "name",
    [
        "evilexample.com", "example.com.evil.net", "a.example.com", "example.co", "xample.com", "com", "",
        "cdn.example.org", "evilcdn.example.org", "example.org", "cdn.example.org.evil.net", ".", "..",
        ".cdn.example.org", "a..cdn.example.org", "example.com..", "-.cdn.example.org", "*.cdn.example.org",
        "example.com\0", "\0.cdn.example.org", "example.com\0.evil.net", "a b.cdn.example.org",
        "a\r\nb.cdn.example.org", "a\\.cdn.example.org", "a/.cdn.example.org", "127.0.0.1", "127.1",
        "0x7f000001", "2130706433", "10.0.0.1.", "\u0435xample.com", "example\u3002com", "ex\u00adample.com",
        "a" * 64 + ".cdn.example.org", "a." * 130 + "cdn.example.org", "example.com:443", "tls:example.com",
        "user@example.com", "http://example.com", "[example.com]", "example.com/", "example.com%00",
    ],
)  # fmt: skip
def test_no_other_name_is(name):
    given = rules("example.com", "*.cdn.example.org")
    assert not given.name_allowed(name)
    assert not given.decide(name, 443).allowed


def test_ports_are_those_of_the_rule():
    given = rules("db.internal:5432", "any.example", "10.0.0.0/8:22", "[2001:4860::/32]:443")
    assert given.name_allowed("db.internal")
    assert [port for port in (1, 443, 5432, 5433) if ask(given, "db.internal", port).allowed] == [5432]
    ports = (-1, 0, 1, 65535, 65536, 5432 + 65536)
    assert [port for port in ports if ask(given, "any.example", port).allowed] == [1, 65535]
    assert ask(given, "10.9.9.9", 22).allowed
    assert not ask(given, "10.9.9.9", 23).allowed
    assert ask(given, "2001:4860::1").allowed
    assert not ask(given, "2001:4860::1", 80).allowed


@pytest.mark.parametrize(
    ("destination", "port", "deciding"),
    [
        ("api.example.com", 443, "api.example.com:443"),
        ("api.example.com", 80, "api.example.com"),
        ("a.cdn.example.com", 443, "tls:*.cdn.example.com"),
        ("b.example.com", 443, "*.example.com"),
        ("both.example.com", 443, "tls:both.example.com"),
        ("10.1.2.3", 443, "10.1.2.3"),
        ("10.1.9.9", 443, "10.1.0.0/16"),
        ("10.9.9.9", 443, "10.0.0.0/8"),
        ("8.8.8.8", 443, "0.0.0.0/0:443"),
        ("8.8.8.8", 80, "0.0.0.0/0"),
    ],
)
def test_the_narrowest_rule_decides(destination, port, deciding):
    given = rules(
        "*.example.com", "api.example.com", "api.example.com:443", "tls:*.cdn.example.com",
        "both.example.com",
        "tls:both.example.com", "0.0.0.0/0", "0.0.0.0/0:443", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3",
    )  # fmt: skip
    assert str(ask(given, destination, port).rule) == deciding


def test_a_denial_wins_over_everything():
    given = rules(
        "*.example.com", "api.example.com:443", "0.0.0.0/0", "10.0.0.0/8", "10.1.2.3", "mail.test",
        deny=("*.example.com", "10.1.0.0/16", "mail.test:25", "8.8.8.8"),
    )  # fmt: skip
    for destination in ("api.example.com", "x.example.com", "10.1.2.3", "10.1.9.9", "8.8.8.8"):
        verdict = ask(given, destination)
        assert not verdict.allowed
        assert verdict.reason.startswith("the operator's policy denies ")
        assert verdict.grant is None, "no grant stands above a denial"
    assert not given.name_allowed("api.example.com")
    assert ask(given, "10.2.0.1").allowed
    assert given.name_allowed("mail.test")
    assert ask(given, "mail.test").allowed
    assert not ask(given, "mail.test", 25).allowed


def test_a_denied_network_is_closed_to_names_and_through_tunnels():
    given = rules("example.com", "::/0", deny=("203.0.112.0/24", "2a00:1::/32"))
    for text in ("203.0.112.9", "::ffff:203.0.112.9", "64:ff9b::203.0.112.9", "2a00:1::1"):
        assert given.check_address(address(text), 443).reason.startswith("the operator's policy denies")
    assert not ask(given, "64:ff9b::203.0.112.9").allowed
    assert given.check_address(
        address("203.0.113.0").__class__(32, address("203.0.112.0").number - 1), 443
    ).allowed


def test_everything_can_be_denied():
    given = rules("example.com", "8.8.8.8", "127.0.0.1", deny=("*",))
    assert not given.name_allowed("example.com")
    for destination in ("example.com", "8.8.8.8", "127.0.0.1"):
        assert not ask(given, destination).allowed
    assert not given.check_address(address("8.8.8.8"), 443).allowed


def test_a_name_whose_only_port_is_denied_is_not_answered_for():
    assert not rules("mail.test:25", deny=("mail.test:25",)).name_allowed("mail.test")
    assert not rules("mail.test:25", deny=("mail.test",)).name_allowed("mail.test")
    assert rules("mail.test:25", deny=("mail.test:26",)).name_allowed("mail.test")
    assert rules("mail.test:25", "mail.test:587", deny=("mail.test:25",)).name_allowed("mail.test")


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.0.0.53", "10.0.0.1", "192.168.1.1", "169.254.169.254", "168.63.129.16", "0.0.0.0",
        "100.64.0.1", "55.198.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd12::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "203.0.112.9",
    ],
)  # fmt: skip
def test_a_name_leads_to_no_closed_address_however_wide_the_rules_are(text):
    given = rules("rebind.example", "0.0.0.0/0", "::/0", own=("203.0.112.9",))
    assert ask(given, "rebind.example").allowed
    assert not given.check_address(address(text), 443).allowed
    assert not ask(given, text).allowed
    assert given.check_address(address("8.8.8.8"), 443).allowed


def test_a_closed_address_of_a_name_needs_a_rule_of_its_own_for_that_port():
    given = rules("db.internal", "10.0.0.0/8:5432", "127.0.0.1:8080", own=("10.0.0.7",))
    assert given.check_address(address("10.1.2.3"), 5432).allowed
    assert given.check_address(address("127.0.0.1"), 8080).allowed
    for text, port in (("10.1.2.3", 5433), ("127.0.0.1", 8081), ("127.0.0.2", 8080), ("10.0.0.7", 5432)):
        verdict = given.check_address(address(text), port)
        assert not verdict.allowed
        assert verdict.grant == f"--allow-net {text}:{port}"


@pytest.mark.parametrize(
    ("destination", "port", "grant"),
    [
        ("Other.example.", 443, "--allow-net other.example:443"),
        ("b\u00fccher.example", 80, "--allow-net xn--bcher-kva.example:80"),
        ("8.8.8.8", 53, "--allow-net 8.8.8.8:53"),
        ("2606:4700::1111", 443, "--allow-net [2606:4700::1111]:443"),
        ("127.0.0.1", 5432, "--allow-net 127.0.0.1:5432"),
        ("169.254.169.254", 80, "--allow-net 169.254.169.254:80"),
        ("0.0.0.0", 80, None),
        ("55.198.0.9", 80, None),
        ("ff02::1", 80, None),
        ("64:ff9b::127.0.0.1", 80, None),
        ("other.example", 0, None),
        ("no name", 80, None),
    ],
)
def test_the_grant_that_is_named_is_the_grant_that_works(destination, port, grant):
    verdict = ask(rules("example.com"), destination, port)
    assert not verdict.allowed
    assert verdict.reason
    assert verdict.grant == grant
    if grant:
        granted = rules("example.com", grant.removeprefix("--allow-net "))
        assert ask(granted, destination, port).allowed


def test_no_grant_is_named_that_the_machines_policy_would_refuse():
    given = rules("a.example", bound=("*.example", "10.0.0.0/8"))
    assert ask(given, "b.example").grant == "--allow-net b.example:443"
    assert ask(given, "b.test").grant is None
    assert ask(given, "10.0.0.1").grant == "--allow-net 10.0.0.1:443"
    assert ask(given, "127.0.0.1").grant is None
    assert ask(rules(bound=("*",)), "10.0.0.1").grant is None
    assert ask(rules(bound=()), "b.example").grant is None


def test_reasons_are_told_in_words():
    given = rules("0.0.0.0/0", own=("203.0.112.9",))
    assert ask(given, "a.example").reason == "no rule allows it"
    assert ask(given, "2606:4700::1").reason == "no rule allows it"
    assert ask(given, "10.0.0.1").reason == "10.0.0.1 is closed (a private network)"
    assert ask(given, "203.0.112.9").reason == "203.0.112.9 is closed (this machine itself)"
    assert ask(given, "a.example", 0).reason == "there is no such port"


def test_ten_thousand_rules_are_looked_up_by_name():
    many = RuleSet(Rule(f"h{number}.example") for number in range(10_000))
    assert many.name_allowed("h9999.example")
    assert not many.name_allowed("h10000.example")
