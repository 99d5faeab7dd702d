"""Stands between a client and the command it spawns: passes signals on and writes the exit status down.

Usage: ``status.py FILE COMMAND ARGS...``; one line is appended to FILE, 128+n for death by signal n.
"""

import os
import signal
import sys


def main() -> None:
    child = os.fork()
    if child == 0:
        os.execvp(sys.argv[2], sys.argv[2:])
    # The pipes belong to the command alone, so that the client sees them end when it does.
    for descriptor in (0, 1):
        os.close(descriptor)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: os.kill(child, received))
    _, state = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(state)
    status = code if code >= 0 else 128 - code
    with open(sys.argv[1], "a") as opened:
        opened.write(f"{status}\n")
    os._exit(status)


main()
