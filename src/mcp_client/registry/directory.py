"""A registry in a folder: the contract as files."""

import os
import stat
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from urllib.parse import unquote_to_bytes, urlsplit

from mcp_client.choices import Status
from mcp_client.errors import MCPError, printable
from mcp_client.private import lies_in
from mcp_client.reference import PackageReference
from mcp_client.registry.urls import shown
from mcp_client.registry.wire import LARGEST_ANSWER, parse_answer
from mcp_client.resolution import Descriptor

_CHUNK = 1 << 20
_SUFFIX = ".json"
GRAVITY: tuple[Status, ...] = ("published", "deprecated", "quarantined", "revoked")


def file_names(selector: str) -> tuple[str, ...]:
    """How the answer for a selector may be called, in the order to look.

    Not every file system takes a colon, and some web servers answer 400 to one, not 404.
    """
    plain = selector.replace(":", "-") + _SUFFIX
    # After a colon Windows has a stream of the file before it.
    return (plain,) if sys.platform == "win32" else tuple(dict.fromkeys((plain, selector + _SUFFIX)))


def folder_of(url: str) -> str:
    """The absolute path in a ``file:`` URL (RFC 8089). Raises ``config-invalid``."""
    try:
        parts = urlsplit(url)
        path = os.fsdecode(unquote_to_bytes(parts.path))
    except ValueError:
        parts, path = urlsplit(""), ""
    local = parts.netloc in {"", "localhost"} and not (parts.query or parts.fragment)
    if not local or not path.startswith("/") or "\0" in path:
        raise MCPError(
            "config-invalid",
            f"not a folder's URL: {shown(url)}",
            hint="write file:///folder, with %23 for # and %3F for ?",
        )
    # The drive comes after the slash (RFC 8089, appendix E.2).
    drive = sys.platform == "win32" and path[2:3] == ":"
    return os.path.normpath(path[1:]) if drive else path


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
                f"there is no registry folder {printable(self._folder)}",
                hint="check registry.url",
            )
        for name in file_names(reference.selector):
            data = self._answer(reference.package, name)
            if data is not None:
                return data
        data = self._answer_by_manifest(reference) if reference.kind == "digest" else None
        if data is not None:
            return data
        known = printable(", ".join(self.known_versions(reference.package)[:10]))
        raise MCPError(
            "package-not-found",
            f"the registry has no {reference}",
            hint=f"it has {known}" if known else "check the spelling of org and name",
        )

    def fetch(self, descriptor: Descriptor) -> Generator[bytes, None, None]:
        """The artifact's bytes."""
        path = self._inside(_relative_path(descriptor.url))
        if not _is_file(path):
            raise MCPError(
                "registry-rejected",
                f"the registry has no file {shown(descriptor.url)}, which its answer names",
                hint="tell the registry's owner",
            )
        yield from _read(path)

    def known_versions(self, package: str) -> list[str]:
        """Every reference that can be resolved for ``org/name``, as written after the ``@``."""
        selectors = {name.removesuffix(_SUFFIX) for name in self._names(package)}
        return sorted(
            selector.replace("-", ":") if selector.startswith(("sha-", "digest-")) else selector
            for selector in selectors
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _names(self, package: str) -> list[str]:
        try:
            names = os.listdir(self._inside(f"packages/{package}"))
        except OSError:
            return []
        return sorted(name for name in names if name.endswith(_SUFFIX))

    def _answer(self, package: str, name: str) -> bytes | None:
        path = self._inside(f"packages/{package}/{name}")
        if not _is_file(path):
            return None
        data = bytearray()
        for chunk in _read(path):
            data += chunk
            if len(data) > LARGEST_ANSWER:
                raise MCPError(
                    "registry-protocol",
                    f"{printable(path)} has more than {LARGEST_ANSWER} bytes",
                    hint="no answer is that long; tell the registry's owner",
                )
        return bytes(data)

    def _answer_by_manifest(self, reference: PackageReference) -> bytes | None:
        """An answer with this manifest, under whatever name; of several, the one with the gravest status."""
        found: list[tuple[int, bytes]] = []
        bundles = set()
        for name in self._names(reference.package):
            # A broken answer is the trouble of those who ask for it.
            with suppress(MCPError):
                data = self._answer(reference.package, name) or b""
                resolution = parse_answer(data, reference, "")
                bundles.add(resolution.bundle.digest)
                found.append((GRAVITY.index(resolution.status), data))
        if len(bundles) > 1:
            raise MCPError(
                "registry-protocol",
                f"the registry has more than one bundle for {reference}",
                hint="ask for a version instead, and tell the registry's owner",
            )
        return max(found)[1] if found else None

    def _inside(self, path: str) -> str:
        """The real path of a relative one; neither ``..`` nor a link may lead out of the folder."""
        real = "" if "\0" in path else os.path.realpath(os.path.join(self._folder, path))
        if not real or not lies_in(real, self._folder):
            raise MCPError(
                "registry-protocol",
                f"the registry's answer leads out of its folder: {printable(path, 200)}",
                hint="nothing was fetched; tell the registry's owner",
            )
        return real


def _relative_path(url: str) -> str:
    """The path a web server over the same folder would take ``url`` for."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("malformed:")
    if parts.scheme or parts.netloc:
        raise MCPError(
            "registry-protocol",
            f"the registry is a folder, and its answer names another place: {shown(url)}",
            hint="nothing was fetched; tell the registry's owner to write relative URLs",
        )
    return os.fsdecode(unquote_to_bytes(parts.path))


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(path: str) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> MCPError:
    return MCPError(
        "registry-unavailable",
        f"cannot read {printable(path)}: {error.strerror}",
        hint="check its owner and mode",
    )
