"""A pytest plugin that switches one control off before any test runs: ``-p mutation.plugin``.

MCP_MUTATION names the row of the table. Launches of the arena fork from the test's own process, so that what
is replaced here is missing in the sandbox. Compiled filters go to MCP_MUTATION_FILTERS: none is ever taken
from an unharmed run, or left for one.
"""

import os
from typing import Any

from arena.sandbox import filter_folder

from mcp_client.sandbox.linux.backend import LinuxBackend
from mcp_client.sandbox.linux.early import HeadStart
from mutation.table import MUTATIONS


def pytest_configure() -> None:
    """Runs in every worker too."""
    switch_off(os.environ["MCP_MUTATION"])


def switch_off(name: str) -> None:
    """In this process, which is the tests' or one of theirs that builds sandboxes itself."""
    original, shared = LinuxBackend.__init__, filter_folder()

    def begin(self: Any, folder: str, head_start: HeadStart | None = None) -> None:
        original(self, os.environ["MCP_MUTATION_FILTERS"] if folder == shared else folder, head_start)

    LinuxBackend.__init__ = begin  # type: ignore[method-assign]
    (mutation,) = [mutation for mutation in MUTATIONS if mutation.name == name]
    mutation.apply()
