"""Tokens by registry origin, in a file that only its owner can read."""

import json
import os
import stat

from mcp_client.errors import MCPError

_PUBLIC_BITS = 0o077
_LARGEST_FILE = 1 << 20


class Credentials:
    """The file ``auth.json``: ``{"version": 1, "tokens": {origin: token}}``."""

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
        self._write({**self._read(), origin: token})

    def remove(self, origin: str) -> bool:
        """Forget the origin's token; whether there was one."""
        tokens = self._read()
        if tokens.pop(origin, None) is None:
            return False
        self._write(tokens)
        return True

    def _read(self) -> dict[str, str]:
        try:
            with open(self._file, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(_LARGEST_FILE)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _unreadable(self._file, str(error.strerror), "check its owner and mode") from error
        if os.name == "posix" and stat.S_IMODE(mode) & _PUBLIC_BITS:
            raise _unreadable(
                self._file, f"others may read it (mode {stat.S_IMODE(mode):04o})", f"chmod 600 {self._file}"
            )
        try:
            tokens = json.loads(data)["tokens"]
            pairs = {str(origin): str(token) for origin, token in tokens.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            hint = "remove it and run 'mcp login' again"
            raise _unreadable(self._file, "it is not what mcp wrote", hint) from error
        return pairs

    def _write(self, tokens: dict[str, str]) -> None:
        staged = f"{self._file}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(self._file), mode=0o700, exist_ok=True)
            descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"version": 1, "tokens": tokens}, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            os.replace(staged, self._file)
        except OSError as error:
            raise MCPError(
                "credentials-unwritable",
                f"cannot write {self._file}: {error.strerror}",
                hint="check the folder's owner and mode",
            ) from error


def _unreadable(file: str, problem: str, hint: str) -> MCPError:
    return MCPError("credentials-unreadable", f"{file} is not used: {problem}", hint=hint)
