"""Real servers from where their authors publish them, driven by every official client through ``mcp run``."""

import os
import stat
from collections.abc import Callable

import pytest
from kit import processes, sdks, servers
from kit.command import EXECUTABLE, Mcp
from kit.registry import Registry

HANDSHAKE_ONLY = ("python-1", "typescript-1")


def session(mcp: Mcp, client: str, *args: str, calls: list[tuple[str, dict[str, object]]]) -> sdks.Session:
    """Drive ``mcp run ARGS`` with ``client``; it shuts down cleanly and leaves nothing running."""
    report = sdks.drive(
        client,
        [EXECUTABLE, "run", *args],
        calls,
        env=mcp.env,
        status_file=os.path.join(mcp.folder, "statuses"),
    )
    # The 2.x client for TypeScript ends its probe with SIGTERM; the connection itself ends with stdin.
    assert len(report.statuses) == (2 if client == "typescript-2" else 1), report
    assert report.statuses[-1] == 0, report
    assert set(report.statuses) <= {0, 143}, report
    processes.assert_gone(mcp.marker, 5)
    return report


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Mcp, servers.RealServer]]:
    """Pull a real server once for all clients of this worker; the registry is gone when they run it."""
    homes: dict[str, tuple[str, str, servers.RealServer]] = {}

    def pull(name: str) -> tuple[Mcp, servers.RealServer]:
        if name not in homes:
            server = getattr(servers, f"{name}_server")()
            with Registry() as served:
                served.publish(server.package)
                command = Mcp(str(tmp_path_factory.mktemp(name)), served.url)
                result = command.run("pull", server.package.reference)
                assert result.status == 0, result.stderr
            homes[name] = (command.folder, served.url, server)
        folder, url, server = homes[name]
        return Mcp(folder, url), server

    return pull


@pytest.mark.parametrize("client", sdks.NAMES)
@pytest.mark.parametrize("name", ["time", "everything", "native"])
def test_every_client_uses_every_server(
    pulled: Callable[[str], tuple[Mcp, servers.RealServer]], name: str, client: str
) -> None:
    mcp, server = pulled(name)
    open(os.path.join(mcp.folder, "statuses"), "w").close()
    report = session(
        mcp,
        client,
        server.package.reference,
        calls=[(server.tool, server.arguments), (server.tool, server.arguments)],
    )
    assert report.revision == (servers.HANDSHAKE if client in HANDSHAKE_ONLY else server.revision)
    assert server.tool in report.tools
    for result in report.results:
        assert server.expected in result["text"]
        assert not result["error"]


@pytest.mark.parametrize("client", sdks.NAMES)
def test_a_cold_package_is_fetched_while_the_client_waits(mcp: Mcp, registry: Registry, client: str) -> None:
    server = servers.native_server()
    registry.publish(server.package)
    report = session(mcp, client, server.package.reference, calls=[(server.tool, server.arguments)])
    assert server.expected in report.results[0]["text"]
    assert len(registry.requests("manifest")) == 1
    assert len(registry.requests("bundle")) == 1


@pytest.mark.parametrize("client", sdks.NAMES)
def test_files_in_a_folder_granted_as_an_option(mcp: Mcp, registry: Registry, client: str) -> None:
    granted, beside = folders(mcp)
    package = servers.filesystem_server()
    registry.publish(package)
    report = session(
        mcp,
        client,
        package.reference,
        "--set",
        f"roots={granted}",
        calls=[
            ("list_allowed_directories", {}),
            ("read_text_file", {"path": f"{granted}/note.txt"}),
            ("write_file", {"path": f"{granted}/new.txt", "content": "written inside"}),
            ("read_text_file", {"path": f"{beside}/secret.txt"}),
            ("write_file", {"path": f"{beside}/new.txt", "content": "written outside"}),
            ("read_text_file", {"path": f"{granted}/way-out/secret.txt"}),
        ],
    )
    allowed, read, written, *refused = report.results
    assert granted in allowed["text"]
    assert read["text"] == "from the host"
    assert not written["error"], written
    with open(f"{granted}/new.txt") as opened:
        assert opened.read() == "written inside"
    assert all(result["error"] for result in refused), refused
    assert "hidden" not in str(refused)
    assert os.listdir(beside) == ["secret.txt"]


def test_files_in_a_folder_that_was_mounted(mcp: Mcp, registry: Registry) -> None:
    granted, _ = folders(mcp)
    package = servers.filesystem_server_unbound()
    registry.publish(package)
    report = session(
        mcp,
        "python-2",
        "--mount",
        f"{granted}:/granted:rw",
        package.reference,
        calls=[
            ("read_text_file", {"path": "/granted/note.txt"}),
            ("write_file", {"path": "/granted/new.txt", "content": "written inside"}),
        ],
    )
    read, written = report.results
    assert read["text"] == "from the host"
    assert not written["error"], written
    assert os.path.exists(f"{granted}/new.txt")


def test_a_folder_mounted_for_reading_cannot_be_written(mcp: Mcp, registry: Registry) -> None:
    granted, _ = folders(mcp)
    package = servers.filesystem_server_unbound()
    registry.publish(package)
    report = session(
        mcp,
        "python-1",
        "--mount",
        f"{granted}:/granted:ro",
        package.reference,
        calls=[
            ("read_text_file", {"path": "/granted/note.txt"}),
            ("write_file", {"path": "/granted/new.txt", "content": "no"}),
        ],
    )
    read, written = report.results
    assert read["text"] == "from the host"
    assert written["error"], written
    assert sorted(os.listdir(granted)) == ["note.txt", "way-out"]


def folders(mcp: Mcp) -> tuple[str, str]:
    """A folder to grant, with a link that leads to the one beside it, which holds a secret.

    Everybody may write there: for root the server is another user.
    """
    granted, beside = os.path.join(mcp.folder, "granted"), os.path.join(mcp.folder, "beside")
    for folder, name, text in ((granted, "note.txt", "from the host"), (beside, "secret.txt", "hidden")):
        os.mkdir(folder)
        os.chmod(folder, stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
        with open(os.path.join(folder, name), "w") as opened:
            opened.write(text)
    os.symlink(beside, os.path.join(granted, "way-out"))
    return granted, beside
