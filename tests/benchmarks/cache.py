"""What ten thousand cached packages cost: listing, a warm run, evicting a thousand of them.

    .venv/bin/python tests/benchmarks/cache.py [--packages N] [--runs N] [--json]

Two caches hold the same real package; one of them holds N others besides, each with a manifest, a bundle and
a tree as a pull leaves them. Every command is run in turn on both, so that a busy moment hits each alike. The
peers are ls(1) over the same folders and `find -delete` over as many trees.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "integration"))

from kit import programs  # noqa: E402 (the line above makes it importable)
from kit.command import Mcp  # noqa: E402
from kit.registry import Registry  # noqa: E402

from mcp_client.cache.store import Cache  # noqa: E402
from mcp_client.config.settings import CacheSettings  # noqa: E402

REFERENCE = programs.single().reference
FILES = 2
MANIFEST = json.dumps({"name": "x", "text": "y" * 3000})


class Row(NamedTuple):
    """Milliseconds: the median of one command with few packages and with many, and of its peer."""

    what: str
    few: float | None
    many: float
    peer: float | None


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--packages", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        few, many = _homes(folder, given.packages)
        rows = [*_commands(few, many, given.runs), _eviction(many, given.packages)]
        _open_folders(folder)
    if given.json:
        print(json.dumps([row._asdict() for row in rows], indent=2))
        return
    print(f"{'milliseconds':24} {'few':>9} {given.packages:>9} {'peer':>9}")
    for row in rows:
        cells = ("-" if value is None else f"{value:.1f}" for value in row[1:])
        print(f"{row.what:24} " + " ".join(f"{cell:>9}" for cell in cells))


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


def _commands(few: Mcp, many: Mcp, runs: int) -> list[Row]:
    commands: dict[str, list[str]] = {
        "mcp run, warm": ["run", REFERENCE, "--", "leave", "0"],
        "mcp cache ls": ["cache", "ls"],
        "mcp cache ls --json": ["cache", "ls", "--json"],
        "mcp cache stats": ["cache", "stats"],
        "mcp --version": ["--version"],
    }
    folders = [f"{many.cache}/{name}" for name in ("manifests", "bundles", "trees")]
    taken: dict[str, list[list[float]]] = {name: [[], []] for name in commands}
    listing: list[float] = []
    for turn in range(runs + 1):
        for name, arguments in commands.items():
            for at, mcp in enumerate((few, many)):
                milliseconds = _timed(lambda mcp=mcp, arguments=arguments: _check(mcp, arguments))
                if turn:  # the first turn warms the page cache
                    taken[name][at].append(milliseconds)
        listing.append(
            _timed(lambda: subprocess.run(["ls", "-l", *folders], capture_output=True, check=True))
        )
    peers = {"mcp cache ls": statistics.median(listing)}
    return [
        Row(name, statistics.median(of_few), statistics.median(of_many), peers.get(name))
        for name, (of_few, of_many) in taken.items()
    ]


def _check(mcp: Mcp, arguments: list[str]) -> None:
    done = mcp.run(*arguments)
    if done.status:
        sys.exit(done.stderr)


def _eviction(mcp: Mcp, packages: int) -> Row:
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
    return Row(f"evict {len(gone)} entries", None, milliseconds, peer)


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def _open_folders(folder: str) -> None:
    for parent, _, _ in os.walk(folder):
        os.chmod(parent, 0o755)


if __name__ == "__main__":
    main()
