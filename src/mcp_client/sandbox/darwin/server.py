"""The last steps before the server's first instruction, taken in its own process.

They end in sandbox-exec(1), which takes the profile upon itself and then executes the server; where it cannot
do the one, it does not do the other.
"""

import errno
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from mcp_client.sandbox.channel import Channel, StepError, await_word, report_failure, step


class Start(NamedTuple):
    """``argv`` is that of sandbox-exec; ``limits`` are RLIMIT_* -> soft and hard value."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    limits: Mapping[int, int]
    listens: bool


def become_server(start: Start, channel: Channel) -> NoReturn:
    """Apply what belongs to the server's own process, wait until it is let go, and execute; never returns."""
    try:
        os.setsid()
        with step("enter the working folder"):
            os.chdir(start.directory)
        with step("reset signals"):
            _reset_signals()
        with step("close descriptors"):
            os.dup2(channel.diagnostics, 2)
            if start.listens:
                _leave_streams(channel)
            close_all_but(0, 1, 2, channel.setup, channel.control)
        with step("set limits"):
            for limit, value in start.limits.items():
                resource.setrlimit(limit, (value, value))
            os.umask(0o077)
        with step("report ready"):
            os.write(channel.setup, b"ready\t0\n")
            await_word(channel.control)
        with step("exec"):
            os.execve(start.argv[0], list(start.argv), dict(start.environment))  # noqa: S606  no shell is meant
    except StepError as failure:
        report_failure(channel, failure.stage, failure.error)
    except BaseException as error:  # noqa: BLE001  the last frame of this process: anything else must fail closed
        report_failure(channel, type(error).__name__, OSError(0, str(error)))
    finally:
        os._exit(127)
    raise AssertionError


def close_all_but(*kept: int) -> None:
    """Close every descriptor but those."""
    for name in os.listdir("/dev/fd"):
        descriptor = int(name)
        if descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError as error:
                # The listing itself had one.
                if error.errno != errno.EBADF:
                    raise


def _leave_streams(channel: Channel) -> None:
    """Clients of a server that listens come by the network; what it prints is for people."""
    os.dup2(channel.diagnostics, 1)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)


def _reset_signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is not None:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
