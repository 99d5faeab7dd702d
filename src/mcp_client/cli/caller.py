"""What a caller may have left in a state that breaks us: closed descriptors, ignored or blocked signals."""

import os
import signal
import sys


def take_stock_of_the_caller() -> None:
    """Occupy closed standard descriptors, reap children again, and listen to signals again.

    A file of ours that became descriptor 0, 1 or 2 would be handed to the server; a parent that ignores
    SIGCHLD breaks waitpid(2), and one that blocks SIGTERM makes us deaf; both survive exec.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one: those before it are taken by now.
            descriptor = os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  for good
    if sys.platform != "win32":
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
