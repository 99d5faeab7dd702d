"""Which names lead where: resolvers, families, aliases and addresses that are closed to names."""

import time

import pytest
from kit.internet import Internet, places
from network import clients
from network.conftest import Host

CURL = clients.PLAIN["http"]


def fetch(host: Host, url: str, *grants: str) -> tuple[str, str]:
    """What curl printed, and what was said about the network."""
    options = [part for rule in grants for part in ("--allow-net", rule)]
    result = host.go(*options, CURL.reference, "--", url)
    notices = [line for line in result.stderr.splitlines() if "network:" in line]
    return result.stdout.decode(), "\n".join(notices)


def side(text: str) -> str:
    """The machine that answered, if one did."""
    return text.partition(" ")[0]


@pytest.mark.parametrize("family", ["v4", "v6", "half", "alias", "filed"])
def test_hosts_of_every_kind(curl: Host, internet: Internet, family: str) -> None:
    """One family, both of which one never answers, an alias, and a name of the hosts file alone."""
    name = f"{family}.reach.example"
    began = time.monotonic()
    said, notices = fetch(curl, f"http://{name}/{family}", name)
    assert said == f"far greets {name}\n", notices
    assert time.monotonic() - began < 9
    assert notices == ""
    assert [line["path"] for line in internet.seen(kind="web")] == [f"/{family}"]


@pytest.mark.parametrize("flag", ["-4", "-6"])
@pytest.mark.parametrize("family", ["v4", "v6"])
def test_the_family_inside_is_not_the_one_outside(curl: Host, family: str, flag: str) -> None:
    name = f"{family}.reach.example"
    result = curl.go("--allow-net", name, CURL.reference, "--", flag, f"http://{name}/")
    assert result.stdout == f"far greets {name}\n".encode(), result


def test_a_resolver_on_this_machine(curl: Host, internet: Internet) -> None:
    """As systemd-resolved has it; its address means nothing inside."""
    internet.resolve_by("127.0.0.53")
    try:
        said, notices = fetch(curl, f"http://{places.ALLOWED}/")
    finally:
        internet.resolve_by(places.RESOLVER)
    assert side(said) == "far", notices
    assert {line["at"] for line in internet.seen(kind="dns")} == {"127.0.0.53"}


@pytest.mark.parametrize("spelling", [places.ALLOWED.upper(), f"{places.ALLOWED}."])
def test_spellings_of_an_allowed_name(curl: Host, spelling: str) -> None:
    said, notices = fetch(curl, f"http://{spelling}/")
    assert side(said) == "far", notices


@pytest.mark.parametrize(
    "name",
    [
        "reach.example",
        "evilapi.reach.example",
        f"{places.ALLOWED}.other.example",
        "secret-in-a-name.other.example",
        "xn--api-.reach.example",
    ],
)
def test_nobody_is_asked_for_other_names(curl: Host, internet: Internet, name: str) -> None:
    said, notices = fetch(curl, f"http://{name}/")
    assert said == ""
    assert f"{name} denied" in notices
    assert internet.seen() == []
    # And the one that is allowed is looked up only when something connects.
    assert side(fetch(curl, f"http://{places.ALLOWED}/")[0]) == "far"
    assert {line["name"] for line in internet.seen(kind="dns")} == {places.ALLOWED}


def test_names_below_a_host(curl: Host) -> None:
    rule = "*.reach.example:80"
    assert side(fetch(curl, "http://v4.reach.example/", rule)[0]) == "far"
    said, notices = fetch(curl, "http://reach.example/", rule)
    assert said == ""
    assert "(to allow it: --allow-net reach.example)" in notices


def test_another_port_of_an_allowed_host(curl: Host) -> None:
    url, grant = f"https://{places.ALLOWED}/", f"{places.ALLOWED}:443"
    said, notices = fetch(curl, url)
    assert said == ""
    assert notices.endswith(f"(to allow it: --allow-net {grant})")
    assert notices.count("\n") == 0
    assert curl.network_record()[grant]["denied"] >= 1
    assert side(fetch(curl, url, grant)[0]) == "far"


CLOSED = {
    "private": (places.PRIVATE_V4, "a private network", "far"),
    "self": ("127.0.0.1", "this machine itself", "near"),
    "near": (places.NEAR_V4, "this machine itself", "near"),
}


@pytest.mark.parametrize("kind", CLOSED)
def test_a_name_that_leads_to_a_closed_address(curl: Host, internet: Internet, kind: str) -> None:
    address, why, answers = CLOSED[kind]
    name = f"{kind}.reach.example"
    said, notices = fetch(curl, f"http://{name}/", name)
    assert said == ""
    assert f"{address} is closed ({why})" in notices
    assert internet.seen(kind="web") == []
    grant = notices.partition("--allow-net ")[2].removesuffix(")")
    assert grant == f"{address}:80"
    assert side(fetch(curl, f"http://{name}/", name, grant)[0]) == answers


def test_a_name_without_an_address(curl: Host) -> None:
    """Allowed, and yet not there: it fails at once, and is no denial."""
    name = "nothing.reach.example"
    said, notices = fetch(curl, f"http://{name}/", name)
    assert said == ""
    assert "denied" not in notices
    entry = curl.network_record()[f"{name}:80"]
    assert entry["failed"] >= 1
    assert entry["reason"]


def test_a_rule_that_asks_for_tls(curl: Host, internet: Internet) -> None:
    """To that very name, whatever the connection was made for."""
    name, rule = "v4.reach.example", "tls:v4.reach.example"
    said, notices = fetch(curl, f"http://{name}/", rule)
    assert said == ""
    assert f"{name}:80 denied: this is no TLS" in notices
    assert curl.network_record()[f"{name}:80"]["denied"] == 1
    for asked, arrives in ((name, True), ("v6.reach.example", False)):
        options = ["-k", "--connect-to", f"{asked}:443:{name}:443", f"https://{asked}/"]
        result = curl.go("--allow-net", rule, CURL.reference, "--", *options)
        assert (side(result.stdout.decode()) == "far") == arrives, result
        assert ("denied: the TLS connection is for another host" in result.stderr) != arrives
    assert {line["host"] for line in internet.seen(kind="web")} == {name}


@pytest.mark.parametrize("address", [places.FAR_V4, places.FAR_V6])
def test_an_address_takes_a_rule_of_its_own(curl: Host, address: str) -> None:
    """Even one that an allowed name leads to."""
    shown = f"[{address}]" if ":" in address else address
    said, notices = fetch(curl, f"http://{shown}/")
    assert said == ""
    grant = notices.partition("--allow-net ")[2].removesuffix(")")
    assert grant == f"{shown}:80"
    assert side(fetch(curl, f"http://{shown}/", grant)[0]) == "far"


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_loopback_is_the_servers_own_until_it_is_granted(
    curl: Host, internet: Internet, address: str
) -> None:
    url = f"http://{address}/"
    assert fetch(curl, url) == ("", "")
    assert curl.network_record() == {}
    assert fetch(curl, url, places.ALLOWED, "11.0.0.0/8", "2000::/3") == ("", "")
    assert internet.seen() == []
    said, notices = fetch(curl, url, f"{address}:80")
    assert side(said) == "near", notices
    assert curl.network_record()[f"{address}:80"]["allowed"] == 1
