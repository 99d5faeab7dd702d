"""A registry in a folder: the contract as files."""

import os
from collections.abc import Iterator

from mcp_client.errors import MCPError, printable
from mcp_client.reference import PackageReference
from mcp_client.resolution import Descriptor

_CHUNK = 1 << 20
LARGEST_ANSWER = 1 << 20


class DirectoryTransport:
    """Answers at ``packages/<org>/<name>/<selector>.json``, artifacts wherever their URLs say, inside."""

    def __init__(self, folder: str) -> None:
        """``folder`` need not exist before something is asked."""
        self._folder = os.path.realpath(folder)

    def resolve(self, reference: PackageReference) -> bytes:
        """The stored answer. Raises ``package-not-found`` or ``registry-*``."""
        if not os.path.isdir(self._folder):
            raise MCPError(
                "registry-unavailable",
                f"there is no registry folder {self._folder}",
                hint="check registry.url",
            )
        path = self._inside(f"packages/{reference.package}/{reference.selector}.json")
        if not os.path.isfile(path):
            known = ", ".join(self.known_versions(reference.package)[:10])
            raise MCPError(
                "package-not-found",
                f"the registry has no {reference}",
                hint=f"it has {known}" if known else "check the spelling of org and name",
            )
        return b"".join(_read(path, LARGEST_ANSWER))

    def fetch(self, descriptor: Descriptor, limit: int) -> Iterator[bytes]:
        """The artifact's bytes."""
        path = self._inside(descriptor.url)
        if not os.path.isfile(path):
            raise MCPError(
                "registry-rejected",
                f"the registry has no file {printable(descriptor.url, 200)}, which its answer names",
                hint="tell the registry's owner",
            )
        yield from _read(path, limit)

    def known_versions(self, package: str) -> list[str]:
        """Every reference that can be resolved for ``org/name``, as written after the ``@``."""
        folder = self._inside(f"packages/{package}")
        if not os.path.isdir(folder):
            return []
        return sorted(name.removesuffix(".json") for name in os.listdir(folder) if name.endswith(".json"))

    def _inside(self, path: str) -> str:
        """The real path of a relative URL; neither ``..`` nor a link may lead out of the folder."""
        real = os.path.realpath(os.path.join(self._folder, path))
        if "\0" in path or os.path.commonpath([real, self._folder]) != self._folder:
            raise MCPError(
                "registry-protocol",
                f"the registry's answer leads out of its folder: {printable(path, 200)}",
                hint="nothing was fetched; tell the registry's owner",
            )
        return real


def _read(path: str, limit: int) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > limit:
                raise MCPError(
                    "download-too-large",
                    f"{path} has more than {limit} bytes",
                    hint="if you trust it, raise the limit under registry in the configuration",
                )
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise MCPError(
            "registry-unavailable", f"cannot read {path}: {error.strerror}", hint="check its owner and mode"
        ) from error
