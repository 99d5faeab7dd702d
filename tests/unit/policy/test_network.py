"""Hosts: what the manifest asks for within the operator's list, plus grants within the machine's file."""

import pytest

from mcp_client.config.settings import PolicySettings
from mcp_client.errors import MCPError
from mcp_client.network.decide import RuleSet
from mcp_client.policy.model import NetworkPolicy
from mcp_client.policy.network import decide_network


def decided(asked=(), granted=(), **operator) -> tuple[NetworkPolicy, tuple[str, ...]]:
    return decide_network(asked, granted, PolicySettings(**operator))


def opened(*arguments, **operator) -> list[str]:
    return [str(rule) for rule in decided(*arguments, **operator)[0].allow]


def refused(granted: str, **operator) -> MCPError:
    with pytest.raises(MCPError) as caught:
        decided((), (granted,), **operator)
    error = caught.value
    assert error.code == "network-refused"
    assert error.message.startswith("--allow-net ")
    assert error.message.isprintable()
    assert error.hint
    return error


def test_a_manifest_gets_the_names_and_public_addresses_it_asks_for():
    asked = ["api.example.com", "*.cdn.example.com", "db.internal:5432", "8.8.8.0/24:53", "tls:a.example"]
    assert decided(asked)[1] == ()
    assert opened(asked) == asked


@pytest.mark.parametrize(
    "entry",
    [
        "10.0.0.0/8", "10.1.2.3:5432", "127.0.0.1:631", "127.0.0.0/8", "::1", "192.168.1.1:80", "172.17.0.1",
        "169.254.169.254", "169.254.0.0/16", "168.63.129.16:80", "fc00::/7", "fe80::/10", "100.64.0.0/10",
    ],
)  # fmt: skip
def test_a_manifests_word_alone_opens_no_closed_address(entry):
    policy, closed = decided([entry, "api.example.com"])
    assert closed == (entry,)
    assert [str(rule) for rule in policy.allow] == ["api.example.com"]
    assert opened([entry], [entry]) == [entry], "a grant does"
    assert opened([entry], network_allow=("*", entry)) == [entry], "and so does the operator's list"
    assert opened([entry], network_allow=("*", "0.0.0.0/0", "::/0")) == []


def test_all_of_the_internet_is_not_this_machine_and_its_neighbours():
    policy, closed = decided(["0.0.0.0/0", "::/0"])
    rules = RuleSet(policy.allow, policy.deny, bound=policy.bound)
    assert closed == ()
    assert [str(rule) for rule in policy.allow] == ["0.0.0.0/0", "::/0"]
    assert not rules.name_allowed("example.com")


def test_the_operators_list_narrows_what_manifests_get():
    asked = ["*.example.com", "api.other.test", "10.0.0.0/8"]
    allow = ("api.example.com:443", "*.other.test", "10.20.0.0/16:5432")
    assert opened(asked, network_allow=allow) == [
        "api.example.com:443", "api.other.test", "10.20.0.0/16:5432",
    ]  # fmt: skip
    assert decided(asked, network_allow=())[1] == tuple(asked)
    assert decided(["evilexample.com"], network_allow=("*.example.com", "example.com"))[1] == (
        "evilexample.com",
    )


def test_a_denial_stands_above_manifests_and_grants():
    deny = ("*.example.com", "10.0.0.0/8", "mail.test:25")
    policy, closed = decided(["api.example.com", "mail.test", "mail.test:25"], network_deny=deny)
    assert closed == ("api.example.com",)
    assert [str(rule) for rule in policy.allow] == ["mail.test"]
    assert [str(rule) for rule in policy.deny] == list(deny)
    for granted in (
        "api.example.com",
        "API.example.com.:443",
        "*.a.example.com",
        "10.1.2.3:80",
        "mail.test:25",
    ):
        assert "the operator's policy denies" in refused(granted, network_deny=deny).message
    assert opened((), ("example.com", "mail.test"), network_deny=deny) == ["example.com", "mail.test"]
    assert "denies *" in refused("example.com", network_deny=("*",)).message


def test_a_grant_stands_above_the_users_own_list_and_below_the_machines():
    assert opened((), ("api.test",), network_allow=()) == ["api.test"]
    bound = ("*.example.com", "10.0.0.0/8")
    assert opened((), ("api.example.com", "10.1.0.0/16:22"), network_bound=bound) == [
        "api.example.com", "10.1.0.0/16:22",
    ]  # fmt: skip
    for granted in ("example.com", "evil.test", "11.0.0.1", "127.0.0.1", "0.0.0.0/0", "::/0"):
        assert "policy file" in refused(granted, network_bound=bound).message
    assert "policy file" in refused("example.com", network_bound=()).message
    assert "policy file" in refused("10.0.0.1", network_bound=("*",)).message
    assert opened((), ("*.com", "a.b"), network_bound=("*.x.com", "a.b:1")) == ["*.x.com", "a.b:1"]


def test_the_machines_list_binds_manifests_too():
    asked = ["a.example.com", "b.test", "10.0.0.1"]
    policy, closed = decided(asked, network_bound=("*.example.com", "10.0.0.0/8"))
    assert [str(rule) for rule in policy.allow] == ["a.example.com"]
    assert closed == ("b.test", "10.0.0.1")
    assert opened(["tls:a.test"], network_bound=("a.test:443",)) == ["tls:a.test:443"]
    assert opened(["a.test"], network_bound=("tls:a.test",)) == ["tls:a.test"]


def test_what_a_grant_opens_is_not_told_as_closed():
    assert decided(["10.0.0.0/8", "192.168.0.0/16"], ("10.1.0.0/16",))[1] == ("192.168.0.0/16",)


def test_the_grant_a_refusal_names_is_one_that_is_accepted():
    operator = {"network_bound": ("*.example.com", "127.0.0.1"), "network_deny": ("x.example.com",)}
    policy, _ = decided(["a.example.com:443"], **operator)
    rules = RuleSet(policy.allow, policy.deny, bound=policy.bound)
    grant = rules.decide("b.example.com", 443).grant
    assert grant == "--allow-net b.example.com:443"
    assert opened((), (grant.removeprefix("--allow-net "),), **operator) == ["b.example.com:443"]
    for name in ("x.example.com", "other.test"):
        assert rules.decide(name, 443).grant is None
        refused(f"{name}:443", **operator)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a label"),
        ("*", "* stands only before the first dot"),
        ("http://example.com", "a port is 1 to 65535"),
        ("example.com/path", "no address"),
        ("127.1", "no address"),
        ("0.0.0.0:80", "nothing can be reached there"),
        ("example.com:0", "a port is"),
        ("a\x1b[2Jb", "letters, digits"),
        ("a" * 5000, "characters"),
    ],
)
def test_a_misspelt_grant_is_told_what_is_wrong(text, says):
    error = refused(text)
    assert says in error.message
    assert "*.host" in error.hint
    assert len(error.message) < 250


def test_a_long_manifest_meets_a_long_list():
    asked = [f"h{number}.a.test" for number in range(1000)]
    allow = tuple(f"*.b{number}.test" for number in range(300))
    assert decided(asked, network_allow=allow)[1] == tuple(asked)
