"""Things of the host that attacks aim at, made for the tests of one worker."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

SECRET = 424242
# What the files hold that a folder granted to a server has, and those of a folder beside it.
WANTED, PRIVATE = 1, SECRET


@contextmanager
def targets() -> Iterator[Mapping[str, str]]:
    """Variables that tell the attack programs where things are.

    All is open to everybody, so that no mode of a file stands in for a missing control when root runs this.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(public_folder("/tmp"))
        shared = stack.enter_context(public_folder("/dev/shm"))
        abstract = f"attacked-{os.getpid()}"
        paths = {"SECRET": os.path.join(folder, "secret"), "FIFO": os.path.join(folder, "fifo")}
        with open(paths["SECRET"], "w", encoding="ascii") as file:
            file.write(f"{SECRET}\n")
        os.mkfifo(paths["FIFO"])
        for path in paths.values():
            os.chmod(path, 0o666)
        for address in (os.path.join(folder, "service"), f"\0{abstract}"):
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(address)
            server.listen(64)
        os.chmod(os.path.join(folder, "service"), 0o777)
        yield {
            **paths,
            "SERVICE": os.path.join(folder, "service"),
            "ABSTRACT": abstract,
            "HOST_HOME": os.path.expanduser("~"),
            "IN_TMP": folder,
            "IN_SHM": shared,
            "INIT": "0",
            "VICTIM": str(stack.enter_context(victim())),
        }


@contextmanager
def victim() -> Iterator[int]:
    """A process of the host, of the user who runs the tests, that only waits; its pid."""
    argv = [sys.executable, "-I", "-c", "import signal; signal.pause()"]
    with subprocess.Popen(argv, env={"A_SECRET": str(SECRET)}, start_new_session=True) as process:
        try:
            yield process.pid
            assert process.poll() is None, "the victim was ended"
        finally:
            process.send_signal(signal.SIGKILL)


@contextmanager
def granted_and_private() -> Iterator[str]:
    """A folder with ``wanted`` and ``private`` in it; each holds its number in two files ``secret``."""
    with public_folder("/tmp") as folder:
        for name, number in (("wanted", WANTED), ("private", PRIVATE)):
            os.makedirs(os.path.join(folder, name, "below"))
            for path in (f"{name}/secret", f"{name}/below/secret"):
                with open(os.path.join(folder, path), "w", encoding="ascii") as file:
                    file.write(f"{number}\n")
        yield folder


@contextmanager
def public_folder(parent: str) -> Iterator[str]:
    """A folder of the host that everybody may enter and change."""
    folder = tempfile.mkdtemp(prefix="attacked-", dir=parent)
    os.chmod(folder, 0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
