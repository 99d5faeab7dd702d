"""Write a directory registry, so that a folder or any static web server can feed other machines.

Answers stand at ``packages/<org>/<name>/<selector>.json``, artifacts at ``artifacts/sha256/<hex>``: nothing
in these names is a colon, an escape or an ending that makes a web server decode what it sends. Whatever can
be seen is whole: files come to their places by a rename, artifacts before the answers that name them. Work
in progress is in ``.incoming``, one locked file for each artifact; the kernel lets go of the lock of a
process that dies, and the next writer takes its file over or sweeps it.
"""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from mcp_client.digest import Digest
from mcp_client.errors import MCPError, printable
from mcp_client.reference import PackageReference
from mcp_client.registry.directory import GRAVITY, file_names
from mcp_client.registry.wire import LARGEST_ANSWER, parse_answer
from mcp_client.resolution import Descriptor, Resolution, Status

_INCOMING = ".incoming"
_ARTIFACTS = "artifacts/sha256"
# Whoever serves the folder is another user than the one who fills it.
_READABLE, _OPEN_TO_ALL = 0o644, 0o755
_MOST_TRIES = 1000
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Stored(NamedTuple):
    """An artifact in the folder: where its file is, and how an answer names it."""

    path: str
    descriptor: Descriptor


class DirectoryWriter:
    """Adds packages to one folder; any number of processes and threads may do so at once."""

    def __init__(self, folder: str) -> None:
        """``folder`` is made when something is stored."""
        self._folder = os.path.realpath(folder)

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
        with self._staged(digest.hex) as (staged, descriptor):
            size = _intact_size(path, digest)
            if size is None:
                size = _receive(staged, descriptor, digest, chunks)
                check(staged)
                self._publish(staged, descriptor, path)
        return Stored(path, Descriptor(digest, url, size))

    def refuse_moved(self, resolution: Resolution) -> None:
        """Raise ``version-moved`` when the folder's answer names other artifacts than ``resolution``."""
        for reference in _references(resolution):
            self._known(resolution._replace(reference=reference))

    def publish(self, resolution: Resolution) -> bool:
        """Write the answer, and one for its manifest's digest: a static server cannot look for it.

        Returns whether anything has changed. Raises as refuse_moved() and add_artifact() do.
        """
        with self._staged("answers"):
            self.refuse_moved(resolution)
            changed = False
            for reference in _references(resolution):
                status = self._gravest(resolution, reference)
                changed |= self._write(resolution._replace(reference=reference, status=status))
        return changed

    def restate(self, resolution: Resolution) -> bool:
        """Pass on a changed status of a package that is here; False when it is not."""
        with self._staged("answers"):
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
        with _storage_errors(path):
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
        with _storage_errors(path):
            if _read_answer(path) == data:
                return False
        with self._staged(secrets.token_hex(8)) as (staged, descriptor), _storage_errors(path):
            _write_all(descriptor, data)
            self._publish(staged, descriptor, path)
        return True

    # -- files ---------------------------------------------------------------------------------------------

    @contextmanager
    def _staged(self, name: str) -> Iterator[tuple[str, int]]:
        """An empty file for nobody else, until it is renamed or the block is left; path and descriptor.

        Whoever has it also has the turn for ``name``: others wait, and find what came of it.
        """
        folder = os.path.join(self._folder, _INCOMING)
        path = os.path.join(folder, name)
        with _storage_errors(self._folder):
            descriptor = self._locked_file(folder, name)
        try:
            yield path, descriptor
        finally:
            # Unless it was renamed. While the lock is held nobody else can have made a new one.
            with suppress(OSError):
                if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                    os.unlink(path)
            os.close(descriptor)
            with suppress(OSError):
                os.rmdir(folder)

    def _locked_file(self, folder: str, name: str) -> int:
        for _ in range(_MOST_TRIES):
            # Another writer may remove the folder in the same moment, since it has left it empty.
            with suppress(FileNotFoundError):
                self._make_folder(folder)
                _sweep(folder)
                return _locked_file(os.path.join(folder, name))
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)

    def _publish(self, staged: str, descriptor: int, path: str) -> None:
        with _storage_errors(path):
            os.fchmod(descriptor, _READABLE)
            os.fsync(descriptor)
            self._make_folder(os.path.dirname(path))
            os.rename(staged, path)
            _sync_folder(os.path.dirname(path))

    def _make_folder(self, folder: str) -> None:
        """Make ``folder`` and what is missing above it, for everybody to read whatever the umask says."""
        if not os.path.isdir(folder):
            parent = os.path.dirname(folder)
            self._make_folder(parent)
            with suppress(FileExistsError):
                os.mkdir(folder, 0o700 if os.path.basename(folder) == _INCOMING else _OPEN_TO_ALL)
                _sync_folder(parent)
        elif not folder.startswith(self._folder + os.sep):
            # The folder itself is as open as its owner has made it.
            return
        if os.path.basename(folder) != _INCOMING:
            mode = stat.S_IMODE(os.stat(folder).st_mode)
            if mode & _OPEN_TO_ALL != _OPEN_TO_ALL:
                os.chmod(folder, mode | _OPEN_TO_ALL)


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
        with _storage_errors(path):
            _write_all(descriptor, chunk)
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


def _locked_file(path: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                # While we waited it may have been published, given up, or swept.
                if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                    os.ftruncate(descriptor, 0)
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _sweep(folder: str) -> None:
    """Remove what nobody holds: the leftovers of writers that were killed."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                    os.unlink(path)
            finally:
                os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    """Write ``data`` whole: the last write before a disk is full may take only a part, without an error."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _storage_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = printable(error.filename if isinstance(error.filename, str) else path)
        if error.errno in _FULL:
            raise MCPError(
                "disk-full",
                f"no space to store {place}: {error.strerror}",
                hint="free some space and run the same command again: what is there already stays",
            ) from error
        raise MCPError(
            "mirror-unwritable",
            f"cannot write {place}: {error.strerror}",
            hint="check the folder's owner and mode, or name another one with --to",
        ) from error
