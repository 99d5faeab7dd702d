"""Clients as they are reach the host that is allowed, and no other one until it is granted."""

import shutil

import pytest
from kit.internet import Internet, places
from network.clients import CLIENTS, Client
from network.conftest import Host

GRANT = " (to allow it: "


@pytest.mark.parametrize("client", CLIENTS, ids=[client.name for client in CLIENTS])
def test_a_client(host: Host, internet: Internet, client: Client) -> None:
    if client.needs and shutil.which(client.needs) is None:
        pytest.skip(f"no {client.needs} on this machine")
    host.pull(client.package())
    reaches(host, client, places.ALLOWED)
    grant = is_refused(host, client, places.OTHER)
    assert not internet.seen(host=places.OTHER)
    assert not internet.seen(name=places.OTHER)
    reaches(host, client, places.OTHER, *grant)


def reaches(host: Host, client: Client, name: str, *grants: str) -> None:
    """It succeeds, and the audit log says how often and how much."""
    result = host.go(*grants, client.reference, "--", *client.arguments(name))
    assert result.status == 0, result
    assert client.says.format(host=name) in result.stdout.decode(), result
    assert "network:" not in result.stderr
    record = host.network_record()
    if client.lookup:
        assert record == {}
        return
    entry = record.pop(f"{name}:{places.PORTS[client.port]}")
    assert record == {}
    assert entry["allowed"] >= 1
    assert min(entry["sent"], entry["received"]) > 20
    assert set(entry) == {"allowed", "sent", "received"}


def is_refused(host: Host, client: Client, name: str) -> list[str]:
    """It fails, and the one line about it says how to allow it: these words."""
    result = host.go(client.reference, "--", *client.arguments(name))
    assert client.says.format(host=name) not in result.stdout.decode(), result
    lines = [line for line in result.stderr.splitlines() if "network:" in line]
    assert len(lines) == 1, result
    assert f"{name} denied: no rule allows it{GRANT}--allow-net {name})" in lines[0]
    record = host.network_record()
    assert list(record) == [name]
    assert record[name]["denied"] >= 1
    assert not {"allowed", "sent", "received"} & set(record[name])
    return lines[0].partition(GRANT)[2].removesuffix(")").split()
