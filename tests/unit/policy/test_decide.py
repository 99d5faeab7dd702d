"""The effective policy is what the manifest asks for within what the operator allows, plus grants."""

import pytest

from mcp_client.config.settings import ExecutorSettings, PolicySettings
from mcp_client.errors import MCPError
from mcp_client.manifest.model import Manifest, Resources
from mcp_client.policy.decide import Grants, decide
from mcp_client.policy.model import DEFAULT_LIMITS, HIGHEST_LIMITS, Folder, NetworkPolicy, Policy

MANIFEST = Manifest("acme/tool", "1.0.0", "", "", "", {}, "stdio")
HOST = {"API_KEY": "k", "TOKEN": "t"}


def _decide(
    manifest: Manifest = MANIFEST,
    grants: Grants = Grants({}, ()),
    operator: PolicySettings = PolicySettings(),
    caps: ExecutorSettings = ExecutorSettings(),
) -> Policy:
    return decide(manifest, grants, operator=operator, caps=caps, host_environment=HOST)


def test_a_silent_manifest_gets_the_defaults_and_nothing_else() -> None:
    assert _decide() == Policy({}, False, DEFAULT_LIMITS, (), ())


def test_the_operator_caps_limits_and_never_raises_them() -> None:
    asked = MANIFEST._replace(
        resources=Resources(memory_mb=2048, cpu_millicores=100, max_processes=5, max_fds=2000)
    )
    limits = _decide(asked, caps=ExecutorSettings(max_memory=1 << 30, max_cpu=500, max_fds=1000)).limits
    assert (limits.memory, limits.cpu, limits.processes, limits.files) == (1 << 30, 100, 5, 1000)


def test_a_manifest_cannot_ask_for_more_than_there_is_unless_the_operator_says_so() -> None:
    greedy = MANIFEST._replace(
        resources=Resources(memory_mb=10**8, cpu_millicores=10**9, max_processes=4_194_304, max_fds=1 << 20)
    )
    assert _decide(greedy).limits == HIGHEST_LIMITS
    assert _decide(greedy, caps=ExecutorSettings(max_memory=16 << 30)).limits.memory == 16 << 30


def test_children_need_both_the_manifest_and_the_operator() -> None:
    asking = MANIFEST._replace(subprocess=True)
    assert _decide(asking).subprocess
    assert not _decide(asking, operator=PolicySettings(subprocess=False)).subprocess
    assert not _decide(MANIFEST).subprocess


def test_denials_of_manifest_and_operator_add_up_and_a_grant_stands_above() -> None:
    asking = MANIFEST._replace(allowed_env=("API_KEY", "TOKEN"), denied_env=("TOK*",))
    assert _decide(asking).environment == {"API_KEY": "k"}
    operator = PolicySettings(environment_deny=("API_*",))
    assert _decide(asking, operator=operator).environment == {}
    assert _decide(asking, Grants({"TOKEN": "mine"}, ()), operator).environment == {"TOKEN": "mine"}
    with pytest.raises(MCPError, match="operator") as caught:
        _decide(asking, Grants({"API_KEY": "mine"}, ()), operator)
    assert caught.value.code == "env-refused"


def test_hosts_need_the_manifest_or_a_grant_and_the_operator() -> None:
    asking = MANIFEST._replace(network=("api.example.com", "10.0.0.0/8"))
    record = _decide(
        asking, Grants({}, (), ("127.0.0.1:80",)), PolicySettings(network_deny=("*.test",))
    ).to_record()
    assert record["network"] == ["api.example.com", "127.0.0.1:80"]
    assert record["network_denied"] == ["*.test"]
    assert record["network_closed"] == ["10.0.0.0/8"]
    assert _decide(asking, operator=PolicySettings(network_allow=())).network.allow == ()
    with pytest.raises(MCPError) as caught:
        _decide(grants=Grants({}, (), ("a.test",)), operator=PolicySettings(network_deny=("*.test",)))
    assert caught.value.code == "network-refused"


def test_without_a_host_to_decide_about_no_rule_is_kept() -> None:
    assert _decide(operator=PolicySettings(network_deny=("*.test",))).network == NetworkPolicy()


def test_the_record_holds_no_value() -> None:
    policy = _decide(grants=Grants({"API_KEY": "very secret"}, (Folder("/a", "/b", True),)))
    assert "very secret" not in str(policy.to_record())
    assert policy.to_record()["environment"] == ["API_KEY"]
    assert policy.to_record()["folders"] == ["/a:/b:rw"]
