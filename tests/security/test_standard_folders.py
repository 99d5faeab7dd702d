"""A folder in the place of a standard descriptor would be a way out."""

import os
import socket

import pytest
from arena.attacks import Program, hear_outside
from arena.host import public_folder
from arena.sandbox import run_inside

from mcp_client.errors import MCPError

STANDARD = Program("descriptors/standard.c")


@pytest.mark.parametrize("mode", [os.O_RDONLY, os.O_PATH], ids=["opened", "as a path only"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_folder_is_no_standard_descriptor(mode: int, number: int) -> None:
    """From inside it one can connect to sockets, and change modes, of what lies below."""
    with public_folder("/tmp") as folder, socket.socket(socket.AF_UNIX) as service:
        service.bind(os.path.join(folder, "service"))
        service.listen()
        os.close(os.open(os.path.join(folder, "secret"), os.O_CREAT | os.O_WRONLY))
        descriptor = os.open(folder, mode | os.O_DIRECTORY)
        try:
            outside = hear_outside(STANDARD, {"FD": "0"}, {0: descriptor})
            for name in ("look", "connect", "change"):
                assert outside[f"{name}-below-the-folder"] == "got=1"
            with pytest.raises(MCPError):
                run_inside("", standard={number: descriptor})
        finally:
            os.close(descriptor)
