"""Which addresses are this machine's own, by the source that the kernel would choose."""

import _socket

from mcp_client.network.addresses import Address
from mcp_client.network.engine.sockets import family_of

# Discard (RFC 863); nothing is sent.
_ANY_PORT = 9


class OwnAddresses:
    """Those that a packet does not leave the machine for, as a container; they change while it runs."""

    def __contains__(self, address: object) -> bool:
        """Whether a datagram to ``address`` would come from there: the kernel does so for its own alone."""
        if not isinstance(address, Address):
            return False
        end = _socket.socket(family_of(address), _socket.SOCK_DGRAM)
        try:
            end.connect((str(address), _ANY_PORT))
            source = str(end.getsockname()[0]).partition("%")[0]
            return _socket.inet_pton(end.family, source) == address.packed
        except PermissionError:
            # A broadcast address, which reaches this machine as well.
            return True
        except OSError:
            # There is no route, and nothing to be reached.
            return False
        finally:
            end.close()
