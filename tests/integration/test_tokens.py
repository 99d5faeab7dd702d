"""Whose a token is, from ``mcp login`` and the environment to the registry, with nothing told on the way."""

import base64
import json
import os
import time

import pytest
from kit import programs
from kit.command import Mcp, refused
from kit.registry import Fault, Registry

PACKAGE = programs.single()
REFERENCE = PACKAGE.reference
TOKEN = "sesame-4b1d09e3f7"


def _jwt(ends: float) -> str:
    parts = ({"alg": "RS256", "typ": "JWT"}, {"sub": "somebody", "exp": int(ends)})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


def _authorizations(registry: Registry) -> set[str | None]:
    return {entry.authorization for entry in registry.log}


def test_a_token_of_the_environment_is_for_the_registry_of_the_environment(
    mcp: Mcp, registry: Registry
) -> None:
    registry.publish(PACKAGE)
    with Registry() as other:
        other.publish(PACKAGE)
        other.token = TOKEN
        env = {"MCP_REGISTRY_TOKEN": TOKEN}
        result = mcp.run("pull", REFERENCE, "--registry", other.url, env=env)
        refused(result, "unauthorized", status=1)
        assert _authorizations(other) == {None}
        assert f"mcp login --registry {other.url}" in str(result.hint)
        assert "MCP_REGISTRY_TOKEN is only for" in str(result.hint)
        # The control: the same registry and token, named by the environment.
        other.log.clear()
        assert mcp.run("pull", REFERENCE, env={**env, "MCP_REGISTRY_URL": other.url}).status == 0
        assert _authorizations(other) == {f"Bearer {TOKEN}"}
        # And the same flag, where it names no other than the environment does.
        env["MCP_REGISTRY_URL"] = other.url
        assert mcp.run("pull", "--refresh", REFERENCE, "--registry", f"{other.url}/", env=env).status == 0


def test_a_stored_token_is_for_one_registry(mcp: Mcp, registry: Registry) -> None:
    registry.publish(PACKAGE)
    registry.token = TOKEN
    with Registry() as other:
        other.publish(PACKAGE)
        assert mcp.run("login", "--token-stdin", given=TOKEN.encode()).status == 0
        assert mcp.run("pull", REFERENCE).status == 0
        assert mcp.run("pull", REFERENCE, "--registry", other.url).status == 0
        assert _authorizations(registry) == {f"Bearer {TOKEN}"}
        assert _authorizations(other) == {None}


@pytest.mark.parametrize("from_environment", [True, False])
def test_a_token_that_has_ended_meanwhile(mcp: Mcp, registry: Registry, from_environment: bool) -> None:
    registry.publish(PACKAGE)
    token = _jwt(time.time() - 3600)
    refused(mcp.run("login", "--token-stdin", given=token.encode()), "token-expired", status=1)
    env = {"MCP_REGISTRY_TOKEN": token} if from_environment else {}
    if not from_environment:
        path = os.path.join(mcp.home, "auth.json")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as opened:
            json.dump({"version": 1, "tokens": {registry.url: token}}, opened)
    result = mcp.run("--log-level", "debug", "pull", REFERENCE, env=env)
    refused(result, "token-expired", status=1)
    assert "mcp login" in str(result.hint)
    assert ("MCP_REGISTRY_TOKEN" in str(result.hint)) == from_environment
    assert token not in result.stderr
    assert registry.log == []


def test_a_token_is_told_nowhere(mcp: Mcp, registry: Registry) -> None:
    """A run with everything that speaks, at a registry that sends back what it was sent."""
    registry.publish(PACKAGE)
    registry.token = TOKEN
    echo = json.dumps({"error": TOKEN, "message": f"you sent {TOKEN}"}).encode()
    env = {"MCP_REGISTRY_TOKEN": TOKEN}
    registry.faults["bundle"] = Fault(status=403, body=echo, times=1)
    said = [
        mcp.run("--log-level", "debug", "run", REFERENCE, env=env),
        mcp.run("--log-level", "debug", "pull", "--json", REFERENCE, env=env),
        mcp.run("--log-level", "debug", "run", REFERENCE, "--", "leave", "3", env=env),
    ]
    assert [result.status for result in said] == [125, 0, 3]
    assert "you sent ***" in said[0].stderr
    for result in said:
        assert TOKEN not in result.stderr + result.stdout.decode()
    for parent, _, names in os.walk(mcp.folder):
        for name in names:
            with open(os.path.join(parent, name), "rb") as opened:
                assert TOKEN.encode() not in opened.read(), name
