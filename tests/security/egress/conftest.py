"""Something to aim at, for every attack of this folder."""

from collections.abc import Iterator

import pytest
from egress import services


@pytest.fixture(scope="module")
def service() -> Iterator[services.Service]:
    """The one that the rules open, at 127.0.0.1."""
    with services.service() as found:
        yield found


@pytest.fixture
def victim() -> Iterator[services.Service]:
    """The one that no rule opens: a test that ends without using it up proves that nobody came."""
    with services.service() as found:
        yield found
