"""Tokens by registry origin, in a file that only its owner can read."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mcp_client import system
from mcp_client.errors import MCPError

_LARGEST_FILE = 1 << 20


class Credentials:
    """The file ``auth.json``: ``{"version": 1, "tokens": {origin: token}}``.

    Readers need no lock: the file is replaced by a rename. Writers take turns, so that none undoes another.
    """

    def __init__(self, file: str) -> None:
        """Nothing is read yet."""
        self._file = file

    def token_for(self, origin: str) -> str | None:
        """The token stored for exactly this origin. Raises ``credentials-unreadable``."""
        return self._read().get(origin)

    def origins(self) -> list[str]:
        """Every origin with a token."""
        return sorted(self._read())

    def store(self, origin: str, token: str) -> None:
        """Keep ``token`` in place of what was stored for the origin. Raises ``credentials-unwritable``."""
        with self._turn():
            self._write({**self._read(), origin: token})

    def remove(self, origin: str) -> bool:
        """Forget the origin's token; whether there was one."""
        if origin not in self._read():
            return False
        with self._turn():
            tokens = self._read()
            removed = tokens.pop(origin, None) is not None
            self._write(tokens)
        return removed

    def _read(self) -> dict[str, str]:
        try:
            with open(self._file, "rb", opener=_open_at_once) as file:
                status = os.fstat(file.fileno())
                exposed = system.exposure(file.fileno())
                # A pipe has nothing to read yet, and would be read for ever.
                data = file.read(_LARGEST_FILE) if stat.S_ISREG(status.st_mode) else b""
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _unreadable(self._file, str(error.strerror), "check its owner and mode") from error
        if exposed:
            problem = f"others may read it (mode {stat.S_IMODE(status.st_mode):04o})"
            raise _unreadable(self._file, problem, system.mend_exposure(self._file))
        try:
            tokens: dict[str, str] = dict(json.loads(data)["tokens"])
        except (ValueError, KeyError, TypeError, RecursionError):
            tokens = {"": ""}
        if not all(origin and isinstance(token, str) for origin, token in tokens.items()):
            # Without a cause: what the parser quotes may be a token.
            hint = "remove it and run 'mcp login' again"
            raise _unreadable(self._file, "it is not what mcp wrote", hint)
        return tokens

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock beside the file; the kernel lets go of it when this process dies."""
        try:
            os.makedirs(os.path.dirname(self._file), mode=0o700, exist_ok=True)
            lock = system.open_fd(f"{self._file}.lock", os.O_RDWR | os.O_CREAT | system.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _unwritable(self._file, error) from error
        try:
            try:
                system.flock(lock, system.LOCK_EX)
            except OSError as error:
                raise _unwritable(self._file, error) from error
            yield
        finally:
            os.close(lock)

    def _write(self, tokens: dict[str, str]) -> None:
        """Replace the file; only the lock's holder does, so what stands at the staged name is a leftover."""
        staged = f"{self._file}.new"
        try:
            with suppress(FileNotFoundError):
                os.unlink(staged)
            descriptor = system.open_fd(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            system.close_to_others(staged)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"version": 1, "tokens": tokens}, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            system.replace(staged, self._file)
        except OSError as error:
            with suppress(OSError):
                os.unlink(staged)
            raise _unwritable(self._file, error) from error


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end of what is no file."""
    return system.open_fd(path, flags | system.O_CLOEXEC | system.O_NONBLOCK)


def _unreadable(file: str, problem: str, hint: str) -> MCPError:
    return MCPError("credentials-unreadable", f"{file} is not used: {problem}", hint=hint)


def _unwritable(file: str, error: OSError) -> MCPError:
    return MCPError(
        "credentials-unwritable",
        f"cannot write {file}: {error.strerror}",
        hint="check the folder's owner and mode",
    )
