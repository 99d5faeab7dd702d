"""Lock files: references with the digests they stand for, to be kept and reviewed beside a project's code.

    {"version": 1, "packages": {REFERENCE: {"registry": URL, "manifest": ARTIFACT, "bundle": ARTIFACT}}}

An artifact has its ``digest`` and, where known, ``size_bytes`` and ``url`` (relative to the registry, or
absolute). A lock comes with a repository and may be hostile, like an answer of a registry; it is read by the
standard library alone, since ``mcp run --locked`` starts from it.
"""

import json
import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from mcp_client import system
from mcp_client.config.values import registry_url
from mcp_client.digest import parse_digest
from mcp_client.errors import MCPError, printable
from mcp_client.reference import PackageReference, parse_reference
from mcp_client.resolution import Descriptor, Resolution

EMBEDDED = "embedded"
_VERSION = 1
_LARGEST_FILE = 4 << 20
_LONGEST_URL = 8192
_LONGEST_VERSION = 256
_LARGEST_SIZE = 1 << 53
_FILE_NAMES = ("manifest", "bundle", "manifest.json", "bundle.tar.gz")

Locked = dict[PackageReference, Resolution]


def read_lock(path: str) -> Locked:
    """What ``path`` binds; ``registry`` of each is the one it was resolved at, the status is not known.

    An artifact's ``url`` is empty where the lock names none. Raises ``lock-missing`` and ``lock-invalid``.
    """
    try:
        # Not to wait for the other end of what is no file.
        descriptor = system.open_fd(path, os.O_RDONLY | system.O_CLOEXEC | system.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError as error:
        raise MCPError(
            "lock-missing",
            f"there is no lock file {printable(path)}",
            hint="make it with 'mcp lock REF...', or name another with --lock FILE",
        ) from error
    except OSError as error:
        raise _invalid(path, f"it cannot be read: {error.strerror}") from error
    if len(data) > _LARGEST_FILE:
        raise _invalid(path, f"it has more than {_LARGEST_FILE} bytes")
    try:
        return _to_locked(json.loads(data, object_pairs_hook=_without_duplicates))
    except RecursionError:
        raise _invalid(path, "it is nested too deeply") from None
    except ValueError as error:
        raise _invalid(path, printable(str(error), 300)) from None
    except MCPError as error:
        raise _invalid(path, error.message) from None


def entry(locked: Locked, reference: PackageReference, path: str) -> Resolution:
    """What the lock binds ``reference`` to. Raises ``lock-missing``."""
    found = locked.get(reference)
    if found is None:
        raise MCPError(
            "lock-missing",
            f"{reference} is not in {printable(path)}",
            hint=f"add it: mcp lock {reference}",
        )
    return found


def write_lock(path: str, locked: Mapping[PackageReference, Resolution]) -> None:
    """Replace the file in one step; the same content is the same bytes. Raises ``lock-unwritable``."""
    packages = {str(reference): _form(locked[reference]) for reference in sorted(locked, key=str)}
    text = json.dumps({"version": _VERSION, "packages": packages}, indent=2) + "\n"
    target = os.path.realpath(path)
    staged = f"{target}.{os.getpid()}.new"
    try:
        try:
            with open(staged, "x", encoding="ascii") as file:
                file.write(text)
            system.replace(staged, target)
        except OSError:
            if os.path.lexists(staged):
                os.unlink(staged)
            raise
    except OSError as error:
        raise MCPError(
            "lock-unwritable",
            f"cannot write {printable(path)}: {error.strerror}",
            hint="check the folder's owner and mode, or name another file with -o",
        ) from error


def lockable(resolution: Resolution) -> Resolution:
    """``resolution`` as a lock may tell it to everybody: URLs that may hold a secret are left out."""

    def public(descriptor: Descriptor) -> Descriptor:
        return descriptor if _is_public(descriptor.url, resolution) else descriptor._replace(url="")

    return resolution._replace(
        manifest=public(resolution.manifest),
        bundle=public(resolution.bundle),
        status="published",
        version=None if resolution.reference.kind == "version" else resolution.version,
        message=None,
    )


def _is_public(url: str, resolution: Resolution) -> bool:
    """Whether nothing in ``url`` can be a signature: each value of a query names the package or an artifact.

    A presigned URL would be a secret in a repository, and of no use there: it expires.
    """
    from urllib.parse import parse_qsl, urlsplit

    reference = resolution.reference
    names = {
        *(reference.org, reference.name, reference.package, reference.selector, resolution.version),
        *(text for digest in resolution.digests for text in (str(digest), digest.hex)),
        *_FILE_NAMES,
    }
    try:
        parts = urlsplit(url)
        values = [value for _, value in parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)]
    except ValueError:
        return not url.partition("?")[2]
    return "@" not in parts.netloc and not parts.fragment and names.issuperset(values)


def _form(resolution: Resolution) -> dict[str, Any]:
    return {
        "registry": resolution.registry,
        **({"resolved_version": resolution.version} if resolution.version else {}),
        "manifest": _artifact_form(resolution.manifest),
        "bundle": _artifact_form(resolution.bundle),
    }


def _artifact_form(descriptor: Descriptor) -> dict[str, Any]:
    return {
        "digest": str(descriptor.digest),
        **({} if descriptor.size is None else {"size_bytes": descriptor.size}),
        **({"url": descriptor.url} if descriptor.url else {}),
    }


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    form = dict(pairs)
    if len(form) != len(pairs):
        raise ValueError("a key is there twice")
    return form


def _to_locked(form: Any) -> Locked:
    fields = _fields(form, "the file", {"version", "packages"})
    if type(fields["version"]) is not int or fields["version"] != _VERSION:
        raise ValueError(f"version: expected {_VERSION}; another release of mcp made this file")
    if not isinstance(fields["packages"], dict):
        raise ValueError("packages: expected an object")  # noqa: TRY004  one kind of error for all
    return {parse_reference(text): _to_resolution(text, value) for text, value in fields["packages"].items()}


def _to_resolution(text: str, form: Any) -> Resolution:
    reference = parse_reference(text)
    fields = _fields(form, text, {"registry", "manifest", "bundle"}, {"resolved_version"})
    registry = fields["registry"]
    if not isinstance(registry, str) or (registry_url(registry) or EMBEDDED) != registry:
        raise ValueError(f"{text}: registry: expected a registry's URL as mcp lock writes it")
    version = fields.get("resolved_version")
    if version is not None and not (
        isinstance(version, str) and version.isprintable() and 0 < len(version) <= _LONGEST_VERSION
    ):
        raise ValueError(f"{text}: resolved_version: expected a version")
    manifest = _to_descriptor(f"{text}: manifest", fields["manifest"])
    bundle = _to_descriptor(f"{text}: bundle", fields["bundle"])
    if reference.kind == "digest" and reference.selector != f"digest:{manifest.digest}":
        raise ValueError(f"{text}: the manifest has another digest, {manifest.digest}")
    return Resolution(reference, registry, manifest, bundle, "published", version)


def _to_descriptor(place: str, form: Any) -> Descriptor:
    fields = _fields(form, place, {"digest"}, {"size_bytes", "url"})
    if not isinstance(fields["digest"], str):
        raise ValueError(f"{place}: digest: expected text")  # noqa: TRY004
    url, size = fields.get("url", ""), fields.get("size_bytes")
    if not isinstance(url, str) or len(url) > _LONGEST_URL or not url.isprintable() or " " in url:
        raise ValueError(f"{place}: url: expected a URL")
    if size is not None and (type(size) is not int or not 0 <= size <= _LARGEST_SIZE):
        raise ValueError(f"{place}: size_bytes: expected a number of bytes")
    return Descriptor(parse_digest(fields["digest"]), url, size)


def _fields(
    form: Any, place: str, required: set[str], optional: AbstractSet[str] = frozenset()
) -> dict[str, Any]:
    if not isinstance(form, dict) or not required <= set(form) <= required | optional:
        raise ValueError(f"{place}: expected an object with {', '.join(sorted(required | optional))}")
    return form


def _invalid(path: str, problem: str) -> MCPError:
    return MCPError(
        "lock-invalid",
        f"{printable(path)} is no lock file: {problem}",
        hint="make it anew with 'mcp lock REF...'; it is not meant to be edited by hand",
    )
