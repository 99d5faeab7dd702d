"""Who decides: the manifest asks, the operator bounds and denies, the user grants; nonsense is an error."""

import pytest
from kit.bundle import manifest_form, package
from kit.command import Mcp, refused
from kit.internet import Internet, places
from kit.registry import Registry
from network import clients
from network.conftest import Host

CURL = clients.PLAIN["http"]


def policy(host: Host, text: str) -> None:
    host.configure(f"policy:\n  network:\n    {text}\n")


def reached(host: Host, *grants: str) -> tuple[bool, str]:
    options = [part for rule in grants for part in ("--allow-net", rule)]
    result = host.go(*options, CURL.reference, "--", *CURL.arguments(places.ALLOWED))
    return result.stdout.startswith(b"far"), result.stderr


@pytest.mark.parametrize(
    ("text", "open_before", "open_with_grant"),
    [
        ('allow: ["*"]', True, True),
        ('allow: ["*.reach.example"]', True, True),
        ('allow: ["*.reach.example:443"]', False, True),
        ("allow: []", False, True),
        (f'deny: ["{places.ALLOWED}"]', False, False),
        ('deny: ["*.reach.example:80"]', False, False),
        ('deny: ["*.reach.example:443"]', True, True),
        ('deny: ["11.7.0.0/24", "2d00::/16"]', False, False),
        ('deny: ["*"]', False, False),
    ],
)
def test_the_policy_of_the_operator(
    curl: Host, internet: Internet, text: str, open_before: bool, open_with_grant: bool
) -> None:
    policy(curl, text)
    came, said = reached(curl)
    assert came == open_before, said
    came, said = reached(curl, f"{places.ALLOWED}:80")
    assert came == open_with_grant, said
    assert bool(internet.seen(kind="web")) == (open_before or open_with_grant)


def test_what_the_operator_does_not_allow_is_said_before_the_start(curl: Host) -> None:
    policy(curl, "allow: []")
    _, said = reached(curl)
    assert f"stay closed without --allow-net: {places.ALLOWED}:80" in said


def test_a_denial_by_the_operator_offers_no_grant(curl: Host) -> None:
    policy(curl, 'deny: ["11.7.0.0/24", "2d00::/16"]')
    _, said = reached(curl)
    assert "the operator's policy denies " in said
    assert "--allow-net" not in said
    assert curl.network_record()[f"{places.ALLOWED}:80"]["denied"] >= 1


WRONG = """
api..reach.example *.*.example https://api.reach.example api.reach.example:0 10.0.0.1/8 127.1 * *:443
api.reach.example:http 0.0.0.0 tls:10.0.0.1
""".split()


@pytest.mark.parametrize("rule", WRONG)
def test_a_misspelt_grant(curl: Host, rule: str) -> None:
    result = curl.go("--allow-net", rule, CURL.reference, "--", *CURL.arguments(places.ALLOWED))
    refused(result, "network-refused")
    assert rule in result.message


@pytest.mark.parametrize("rule", WRONG)
def test_a_misspelt_rule_in_a_manifest(mcp: Mcp, registry: Registry, rule: str) -> None:
    form = manifest_form(CURL.reference, *CURL.command, network={"allowlist": [places.ALLOWED, rule]})
    registry.publish(package(form, clients.nothing()))
    result = mcp.run("run", CURL.reference)
    refused(result, "manifest-invalid")
    assert "network.allowlist" in result.stderr
    assert registry.requests("bundle") == []


@pytest.mark.parametrize("rule", ["api..reach.example", "10.0.0.1/8", "*:443"])
@pytest.mark.parametrize("side", ["allow", "deny"])
def test_a_misspelt_rule_in_the_policy(curl: Host, side: str, rule: str) -> None:
    policy(curl, f'{side}: ["{rule}"]')
    result = curl.run("run", CURL.reference)
    refused(result, "config-invalid")
    assert f"policy.network.{side}" in result.stderr
