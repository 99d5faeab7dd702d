"""Real servers that speak HTTP, behind ``mcp run``, with every official client; and on standard streams."""

import os
import threading
from collections.abc import Callable, Iterator

import pytest
from kit import processes, sdks, servers
from kit.command import EXECUTABLE, Mcp
from kit.endpoint import Endpoint
from kit.registry import Registry

HANDSHAKE_ONLY = ("python-1", "typescript-1")
EVERYWHERE = [(name, client) for name in ("everything_http", "fastmcp") for client in sdks.NAMES]
NEWEST = [("grafana", client) for client in ("python-2", "typescript-2")]
BRIDGED = [("everything_http", client) for client in sdks.NAMES]
BRIDGED += [("fastmcp", "python-2"), ("grafana", "typescript-2")]

Pull = Callable[[str], tuple[Mcp, servers.RealServer]]


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Pull:
    """Pull a real server once for all clients of this worker."""
    homes: dict[str, tuple[Mcp, servers.RealServer]] = {}

    def pull(name: str) -> tuple[Mcp, servers.RealServer]:
        if name not in homes:
            server = getattr(servers, f"{name}_server")()
            with Registry() as served:
                served.publish(server.package)
                command = Mcp(str(tmp_path_factory.mktemp(name)), served.url)
                result = command.run("pull", server.package.reference)
                assert result.status == 0, result.stderr
            homes[name] = command, server
        return homes[name]

    return pull


@pytest.fixture(scope="module")
def running(pulled: Pull) -> Iterator[Callable[[str], Endpoint]]:
    """One endpoint for all clients of this worker, as people have it."""
    endpoints: dict[str, Endpoint] = {}

    def run(name: str) -> Endpoint:
        if name not in endpoints:
            mcp, server = pulled(name)
            endpoints[name] = Endpoint(mcp, server.package.reference).__enter__()
        return endpoints[name]

    yield run
    for endpoint in endpoints.values():
        endpoint.__exit__(None, None, None)


def calls_of(server: servers.RealServer, client: str) -> list[servers.Step]:
    """What this client can ask: some of it only sessions have."""
    first = servers.Step(server.tool, server.arguments, server.expected)
    has_session = client in HANDSHAKE_ONLY or server.revision == servers.HANDSHAKE
    return [first, *(step for step in server.more if has_session or not step.in_session)]


def check(report: sdks.Session, server: servers.RealServer, client: str) -> None:
    steps = calls_of(server, client)
    assert report.revision == (servers.HANDSHAKE if client in HANDSHAKE_ONLY else server.revision)
    assert {step.tool for step in steps} <= set(report.tools)
    assert len(report.results) == len(steps)
    for step, result in zip(steps, report.results, strict=True):
        assert step.expected in result["text"], (step, result)
        if step.seen is not None:
            assert report.seen[step.seen] > 0, (step, report.seen)


@pytest.mark.parametrize(("name", "client"), [*EVERYWHERE, *NEWEST])
def test_every_client_uses_every_server(
    pulled: Pull, running: Callable[[str], Endpoint], name: str, client: str
) -> None:
    _, server = pulled(name)
    calls = [(step.tool, step.arguments) for step in calls_of(server, client)]
    check(sdks.visit(client, running(name).url, calls), server, client)


def test_two_clients_at_once_and_each_ends_its_session(
    pulled: Pull, running: Callable[[str], Endpoint]
) -> None:
    _, server = pulled("everything_http")
    endpoint = running("everything_http")
    ended = endpoint.stderr.count("session termination request")
    reports: dict[str, sdks.Session] = {}

    def visit(client: str) -> None:
        calls = [(step.tool, step.arguments) for step in calls_of(server, client)]
        reports[client] = sdks.visit(client, endpoint.url, calls)

    clients = [threading.Thread(target=visit, args=(client,)) for client in HANDSHAKE_ONLY]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    for client, report in reports.items():
        check(report, server, client)
    assert sorted(reports) == sorted(HANDSHAKE_ONLY)
    assert processes.wait_until(lambda: endpoint.stderr.count("session termination request") == ended + 2)


@pytest.mark.parametrize("client", ["python-1", "typescript-2"])
def test_with_a_token(pulled: Pull, client: str) -> None:
    mcp, server = pulled("grafana")
    with Endpoint(mcp, "--token", server.package.reference) as endpoint:
        calls = [(server.tool, server.arguments)]
        report = sdks.visit(client, endpoint.url, calls, token=endpoint.facts["token"])
        assert server.expected in report.results[0]["text"]
        with pytest.raises(AssertionError, match="401"):
            sdks.visit(client, endpoint.url, calls)


@pytest.mark.parametrize(("name", "client"), BRIDGED)
def test_clients_of_standard_streams_use_them_too(pulled: Pull, name: str, client: str) -> None:
    mcp, server = pulled(name)
    statuses = os.path.join(mcp.folder, f"statuses-{client}")
    with open(statuses, "w"):
        calls = [(step.tool, step.arguments) for step in calls_of(server, client)]
    report = sdks.drive(
        client,
        [EXECUTABLE, "run", "--stdio", server.package.reference],
        calls,
        env=mcp.env,
        status_file=statuses,
    )
    check(report, server, client)
    # The 2.x client for TypeScript ends its probe with SIGTERM; the connection itself ends with stdin.
    assert report.statuses[-1] == 0, report
    assert set(report.statuses) <= {0, 143}, report
