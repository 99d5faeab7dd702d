"""Package references: immutable names of one package at one state."""

from __future__ import annotations

from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING, NamedTuple, pattern

if TYPE_CHECKING:
    from typing import Literal

    ReferenceKind = Literal["version", "sha", "digest"]

_NAME = r"[a-z0-9][a-z0-9._-]{0,127}"
_PACKAGE = pattern(rf"({_NAME})/({_NAME})\Z")
# Semantic Versioning 2.0.0, section 2 to 10, exact versions only.
_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRERELEASE = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = pattern(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(?:-{_PRERELEASE}(?:\.{_PRERELEASE})*)?(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?\Z"
)
_SHA = pattern(r"sha:[0-9a-f]{7,64}\Z")
_DIGEST = pattern(r"digest:sha256:[0-9a-f]{64}\Z")
_LOOKS_MUTABLE = pattern(r"(?i)[~^><=*]|\bx\b|^v?\d+(\.\d+)?$|^[a-z]+$")
_MAX_LENGTH = 512
_MAX_NAME = 128
_NUMBERS = 3
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


class PackageReference(NamedTuple):
    """A parsed reference; ``selector`` is what stands after the ``@`` and what registries are asked for."""

    org: str
    name: str
    kind: ReferenceKind
    selector: str

    @property
    def package(self) -> str:
        """``org/name``."""
        return f"{self.org}/{self.name}"

    def __str__(self) -> str:
        return f"{self.package}@{self.selector}"


def parse_reference(text: str) -> PackageReference:
    """Parse ``org/name@selector``.

    Raises ``reference-mutable`` for labels and ranges (``latest``, ``^1``, no version at all) and
    ``reference-invalid`` for everything else that is not a reference.
    """
    plain = _plain(text)
    if plain is not None:
        return plain
    package, at, selector = text.partition("@")
    match = _PACKAGE.match(package)
    if match is None or len(text) > _MAX_LENGTH:
        raise MCPError(
            "reference-invalid",
            f"not a package reference: {text[:120]!r}",
            hint="write org/name@1.2.3, org/name@sha:<commit> or org/name@digest:sha256:<hex>, in lower case",
        )
    kind: ReferenceKind
    if _VERSION.match(selector):
        kind = "version"
    elif _SHA.match(selector):
        kind = "sha"
    elif _DIGEST.match(selector):
        kind = "digest"
    elif not at or _LOOKS_MUTABLE.search(selector):
        shown = f"the label {selector[:40]!r}" if selector else "no version"
        raise MCPError(
            "reference-mutable",
            f"{package} with {shown} can mean something else tomorrow",
            hint=f"name an exact version, such as {package}@1.2.3",
            details={"package": package},
        )
    else:
        raise MCPError(
            "reference-invalid",
            f"not a version, sha: or digest: selector: {selector[:120]!r}",
            hint=f"write {package}@1.2.3, {package}@sha:<7-64 hex> or {package}@digest:sha256:<64 hex>",
        )
    return PackageReference(match[1], match[2], kind, selector)


def _plain(text: str) -> PackageReference | None:
    """What nearly every run is asked for, ``org/name@1.2.3``, by hand: importing ``re`` takes 6 ms."""
    package, _, version = text.partition("@")
    org, _, name = package.partition("/")
    numbers = version.split(".")
    if (
        len(numbers) == _NUMBERS
        and all(number.isascii() and number.isdecimal() for number in numbers)
        and not any(number.startswith("0") and number != "0" for number in numbers)
        and _is_name(org)
        and _is_name(name)
        and len(text) <= _MAX_LENGTH
    ):
        return PackageReference(org, name, "version", version)
    return None


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _MAX_NAME and _NAME_CHARACTERS.issuperset(text) and text[0] not in "._-"
