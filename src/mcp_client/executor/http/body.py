"""Bodies on their way: parts that h11 has read, and the rest of a long one, which went past it."""

from collections.abc import Sequence

import h11

from mcp_client.executor.http.channel import Channel
from mcp_client.network.engine.pipe import SMALLEST, Pipe

Piece = bytes | memoryview


class _Length:
    """h11 asks for the length of what it frames, and gives the object back (its manual, "sendfile")."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def frame(connection: h11.Connection, parts: Sequence[Piece]) -> list[Piece]:
    """What to send for these parts of a body, which stay what they are. Raises h11.LocalProtocolError."""
    whole = _Length(sum(map(len, parts)))
    pieces: list[Piece] = []
    for piece in connection.send_with_data_passthrough(h11.Data(data=whole)) or []:  # type: ignore[arg-type]
        pieces.extend(parts if isinstance(piece, _Length) else (piece,))
    return pieces


def tell(connection: h11.Connection, size: int) -> None:
    """So much of a body of known length went past h11, and that was all. Raises h11.LocalProtocolError."""
    connection.send_with_data_passthrough(h11.Data(data=_Length(size)))  # type: ignore[arg-type]
    connection.send(h11.EndOfMessage())


def bypass(left: int, target: Channel) -> Pipe | None:
    """The way for the rest of a body, ``left`` as h11 reads it; None if it does not pay or there is none."""
    if left < SMALLEST:
        return None
    try:
        pipe = Pipe(left)
    except OSError:
        return None
    target.attach(pipe)
    return pipe
