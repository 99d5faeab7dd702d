"""A proxy of the host's is how the supervisor dials, and no way around the rules."""

import pytest
from kit.internet import Internet, places
from network import clients
from network.conftest import Host

CURL = clients.PLAIN["https"]
TARGET = f"{places.ALLOWED}:443"
URL = f"http://{places.PROXY[0]}:{places.PROXY[1]}"


def reached(host: Host, name: str, *grants: str, **env: str) -> tuple[bool, str]:
    result = host.go(*grants, CURL.reference, "--", *CURL.arguments(name), env=env)
    return result.stdout.startswith(b"far"), result.stderr


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_it_is_used(curl: Host, internet: Internet, variable: str) -> None:
    came, said = reached(curl, places.ALLOWED, **{variable: URL})
    assert came, said
    (seen,) = internet.seen(kind="proxy")
    assert (seen["method"], seen["target"], seen["user"]) == ("CONNECT", TARGET, None)
    assert curl.network_record()[TARGET]["received"] > 20


def test_it_is_told_who_the_user_is(curl: Host, internet: Internet) -> None:
    came, said = reached(curl, places.ALLOWED, HTTPS_PROXY=URL.replace("//", "//me:my%20word@"))
    assert came, said
    assert internet.seen(kind="proxy")[0]["user"] == "Basic bWU6bXkgd29yZA=="


@pytest.mark.parametrize("exceptions", ["*", "reach.example", f"x,{TARGET}", ".reach.example"])
def test_what_goes_without_it(curl: Host, internet: Internet, exceptions: str) -> None:
    came, said = reached(curl, places.ALLOWED, HTTPS_PROXY=URL, NO_PROXY=exceptions)
    assert came, said
    assert internet.seen(kind="proxy") == []


def test_it_does_not_widen_the_rules(curl: Host, internet: Internet) -> None:
    came, said = reached(curl, places.OTHER, HTTPS_PROXY=URL)
    assert not came
    assert f"(to allow it: --allow-net {places.OTHER})" in said
    assert internet.seen() == []
    came, said = reached(curl, places.OTHER, "--allow-net", places.OTHER, HTTPS_PROXY=URL)
    assert came, said
    assert [seen["target"] for seen in internet.seen(kind="proxy")] == [f"{places.OTHER}:443"]


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:3128", "http://127.0.0.1:9", "http://"])
def test_there_is_no_way_around_one_that_does_not_work(curl: Host, internet: Internet, url: str) -> None:
    came, said = reached(curl, places.ALLOWED, HTTPS_PROXY=url)
    assert not came, said
    assert internet.seen(kind="web") == []
    entry = curl.network_record()[TARGET]
    assert entry["failed"] >= 1
    assert entry["reason"]
    assert reached(curl, places.ALLOWED)[0]
