"""What a server inherits: standard input and output, if they lead nowhere else."""

import _socket
import os
import stat

from mcp_client.errors import MCPError


def prepare_descriptors(*, inherited: bool) -> None:
    """Occupy 0 to 2, and look at what is ``inherited``. Raises ``sandbox-unavailable`` for what leads out.

    Seatbelt decides when something is opened or connected, never about what is open already.
    """
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        if descriptor > 2:  # noqa: PLR2004
            os.close(descriptor)
            break
        os.set_inheritable(descriptor, True)
    # Standard error is not among them: the server gets a pipe of ours.
    for descriptor in range(2) if inherited else ():
        kind = _leads_out(descriptor)
        if kind is not None:
            raise MCPError(
                "sandbox-unavailable",
                f"descriptor {descriptor} is {kind}, and a server could leave its sandbox by it",
                hint="put a pipe in between, for example: cat | mcp run ... | cat",
            )


def _leads_out(descriptor: int) -> str | None:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        end = _socket.socket(fileno=os.dup(descriptor))
        try:
            connected = end.family == _socket.AF_UNIX and end.type == _socket.SOCK_STREAM
        finally:
            end.close()
        return None if connected else "a network socket"
    if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISCHR(mode):
        return None
    return "a folder" if stat.S_ISDIR(mode) else "no stream"
