"""Published servers, as their users start them: through ``mcp run``, bare, and through uvx or npx."""

import glob
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence

from kit import servers
from kit.bundle import Package
from measure import Contender, Scale, take_turns, time_until_answer
from peers import BARE, OURS, Found, contenders, environment, find_program
from start import compare
from subjects import Subject, World, interpreter, publish
from table import Table

from mcp_client import platforms

# The package, and the words by which a peer starts the same release from where its authors publish it.
_SERVERS: Mapping[str, tuple[Callable[[], Package], Mapping[str, Sequence[str]]]] = {
    "time (Python)": (
        lambda: servers.time_server().package,
        {"uvx": ["mcp-server-time"]},
    ),
    "everything (Node)": (
        lambda: servers.everything_server().package,
        {"npx": ["--yes", "@modelcontextprotocol/server-everything", "stdio"]},
    ),
    "kubernetes (Go)": (lambda: servers.native_server().package, {}),
}
_BESIDE = {BARE, OURS, "bubblewrap"}


def measure_real(world: World, found: Found, scale: Scale) -> list[Table]:
    """Milliseconds until ``initialize`` is answered."""
    rows = []
    for name, (build, peers) in _SERVERS.items():
        package = build()
        publish(world.site, package)
        pulled = world.mcp.run("pull", package.reference, seconds=300)
        if pulled.status:
            raise RuntimeError(pulled.stderr)
        subject = _subject(name, package, world)
        racing = {key: one for key, one in contenders(found, world, subject).items() if key in _BESIDE}
        for peer, words in peers.items():
            path = find_program(peer)
            one = None if path is None else Contender(peer, [path, "--offline", *words], environment(world))
            if one is not None and _is_warm(one):
                racing[peer] = one
        taken = take_turns(
            {key: (lambda one=one: time_until_answer(one)) for key, one in racing.items()}, scale.turns
        )
        rows += compare(name, taken)
    note = (
        "Milliseconds from the spawn until `initialize` is answered, everything cached, "
        f"{scale.turns} turns. uvx and npx start the release they got from PyPI and npm; its dependencies "
        "are those of that day."
    )
    return [Table("Published servers", note, ("server", "by", "median", "quartiles", "added", "ratio"), rows)]


def _subject(name: str, package: Package, world: World) -> Subject:
    """The server as ``mcp run`` has unpacked it, started with the real interpreter and no shim in between."""
    entrypoint = json.loads(package.manifest)["entrypoints"][platforms.current()]
    # By a name without a colon: the one in the digest would end an entry of PYTHONPATH.
    tree = os.path.join(world.folder, f"tree-{package.name}")
    os.symlink(*glob.glob(os.path.join(world.mcp.cache, "trees", f"*{package.digests[1][7:]}")), tree)
    command = entrypoint["command"]
    if "/" in command:
        program = os.path.join(tree, command)
    elif command == "python3":
        program = interpreter()
    else:
        program = os.path.realpath(shutil.which(command) or command)
    words = [program, *(text.replace("${bundle}", tree) for text in entrypoint["args"])]
    variables = {key: value.replace("${bundle}", tree) for key, value in entrypoint.get("env", {}).items()}
    return Subject(name, "", package.reference, tree, words, "", "", "", variables)


def _is_warm(one: Contender) -> bool:
    """Fill the peer's cache by one run with the network; False when even that does not answer."""
    online = [word for word in one.command if word != "--offline"]
    try:
        time_until_answer(one._replace(command=online))
        time_until_answer(one)
    except (OSError, RuntimeError, subprocess.TimeoutExpired):
        return False
    return True
