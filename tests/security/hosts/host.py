"""Execute a command as on another kind of host: ``host.py KIND COMMAND...``.

``no-landlock`` is a kernel without it, ``intercepted`` a container manager that holds the one listener a
process tree can have.
"""

import errno
import os
import sys

import pyseccomp

from mcp_client.sandbox.linux import libc

LANDLOCK = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")


def main() -> None:
    kind, *command = sys.argv[1:]
    if kind == "intercepted":
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        # One instruction: allow. The descriptor stays open over the exec, as in a manager that is alive.
        allow = bytes.fromhex("06000000") + (0x7FFF0000).to_bytes(4, "little")
        os.set_inheritable(libc.load_seccomp_listener(allow), True)
    else:
        program = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
        for name in LANDLOCK:
            program.add_rule(pyseccomp.ERRNO(errno.ENOSYS), name)
        program.load()
    os.execv(command[0], command)


main()
