"""Make the arena importable from every file of attacks, and give them something to aim at."""

import os
import sys
from collections.abc import Iterator, Mapping

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from arena import host


@pytest.fixture(scope="session")
def targets() -> Iterator[Mapping[str, str]]:
    """Variables that name things of the host."""
    with host.targets() as variables:
        yield variables


@pytest.fixture
def place() -> Iterator[str]:
    """``wanted``, which is granted, and ``private``, which is not; each holds a number in ``secret``."""
    with host.granted_and_private() as folder:
        yield folder
