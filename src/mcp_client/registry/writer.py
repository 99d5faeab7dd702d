"""Write a directory registry, so that a folder or any static web server can feed other machines.

Answers stand at ``packages/<org>/<name>/<selector>.json``, artifacts at ``artifacts/sha256/<hex>``: nothing
in these names is a colon, an escape or an ending that makes a web server decode what it sends. Whatever can
be seen is whole: files come to their places by a rename, artifacts before the answers that name them. Work
in progress is in ``.incoming``, one locked file for each artifact; the kernel lets go of the lock of a
process that dies, and the next writer takes its file over or sweeps it.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from mcp_client.choices import Status
from mcp_client.digest import Digest
from mcp_client.errors import MCPError, printable
from mcp_client.reference import PackageReference
from mcp_client.registry.directory import GRAVITY, file_names
from mcp_client.registry.incoming import Incoming, storage_errors, write_all
from mcp_client.registry.wire import LARGEST_ANSWER, parse_answer
from mcp_client.resolution import Descriptor, Resolution

_ARTIFACTS = "artifacts/sha256"


class Stored(NamedTuple):
    """An artifact in the folder: where its file is, and how an answer names it."""

    path: str
    descriptor: Descriptor


class DirectoryWriter:
    """Adds packages to one folder; any number of processes and threads may do so at once."""

    def __init__(self, folder: str) -> None:
        """``folder`` is made when something is stored."""
        self._folder = os.path.realpath(folder)
        self._incoming = Incoming(self._folder)

    def add_artifact(
        self,
        digest: Digest,
        chunks: Callable[[], Iterator[bytes]],
        check: Callable[[str], object],
    ) -> Stored:
        """Store an artifact that is not here yet, or is damaged; one of all who want it fetches it.

        ``check`` gets the path of a new one before it can be seen, and may raise. Raises ``digest-mismatch``,
        ``disk-full``, ``mirror-unwritable`` and what ``chunks`` and ``check`` raise; nothing is left then.
        """
        url = f"{_ARTIFACTS}/{digest.hex}"
        path = os.path.join(self._folder, url)
        with self._incoming.staged(digest.hex) as (staged, descriptor):
            size = _intact_size(path, digest)
            if size is None:
                size = _receive(staged, descriptor, digest, chunks)
                check(staged)
                self._incoming.publish(staged, descriptor, path)
        return Stored(path, Descriptor(digest, url, size))

    def refuse_moved(self, resolution: Resolution) -> None:
        """Raise ``version-moved`` when the folder's answer names other artifacts than ``resolution``."""
        for reference in _references(resolution):
            self._known(resolution._replace(reference=reference))

    def publish(self, resolution: Resolution) -> bool:
        """Write the answer, and one for its manifest's digest: a static server cannot look for it.

        Returns whether anything has changed. Raises as refuse_moved() and add_artifact() do.
        """
        with self._incoming.staged("answers"):
            self.refuse_moved(resolution)
            changed = False
            for reference in _references(resolution):
                status = self._gravest(resolution, reference)
                changed |= self._write(resolution._replace(reference=reference, status=status))
        return changed

    def restate(self, resolution: Resolution) -> bool:
        """Pass on a changed status of a package that is here; False when it is not."""
        with self._incoming.staged("answers"):
            found = [self._known(resolution._replace(reference=one)) for one in _references(resolution)]
            for known in found:
                if known is not None:
                    self._write(known._replace(status=resolution.status, message=resolution.message))
        return any(known is not None for known in found)

    # -- answers -------------------------------------------------------------------------------------------

    def _answer_path(self, reference: PackageReference) -> str:
        """Where the answer is, or is to be; somebody may have made it by hand, with a colon in its name."""
        package = os.path.join(self._folder, "packages", reference.package)
        paths = [os.path.join(package, name) for name in file_names(reference.selector)]
        return next((path for path in paths if os.path.lexists(path)), paths[0])

    def _known(self, resolution: Resolution) -> Resolution | None:
        """What the folder says the reference means, if it says the same. Raises ``version-moved``."""
        reference = resolution.reference
        path = self._answer_path(reference)
        with storage_errors(path):
            data = _read_answer(path)
        if data is None:
            return None
        try:
            known = parse_answer(data, reference, resolution.registry)
        except MCPError as error:
            # Perhaps of a version that differs in case only, where the file system does not mind case.
            raise MCPError(
                "mirror-unwritable",
                f"{printable(path)} is there already, and is no answer for {reference}: {error.message}",
                hint="nothing was overwritten; move it away, or use another folder",
            ) from error
        for kind, here, now in (
            ("manifest", known.manifest.digest, resolution.manifest.digest),
            ("bundle", known.bundle.digest, resolution.bundle.digest),
        ):
            if here != now:
                raise MCPError(
                    "version-moved",
                    f"in {printable(self._folder)}, {reference} has another {kind}: {here} there, "
                    f"{now} at the registry",
                    hint=f"nothing was overwritten; find out which is right. To take the registry's, first "
                    f"remove {printable(path)}",
                    details={"before": str(here), "now": str(now)},
                )
        return known

    def _gravest(self, resolution: Resolution, reference: PackageReference) -> Status:
        """The status of the answer for ``reference``: for a digest, the gravest of all with that manifest."""
        if reference == resolution.reference:
            return resolution.status
        found, own = [resolution.status], file_names(resolution.reference.selector)
        folder = os.path.join(self._folder, "packages", reference.package)
        with suppress(FileNotFoundError):
            for name in os.listdir(folder):
                if name.startswith(("digest-", "digest:")) or name in own:
                    continue
                with suppress(MCPError, OSError):
                    data = _read_answer(os.path.join(folder, name)) or b""
                    found.append(parse_answer(data, reference, "").status)
        return max(found, key=GRAVITY.index)

    def _write(self, resolution: Resolution) -> bool:
        path, data = self._answer_path(resolution.reference), _encode(resolution)
        with storage_errors(path):
            if _read_answer(path) == data:
                return False
        with self._incoming.staged(secrets.token_hex(8)) as (staged, descriptor), storage_errors(path):
            write_all(descriptor, data)
            self._incoming.publish(staged, descriptor, path)
        return True


def _references(resolution: Resolution) -> tuple[PackageReference, ...]:
    """Under what an answer is published: its own reference after that of the manifest's digest."""
    own = resolution.reference
    alias = own._replace(kind="digest", selector=f"digest:{resolution.manifest.digest}")
    return (alias,) if own == alias else (alias, own)


def _encode(resolution: Resolution) -> bytes:
    """The answer, the same bytes for the same resolution wherever it came from."""
    value: dict[str, Any] = {
        "version": resolution.version,
        "status": resolution.status,
        "manifest": _artifact(resolution.manifest),
        "bundle": _artifact(resolution.bundle),
        **({"message": resolution.message} if resolution.message else {}),
    }
    return json.dumps(value, indent=2).encode() + b"\n"


def _artifact(descriptor: Descriptor) -> dict[str, Any]:
    return {"digest": str(descriptor.digest), "url": descriptor.url, "size_bytes": descriptor.size}


def _receive(path: str, descriptor: int, digest: Digest, chunks: Callable[[], Iterator[bytes]]) -> int:
    """Write the chunks while hashing them; their number of bytes when the digest is right."""
    received, hasher = 0, hashlib.sha256()
    for chunk in chunks():
        received += len(chunk)
        hasher.update(chunk)
        with storage_errors(path):
            write_all(descriptor, chunk)
    if hasher.hexdigest() != digest.hex:
        got = f"sha256:{hasher.hexdigest()}"
        raise MCPError(
            "digest-mismatch",
            f"the artifact is not what the registry promised: expected {digest}, got {got}",
            hint="it was damaged or changed on the way; nothing was kept, so try again",
            details={"expected": str(digest), "got": got, "bytes": received},
        )
    return received


def _intact_size(path: str, digest: Digest) -> int | None:
    """The bytes of the artifact at ``path``; None when it is not there, or is not what its name says."""
    try:
        with open(path, "rb") as file:
            right = hashlib.file_digest(file, "sha256").hexdigest() == digest.hex
            return file.tell() if right else None
    except OSError:
        return None


def _read_answer(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST_ANSWER + 1)
    except FileNotFoundError:
        return None
