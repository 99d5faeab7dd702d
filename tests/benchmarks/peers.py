"""Who is compared: by what people start such servers today, bare and sandboxed.

Each is given the least it can do for the same server. Whoever is not here, or does not work here, is left
out, and the report says why.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kit.build import PROJECT
from kit.command import EXECUTABLE
from measure import MESSAGE, Contender, time_until_answer
from subjects import PROGRAMS, Subject, World, interpreter

BARE, OURS = "bare", "mcp run"
INSTALLED = os.path.join(PROJECT, ".build", "peers")
_SEARCH = os.pathsep.join(
    [
        os.environ.get("PATH", os.defpath),
        os.path.join(INSTALLED, "uv", "bin"),
        os.path.join(INSTALLED, "srt", "node_modules", ".bin"),
    ]
)
_UNIT = (
    "PrivateUsers=yes",
    "PrivateNetwork=yes",
    "ProtectSystem=strict",
    "NoNewPrivileges=yes",
    "SystemCallFilter=@system-service",
    "MemoryMax=1G",
    "TasksMax=272",
)

Wrap = Callable[[World, Subject, str], Sequence[str] | None]


class Peer(NamedTuple):
    """``wrap`` gives the command for a subject by the peer's own path; None where it cannot carry it."""

    name: str
    program: str
    version: Sequence[str]
    wrap: Wrap


class Found(NamedTuple):
    """The peers that work here with their versions, and why each of the others does not."""

    peers: Sequence[Peer]
    versions: Sequence[tuple[str, str]]
    missing: Sequence[tuple[str, str]]


def find_peers(world: World) -> Found:
    """Try each on one server."""
    peers, versions, missing = [], [], []
    subject = next(iter(world.subjects.values()))
    for peer in PEERS:
        path = find_program(peer.program)
        reason = f"no {peer.program} here" if path is None else _obstacle(peer, world, subject)
        if reason is not None:
            missing.append((peer.name, reason))
            continue
        peers.append(peer)
        if peer.version:
            versions.append((peer.name, _ask(path or "", *peer.version)))
    return Found(peers, versions, missing)


def find_program(name: str) -> str | None:
    """Where it is: installed here, or by make."""
    return shutil.which(name, path=_SEARCH)


def contender(peer: Peer, world: World, subject: Subject, *arguments: str) -> Contender | None:
    """The peer with this server and these arguments."""
    command = peer.wrap(world, subject, find_program(peer.program) or peer.program)
    if command is None:
        return None
    separator = ["--"] if peer.name == OURS and arguments else []
    # Ours gives them to the server; those of the others must have them.
    variables = {} if peer.name == OURS else subject.variables
    return Contender(peer.name, [*command, *separator, *arguments], {**environment(world), **variables})


def contenders(found: Found, world: World, subject: Subject, *arguments: str) -> dict[str, Contender]:
    """All that can start this server, by name."""
    several = (contender(peer, world, subject, *arguments) for peer in found.peers)
    return {one.name: one for one in several if one is not None}


def environment(world: World) -> dict[str, str]:
    """One for all: every cache is in the world's folder; only a user's session is left as it is."""
    session = {
        name: os.environ[name]
        for name in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
        if name in os.environ
    }
    return {
        **world.mcp.env,
        "UV_CACHE_DIR": os.path.join(world.folder, "uv"),
        "UV_PYTHON": interpreter(),
        "UV_PYTHON_DOWNLOADS": "never",
        "npm_config_cache": os.path.join(world.folder, "npm"),
        "npm_config_update_notifier": "false",
        **session,
    }


def _obstacle(peer: Peer, world: World, subject: Subject) -> str | None:
    one = contender(peer, world, subject)
    if one is None:
        return "it cannot start such a server"
    if peer.name in _ONLINE:
        # Fills its cache; what is measured asks no network.
        online = [word for word in one.command if word != "--offline"]
        one = one._replace(command=online)
    try:
        time_until_answer(one)
    except (OSError, RuntimeError, subprocess.TimeoutExpired):
        return _last_words(one)
    return None


def _last_words(one: Contender) -> str:
    try:
        done = subprocess.run(
            one.command, env=one.env, input=MESSAGE, capture_output=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
    return lines[-1][:160]


def warm_up(found: Found, world: World) -> None:
    """Fill the caches of those who fetch, for every server."""
    for subject in world.subjects.values():
        for one in contenders(found, world, subject).values():
            if one.name in _ONLINE:
                online = [word for word in one.command if word != "--offline"]
                time_until_answer(one._replace(command=online))


def _ask(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    words = (done.stdout or done.stderr).strip().splitlines()
    return words[0].strip() if words else "?"


def _bare(world: World, subject: Subject, path: str) -> Sequence[str]:
    return subject.command


def _ours(world: World, subject: Subject, path: str) -> Sequence[str]:
    return [EXECUTABLE, "run", subject.reference]


def _python_alone(world: World, subject: Subject, path: str) -> Sequence[str]:
    """A bare interpreter in between: no launcher in Python can be below it."""
    return [path, "-I", "-S", os.path.join(PROGRAMS, "floor.py"), "alone", *subject.command]


def _python_namespaces(world: World, subject: Subject, path: str) -> Sequence[str]:
    """And what no sandbox in Python can be below."""
    return [path, "-I", "-S", os.path.join(PROGRAMS, "floor.py"), "namespaces", *subject.command]


def _bubblewrap(world: World, subject: Subject, path: str) -> Sequence[str]:
    """Everything readable, nothing shared but the files."""
    root = ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    return [path, "--unshare-all", *root, "--ro-bind", subject.tree, subject.tree, "--", *subject.command]


def _firejail(world: World, subject: Subject, path: str) -> Sequence[str]:
    options = ["--quiet", "--noprofile", "--net=none", "--caps.drop=all", "--nonewprivs", "--seccomp"]
    return [path, *options, "--read-only=/", "--", *subject.command]


def _podman(world: World, subject: Subject, path: str) -> Sequence[str]:
    """The host's own files in an empty root: no image, no layers."""
    root = os.path.join(world.folder, "podman")
    os.makedirs(root, exist_ok=True)
    limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    options = ["--rm", "--interactive", "--network=none", "--cap-drop=all"]
    for name, number in limits.items():
        hard = resource.getrlimit(number)[1]
        options += [] if hard == resource.RLIM_INFINITY else [f"--ulimit={name}={hard}:{hard}"]
    own = ["/usr", "/lib", "/lib64", "/bin", os.path.dirname(os.path.dirname(subject.command[0]))]
    shown = [folder for folder in dict.fromkeys([*own, subject.tree]) if os.path.isdir(folder)]
    volumes = [f"--volume={folder}:{folder}:ro" for folder in shown]
    return [path, "run", *options, *volumes, "--rootfs", root, *subject.command]


def _sandbox_runtime(world: World, subject: Subject, path: str) -> Sequence[str]:
    settings = os.path.join(world.folder, "srt.json")
    with open(settings, "w", encoding="utf-8") as file:
        json.dump(
            {
                "network": {"allowedDomains": [], "deniedDomains": []},
                "filesystem": {"denyRead": [], "allowWrite": [], "denyWrite": []},
            },
            file,
        )
    return [path, "--settings", settings, *subject.command]


def _npx(world: World, subject: Subject, path: str) -> Sequence[str]:
    return [path, "--offline", "--yes", f"--registry={subject.npm}", f"bench-{subject.name.lower()}@1.0.0"]


def _uvx(world: World, subject: Subject, path: str) -> Sequence[str] | None:
    if subject.name == "Node":
        return None
    return [path, "--offline", "--from", subject.wheel, f"bench-{subject.name.lower()}"]


def _systemd_run(world: World, subject: Subject, path: str) -> Sequence[str]:
    options = ["--user", "--pipe", "--wait", "--collect", "--quiet"]
    return [path, *options, *(f"--property={one}" for one in _UNIT), "--", *subject.command]


_ONLINE = {"npx", "uvx"}
PEERS: Sequence[Peer] = (
    Peer(BARE, sys.executable, (), _bare),
    Peer(OURS, EXECUTABLE, (), _ours),
    Peer("python alone", interpreter(), (), _python_alone),
    Peer("python, namespaces", interpreter(), (), _python_namespaces),
    Peer("bubblewrap", "bwrap", ("--version",), _bubblewrap),
    Peer("firejail", "firejail", ("--version",), _firejail),
    Peer("podman", "podman", ("--version",), _podman),
    Peer("systemd-run", "systemd-run", ("--version",), _systemd_run),
    Peer("srt", "srt", ("--version",), _sandbox_runtime),
    Peer("uvx", "uvx", ("--version",), _uvx),
    Peer("npx", "npx", ("--version",), _npx),
)


def describe(missing: Sequence[tuple[str, str]]) -> str:
    """One sentence about those who are left out."""
    return "; ".join(f"{name}: {reason}" for name, reason in missing)
