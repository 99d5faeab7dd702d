"""Find out whether sandbox-exec(1) does on this host what is asked of it, with the very profile of the run.

Another program, cat(1), is executed in the sandbox and reads two files: one it may, one it may not. The
sandbox works when exactly the first of them comes out. That costs some milliseconds a run, and is why a
release of macOS that no longer takes the profile, or takes it and does nothing, runs no server.
"""

import os

from mcp_client.errors import MCPError, printable
from mcp_client.sandbox.darwin.profile import Profile

_READER = "/bin/cat"
_SECONDS = 60.0
_LONGEST = 400


def try_profile(launcher: str, profile: Profile, *, open_file: str, sealed_file: str) -> None:
    """Return when ``open_file`` can be read inside and ``sealed_file`` cannot; both hold different text.

    Raises ``sandbox-unavailable``.
    """
    import subprocess

    # The first program is the server's own; it is not what is executed here.
    tried = profile._replace(parameters={**profile.parameters, "PROGRAM_0": _READER})
    try:
        answer = subprocess.run(  # noqa: S603  the system's own launcher
            tried.wrap(launcher, [_READER, open_file, sealed_file]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={"PATH": "/usr/bin:/bin"},
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _unavailable(f"it cannot be executed: {printable(str(error), _LONGEST)}") from error
    if answer.stdout == _read(open_file) and answer.returncode != 0:
        return
    if _read(sealed_file) in answer.stdout:
        raise _unavailable("it took the profile and denied nothing")
    said = printable(answer.stderr.decode(errors="replace").strip(), _LONGEST)
    raise _unavailable(f"a trial ended with {answer.returncode}: {said or 'nothing was said'}")


def _unavailable(why: str) -> MCPError:
    return MCPError(
        "sandbox-unavailable",
        f"sandbox-exec does not work here; {why}",
        hint="run mcp outside of other sandboxes (they cannot be nested), and tell us the release of macOS",
    )


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def write_trial_files(open_file: str, sealed_file: str) -> None:
    """Two texts that nobody could guess. Raises OSError."""
    for path in (open_file, sealed_file):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.write(descriptor, os.urandom(16).hex().encode())
        os.close(descriptor)
