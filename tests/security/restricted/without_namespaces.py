"""Execute a command as in a container with Docker's default profile: no namespace, no mount, EPERM.

python without_namespaces.py COMMAND [ARG...]
"""

import errno
import os
import sys

import pyseccomp

# https://docs.docker.com/engine/security/seccomp: what needs CAP_SYS_ADMIN there.
_REFUSED = (
    *("unshare", "setns", "mount", "umount2", "pivot_root"),
    *("open_tree", "move_mount", "fsopen", "fsmount", "fsconfig", "mount_setattr"),
)
_NAMESPACES = 0x7E020000


def main() -> None:
    profile = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in _REFUSED:
        profile.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    for bit in range(32):
        if _NAMESPACES >> bit & 1:
            flag = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, 1 << bit, 1 << bit)
            profile.add_rule(pyseccomp.ERRNO(errno.EPERM), "clone", flag)
    profile.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    profile.load()
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
