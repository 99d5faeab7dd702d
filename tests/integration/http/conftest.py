"""A server behind a port, warm in the cache."""

from collections.abc import Iterator

import pytest
from kit import processes, programs
from kit.command import Mcp
from kit.registry import Registry


@pytest.fixture(scope="module")
def listening_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    with Registry() as served:
        package = programs.listening()
        served.publish(package)
        command = Mcp(str(tmp_path_factory.mktemp("listening")), served.url)
        pulled = command.run("pull", package.reference)
        assert pulled.status == 0, pulled.stderr
    return command.folder, served.url


@pytest.fixture
def listening(listening_folder: tuple[str, str]) -> Iterator[Mcp]:
    """``mcp`` with ``test/listening@1.0.0`` in its cache; nothing of it may be left running."""
    command = Mcp(*listening_folder)
    command.configure("executor:\n  grace: 2s\n")
    yield command
    processes.assert_gone(command.marker)
