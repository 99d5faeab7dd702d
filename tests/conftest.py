"""Fixtures of every folder of tests: a registry on loopback, and ``mcp`` with a home of its own."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "integration"))

from kit import processes, programs
from kit.command import Mcp
from kit.registry import Registry


def pytest_configure() -> None:
    """Whoever starts the tests in the background may ignore signals for them, and ignored is inherited."""
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A registry with nothing published."""
    with Registry() as served:
        yield served


@pytest.fixture
def mcp(tmp_path: os.PathLike[str], registry: Registry) -> Iterator[Mcp]:
    """``mcp`` with an empty home that asks ``registry``; after the test nothing of it may be left running."""
    command = Mcp(str(tmp_path), registry.url)
    yield command
    processes.assert_gone(command.marker)


@pytest.fixture(scope="session")
def warm_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A folder where ``mcp`` has pulled the small test servers, and the URL of the registry, gone by now."""
    with Registry() as served:
        served.publish(programs.single(), programs.forking())
        command = Mcp(str(tmp_path_factory.mktemp("warm")), served.url)
        pulled = command.run("pull", programs.single().reference, programs.forking().reference)
        assert pulled.status == 0, pulled.stderr
    return command.folder, served.url


@pytest.fixture
def warm(warm_folder: tuple[str, str]) -> Iterator[Mcp]:
    """``mcp`` with a warm cache and no registry; after the test nothing of it may be left running."""
    command = Mcp(*warm_folder)
    yield command
    processes.assert_gone(command.marker)
