"""The private folders of one run: a home and one for temporary files, gone with the run."""

import os
from typing import NamedTuple

from mcp_client.errors import MCPError
from mcp_client.sandbox.darwin.trial import write_trial_files
from mcp_client.sandbox.scratch import make_scratch, remove_scratch


class Places(NamedTuple):
    """Paths below one folder that is this run's alone; the server cannot enter ``sealed``."""

    top: str

    @property
    def home(self) -> str:
        """What HOME leads to."""
        return os.path.join(self.top, "home")

    @property
    def temporary(self) -> str:
        """What TMPDIR leads to."""
        return os.path.join(self.top, "tmp")

    @property
    def sealed(self) -> str:
        """Never in any profile."""
        return os.path.join(self.top, "sealed")


def new_places(store: str) -> Places:
    """Names that no other run has; nothing is made yet."""
    return Places(os.path.join(store, f"{os.getpid()}-{os.urandom(8).hex()}"))


class Folders:
    """They exist from here on until remove(), or until a later run finds that nobody holds them."""

    def __init__(self, places: Places) -> None:
        """Raises ``cache-unwritable``."""
        self._places = places
        self._held: int | None = make_scratch(places.top)
        try:
            for folder in (places.home, places.temporary, places.sealed):
                os.mkdir(folder, 0o700)
            write_trial_files(self.open_file, self.sealed_file)
        except OSError as error:
            self.remove()
            raise MCPError(
                "cache-unwritable",
                f"cannot make the server's folders in {places.top}: {error.strerror}",
                hint="check the disk, or set MCP_CACHE_DIR",
            ) from error

    @property
    def mark(self) -> tuple[str, str]:
        """By these this run's sandbox is known: what only it may write, and what nobody confined may."""
        return self._places.home, self._places.sealed

    @property
    def open_file(self) -> str:
        """One that can be read inside."""
        return os.path.join(self._places.temporary, ".mcp-trial")

    @property
    def sealed_file(self) -> str:
        """One that cannot."""
        return os.path.join(self._places.sealed, "trial")

    def remove(self) -> None:
        """With all that the server left there."""
        if self._held is not None:
            remove_scratch(self._places.top, self._held)
            self._held = None
