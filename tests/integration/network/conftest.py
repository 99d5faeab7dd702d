"""One internet for all tests of this folder, and commands that were pulled before they came there."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from kit import processes
from kit.bundle import Package
from kit.command import Mcp, Result
from kit.internet import Internet
from kit.registry import Registry
from network import clients


def network_record(mcp: Mcp) -> dict[str, dict[str, Any]]:
    """What the end record of the last run says about each destination."""
    with open(os.path.join(mcp.home, "audit.log"), encoding="utf-8") as log:
        last = json.loads(log.readlines()[-1])
    return {entry.pop("destination"): entry for entry in last["network"]}


class Host(Mcp):
    """``mcp`` on the near machine: there is no registry, so everything has to be pulled before."""

    internet: Internet
    registry: Registry

    def pull(self, package: Package) -> None:
        """Pull on the machine of the tests."""
        self.registry.publish(package)
        pulled = super().run("pull", package.reference)
        assert pulled.status == 0, pulled.stderr

    def go(self, *args: str, **options: Any) -> Result:
        """``mcp run ARGS`` on the near machine."""
        return self.run("run", *args, prefix=self.internet.prefix, **options)

    def network_record(self) -> dict[str, dict[str, Any]]:
        """What the end record of the last run says about each destination."""
        return network_record(self)


@pytest.fixture(scope="session")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    """The two machines, with all their servers."""
    with Internet(str(tmp_path_factory.mktemp("internet")), clients.redis_server()) as running:
        yield running


@pytest.fixture(scope="session")
def pulled_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The folder of a machine that has pulled the plain clients, and the URL of the registry, gone by now."""
    with Registry() as served:
        command = Mcp(str(tmp_path_factory.mktemp("pulled")), served.url)
        for client in clients.PLAIN.values():
            served.publish(client.package())
            result = command.run("pull", client.reference)
            assert result.status == 0, result.stderr
    return command.folder, served.url


@pytest.fixture
def curl(pulled_home: tuple[str, str], internet: Internet) -> Iterator[Host]:
    """``mcp`` with the plain clients and no configuration; nobody was asked for anything yet."""
    command = Host(*pulled_home)
    command.internet = internet
    internet.forget()
    yield command
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(command.home, "config.yaml"))
    processes.assert_gone(command.marker)


@pytest.fixture
def host(tmp_path: os.PathLike[str], registry: Registry, internet: Internet) -> Iterator[Host]:
    """``mcp`` with an empty home; nobody was asked for anything yet."""
    command = Host(str(tmp_path), registry.url)
    command.internet, command.registry = internet, registry
    internet.forget()
    yield command
    processes.assert_gone(command.marker)
