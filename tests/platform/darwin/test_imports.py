"""Whatever is imported on macOS is importable without what only Linux has.

Types say the same (mypy --platform darwin); this finds what they are not told. On Linux it is a stand-in: the
platform's name is changed and what macOS lacks is taken away, nothing more.
"""

import subprocess
import sys

PROGRAM = """
import _socket, os, select, signal, socket, sys
import asyncio, click, filelock, h11, httpx, pydantic, shutil, sqlite3, ssl, structlog, subprocess, sysconfig
import tempfile, yaml

sysconfig.get_config_vars()

if sys.platform != "darwin":
    gone = {
        os: "pidfd_open eventfd eventfd_read memfd_create O_PATH O_TMPFILE posix_fadvise setresuid setresgid "
            "sched_getaffinity splice copy_file_range unshare",
        select: "epoll EPOLLIN EPOLLOUT EPOLLRDHUP POLLRDHUP",
        _socket: "AF_NETLINK SOCK_NONBLOCK SOCK_CLOEXEC MSG_NOSIGNAL MSG_CMSG_CLOEXEC TCP_INFO TCP_KEEPIDLE",
    }
    for module, names in gone.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    select.kqueue = select.kevent = object
    sys.platform = "darwin"

import pkgutil
import mcp_client

def walk(package):
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        # What is another system's own is imported by nobody else.
        if any(part in found.name for part in (".linux", ".windows", "embedded", "__main__")):
            continue
        module = __import__(found.name, fromlist=["_"])
        print(found.name)
        if found.ispkg:
            walk(module)

walk(mcp_client)
"""


def test_every_module_can_be_imported():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=120
    )
    names = done.stdout.split()

    assert done.returncode == 0, done.stderr
    assert {"mcp_client.pipeline", "mcp_client.serving", "mcp_client.sandbox.darwin.backend"} <= set(names)
    assert {"mcp_client.network.kqueue", "mcp_client.network.engine.connect", "mcp_client.cli.run"} <= set(
        names
    )
