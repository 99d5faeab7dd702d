"""Two machines and a wire between them: this process becomes the near one, its child the far one.

main.py FOLDER, as root of a mount and network namespace of its own. FOLDER holds the certificate, the
repository and maybe ``redis-server``; what the servers were asked is written to FOLDER/log, one JSON object
a line. When all is ready it prints a line, and it ends when its standard input does.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import names
import places
import web

_NEW_NETWORK = 0x40000000
_DIE_WITH_PARENT = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def ip(*commands: str) -> None:
    """Run ``ip`` commands at once."""
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


def cover(path: str, content: str, folder: str) -> None:
    """Let ``path`` have another content in this mount namespace."""
    copy = os.path.join(folder, os.path.basename(path))
    with open(copy, "w") as opened:
        opened.write(content)
    os.chmod(copy, 0o644)
    subprocess.run(["mount", "--bind", copy, os.path.realpath(path)], check=True)


def serve(servers: list[Any]) -> None:
    """Run every server in a thread."""
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()


def main(folder: str) -> None:
    """The near machine."""
    log = os.open(f"{folder}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(kind: str, **fields: object) -> None:
        os.write(log, (json.dumps({"kind": kind, **fields}) + "\n").encode())

    left, there = os.pipe()
    begin, go = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent or _LIBC.unshare(_NEW_NETWORK):
            os._exit(1)
        os.write(there, b".")
        os.read(begin, 1)
        far(folder, note)
        os.write(there, b".")
        signal.pause()
    os.read(left, 1)
    ip(
        "link set lo up",
        f"link add near type veth peer name far netns {child}",
        f"addr add {places.NEAR_V4}/24 dev near",
        f"addr add {places.NEAR_V6}/64 dev near nodad",
        "link set near up",
        # Packets to there are lost, and nobody says so.
        f"neigh add {places.SILENT_V6} lladdr 02:00:00:00:00:99 dev near nud permanent",
        f"route add {places.PRIVATE_V4} via {places.FAR_V4}",
    )
    os.write(go, b".")
    cover("/etc/resolv.conf", f"nameserver {places.RESOLVER}\n", folder)
    cover("/etc/hosts", places.HOSTS, folder)
    cover("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n", folder)
    serve([*names.servers("127.0.0.53", note), web.server(80, "near", folder, note), web.proxy(note)])
    os.read(left, 1)
    print("ready", flush=True)
    sys.stdin.read()
    os.kill(child, signal.SIGKILL)


def far(folder: str, note: Any) -> None:
    """Configure and start the other machine."""
    ip(
        "link set lo up",
        f"addr add {places.FAR_V4}/24 dev far",
        f"addr add {places.OTHER_V4}/24 dev far",
        f"addr add {places.RESOLVER}/24 dev far",
        f"addr add {places.PRIVATE_V4}/32 dev far",
        f"addr add {places.FAR_V6}/64 dev far nodad",
        f"addr add {places.OTHER_V6}/64 dev far nodad",
        "link set far up",
    )
    if os.path.exists(f"{folder}/redis-server"):
        settings = ["--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", folder]
        subprocess.Popen(
            [f"{folder}/redis-server", "--port", str(places.PORTS["redis"]), *settings],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL),  # noqa: PLW1509 (no threads yet)
        )
    plain = web.server(places.PORTS["http"], "far", folder, note)
    secure = web.server(places.PORTS["https"], "far", folder, note, secure=True)
    serve([*names.servers(places.RESOLVER, note), plain, secure])


if __name__ == "__main__":
    main(sys.argv[1])
