"""Real servers that use the network, each driven by an official client through ``mcp run``."""

import functools
import json
import os
from typing import Any

import pytest
from kit import authority, sdks, servers
from kit.bundle import Package, manifest_form, package
from kit.command import EXECUTABLE
from kit.internet import Internet, places
from network import clients
from network.conftest import Host

TARGET = f"{places.ALLOWED}:443"


def session(host: Host, client: str, *args: str, calls: list[tuple[str, dict[str, Any]]]) -> sdks.Session:
    """One conversation with ``mcp run ARGS`` on the near machine."""
    statuses = os.path.join(host.folder, "statuses")
    open(statuses, "w").close()
    command = [*host.internet.prefix, EXECUTABLE, "run", *args]
    report = sdks.drive(client, command, calls, env=host.env, status_file=statuses)
    assert report.statuses == [0], report
    return report


@functools.cache
def fetcher() -> Package:
    """``mcp-server-fetch``, which may reach one host, and by itself refuses addresses that are not public."""
    form = manifest_form(
        "modelcontextprotocol/fetch@1.0.0",
        "python3",
        "-m",
        "mcp_server_fetch",
        env={"PYTHONPATH": "${bundle}", "SSL_CERT_FILE": "${bundle}/ca.pem"},
        network={"allowlist": [TARGET]},
    )
    return package(form, clients.vendored_server("mcp-server-fetch>=2025.4"))


@pytest.mark.parametrize("client", ["python-1", "python-2"])
def test_fetch(host: Host, internet: Internet, client: str) -> None:
    server = fetcher()
    host.pull(server)
    there, elsewhere = (("fetch", {"url": f"https://{name}/page"}) for name in (places.ALLOWED, places.OTHER))
    report = session(host, client, server.reference, calls=[there, elsewhere, there])
    first, refused, last = report.results
    for result in (first, last):
        assert f"far greets {places.ALLOWED}" in result["text"]
        assert not result["error"]
    assert refused["error"]
    assert internet.seen(host=places.OTHER) == []
    record = host.network_record()
    assert record[TARGET]["allowed"] >= 2
    assert min(record[TARGET]["sent"], record[TARGET]["received"]) > 500
    assert list(record) == [TARGET, places.OTHER]
    assert record[places.OTHER]["denied"] >= 1
    grant = f"--allow-net {places.OTHER}"
    assert report.stderr.count(f"(to allow it: {grant})") == 1, report.stderr
    report = session(host, client, *grant.split(), server.reference, calls=[elsewhere])
    assert f"far greets {places.OTHER}" in report.results[0]["text"]
    assert "network:" not in report.stderr


def test_a_static_program_in_go(host: Host, internet: Internet) -> None:
    """It brings its own resolver; the cluster it asks is a small part of one."""
    server = servers.native_server().package
    host.pull(server)
    folder = os.path.join(host.folder, "cluster")
    os.mkdir(folder)
    os.chmod(folder, 0o755)
    for name in (places.ALLOWED, places.OTHER):
        with open(f"{folder}/{name}", "w") as opened:
            json.dump(kubeconfig(name), opened)
    calls: list[tuple[str, dict[str, Any]]] = [("namespaces_list", {})]

    def ask(name: str) -> sdks.Session:
        options = ["--mount", f"{folder}:/mnt/cluster:ro", "--allow-net", TARGET]
        return session(
            host,
            "python-2",
            *options,
            *grants,
            server.reference,
            "--",
            "--kubeconfig",
            f"/mnt/cluster/{name}",
            calls=calls,
        )

    grants: list[str] = []
    report = ask(places.ALLOWED)
    assert "far-away" in report.results[0]["text"], report
    assert host.network_record()[TARGET]["allowed"] >= 1
    report = ask(places.OTHER)
    assert "far-away" not in str(report.results), report
    assert internet.seen(host=places.OTHER) == []
    grants = ["--allow-net", places.OTHER]
    assert f"(to allow it: {' '.join(grants)})" in report.stderr
    assert "far-away" in ask(places.OTHER).results[0]["text"]


def kubeconfig(name: str) -> dict[str, Any]:
    """How to reach the cluster at ``name``."""
    certificate = authority.encoded()
    cluster = {"server": f"https://{name}", "certificate-authority-data": certificate}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "far", "cluster": cluster}],
        "contexts": [{"name": "far", "context": {"cluster": "far", "user": "nobody"}}],
        "current-context": "far",
        "users": [{"name": "nobody", "user": {}}],
    }
