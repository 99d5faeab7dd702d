"""Find out whether a bundle could be unpacked, without unpacking it."""

from mcp_client.cache.gunzip import gunzip
from mcp_client.cache.receive import read_file
from mcp_client.cache.unpack import check_tar, most_plain_bytes
from mcp_client.config.settings import CacheSettings


def check_bundle(path: str, settings: CacheSettings) -> int:
    """The bytes that the bundle in the file ``path`` would take when it is unpacked; nothing is written.

    Raises ``bundle-invalid``, ``bundle-unsafe``, ``bundle-too-large`` and OSError.
    """
    most = most_plain_bytes(settings.max_unpacked, settings.max_entries)
    with open(path, "rb") as file:
        return check_tar(
            gunzip(read_file(file.fileno()), most),
            max_bytes=settings.max_unpacked,
            max_entries=settings.max_entries,
        )
