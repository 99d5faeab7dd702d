"""What ten thousand cached packages cost: listing, a warm run, evicting a thousand of them.

Two caches hold the same real package; one of them holds N others besides, each with a manifest, a bundle and
a tree as a pull leaves them. Every command is run in turn on both, so that a busy moment hits each alike. The
peers are ls(1) over the same folders and `find -delete` over as many trees.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

from kit import programs
from kit.command import Mcp
from kit.registry import Registry
from measure import Scale, Spread, take_turns
from peers import Found
from subjects import World
from table import Table

from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings

REFERENCE = programs.single().reference
FILES = 2
MANIFEST = json.dumps({"name": "x", "text": "y" * 3000})


_PACKAGES = 10_000


def measure_cache(world: World, found: Found, scale: Scale) -> list[Table]:
    """Milliseconds with few packages and with many."""
    packages, turns = scale.of(_PACKAGES), max(3, scale.turns // 3)
    few, many = _homes(os.path.join(world.folder, "caches"), packages)
    rows = [*_commands(few, many, turns), _eviction(many, packages)]
    note = (
        f"Milliseconds of commands with one package in the cache and with {packages} more, medians of "
        f"{turns} turns. The peers are `ls -l` of the same folders, and `find -delete` of as many trees."
    )
    columns = ("command", "one package", "quartiles", f"{packages} more", "quartiles", "peer")
    return [Table("A large cache", note, columns, rows)]


def _homes(folder: str, packages: int) -> tuple[Mcp, Mcp]:
    with Registry() as registry:
        registry.publish(programs.single())
        found = []
        for name in ("few", "many"):
            mcp = Mcp(f"{folder}/{name}", registry.url)
            pulled = mcp.run("pull", REFERENCE)
            if pulled.status:
                sys.exit(pulled.stderr)
            found.append(mcp)
    _fill(found[1], packages)
    return found[0], found[1]


def _fill(mcp: Mcp, packages: int) -> None:
    """Packages as a pull leaves them, without pulling: that would take an hour."""
    cache = Cache(CacheSettings(mcp.cache))
    now = time.time()
    resolutions, entries = [], []
    for n in range(packages):
        manifest, bundle = (hashlib.sha256(f"{kind}{n}".encode()).hexdigest() for kind in "mb")
        for kind, digest, names in (
            ("manifest", manifest, ["manifest.json"]),
            ("bundle", bundle, ["bundle.tar.gz"]),
            ("tree", bundle, [f"f{k}" for k in range(FILES)]),
        ):
            place = f"{mcp.cache}/{kind}s/sha256:{digest}"
            os.mkdir(place)
            for name in names:
                with open(f"{place}/{name}", "w") as opened:
                    opened.write("x" * 100)
            entries.append((kind, f"sha256:{digest}", 100 * len(names), now - n, ""))
        found = (f"sha256:{manifest}", "u", 100, f"sha256:{bundle}", "u", 100, "published", "1.0.0", MANIFEST)
        resolutions.append(("http://registry.test", f"bench/p{n}@1.0.0", *found, now - n, now - n, now))
    cache.database.write(
        "insert into resolution (registry, reference, manifest_digest, manifest_url, manifest_size, "
        "bundle_digest, bundle_url, bundle_size, status, version, form, created, used, checked) "
        f"values ({', '.join('?' * 14)})",
        resolutions,
    )
    cache.database.write("insert into entry values (?, ?, ?, ?, ?)", entries)
    cache.close()


def _commands(few: Mcp, many: Mcp, turns: int) -> list[list[str]]:
    commands: dict[str, list[str]] = {
        "mcp run, warm": ["run", REFERENCE, "--", "leave", "0"],
        "mcp cache ls": ["cache", "ls"],
        "mcp cache ls --json": ["cache", "ls", "--json"],
        "mcp cache stats": ["cache", "stats"],
        "mcp --version": ["--version"],
    }
    folders = [f"{many.cache}/{name}" for name in ("manifests", "bundles", "trees")]
    ls = ["ls", "-l", *folders]
    actions: dict[str, Callable[[], float]] = {
        "ls": lambda: _timed(lambda: subprocess.run(ls, capture_output=True, check=True))
    }
    for name, arguments in commands.items():
        for size, mcp in (("few", few), ("many", many)):
            actions[f"{name} {size}"] = lambda mcp=mcp, arguments=arguments: _timed(
                lambda: _check(mcp, arguments)
            )
    taken = {name: Spread.of(values) for name, values in take_turns(actions, turns).items()}
    peers = {"mcp cache ls": taken["ls"].cells()[0]}
    return [
        [name, *taken[f"{name} few"].cells(), *taken[f"{name} many"].cells(), peers.get(name, "-")]
        for name in commands
    ]


def _check(mcp: Mcp, arguments: list[str]) -> None:
    done = mcp.run(*arguments)
    if done.status:
        sys.exit(done.stderr)


def _eviction(mcp: Mcp, packages: int) -> list[str]:
    """A third as many packages as a thousand entries: manifest, bundle and tree of each go."""
    wanted = min(packages, 334)
    cache = Cache(CacheSettings(mcp.cache))
    total = sum(entry.size for entry in cache.entries())
    cache.close()
    cache = Cache(CacheSettings(mcp.cache, max_size=total - wanted * (FILES + 2) * 100))
    gone: list[object] = []
    milliseconds = _timed(lambda: gone.extend(cache.evict(set())))
    cache.close()
    copy = f"{mcp.folder}/copy"
    for n in range(len(gone)):
        shutil.copytree(f"{mcp.cache}/trees/{os.listdir(f'{mcp.cache}/trees')[0]}", f"{copy}/{n}")
    peer = _timed(lambda: subprocess.run(["find", copy, "-delete"], check=True))
    return [f"evict {len(gone)} entries", "-", "-", f"{milliseconds:.1f}", "-", f"{peer:.1f}"]


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000
