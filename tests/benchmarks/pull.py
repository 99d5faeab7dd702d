"""How long ``mcp pull`` takes for a large package, beside what a shell makes of curl, sha256sum and tar.

One bundle (3,000 files, 200 MB, just under 100 MB compressed) comes from nginx on loopback, or from a server
of sendfile(2) where there is none. All contenders take turns, each in a new folder: ext4 makes files slowly
where some were just deleted. What earlier turns left to be written is flushed before each.

``curl | sha256sum | tar`` ends when the files are in the page cache. ``... kept and synced`` also keeps the
archive and flushes both, as ``mcp pull`` does, which starts an interpreter, resolves, fetches a manifest and
checks each entry as well. Times are seconds from spawn to exit, CPU is that of all processes, memory the peak
of the largest one. The second table is each part of ``mcp pull`` alone, in one process.
"""

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import Process
from typing import NamedTuple

from kit.bundle import manifest_form, pack_files, package
from kit.command import EXECUTABLE
from large_bundle import make_bundle
from measure import Scale, Spread, take_turns
from peers import Found
from subjects import World, publish
from table import Table
from web_server import serve

BIG, SMALL = "bench/big@1.0.0", "bench/small@1.0.0"
NATIVE = 'curl -sS "$URL" | tee >(sha256sum > "$DIR/sum") | tar xz -C "$DIR/tree"'
KEPT = 'curl -sS "$URL" | tee "$DIR/bundle" >(sha256sum > "$DIR/sum") | tar xz -C "$DIR/tree"; sync -f "$DIR"'
WITHOUT = "import sys; sys.modules['zlib_ng'] = None; from mcp_client.cli.main import main; sys.exit(main())"
CHUNK = 64 << 10


class Contender(NamedTuple):
    """One way to get the bundle."""

    name: str
    command: Sequence[str]


class Taken(NamedTuple):
    """One run: seconds, CPU seconds, and the peak resident memory of its largest process in MB."""

    seconds: float
    cpu: float
    memory: float


def measure_pull(world: World, found: Found, scale: Scale) -> list[Table]:
    """Seconds from spawn to exit, and the parts of it."""
    with tempfile.TemporaryDirectory(prefix="pull-", dir=world.folder) as folder:
        site = os.path.join(folder, "site")
        # In another process: the peak of a child begins with the size of its parent.
        maker = Process(target=publish_both, args=(site, scale.share))
        maker.start()
        maker.join()
        archive = os.path.join(site, "big.tar.gz")
        turns = max(2, scale.turns // 3)
        with serve(site, folder) as (url, server):
            taken = measure(url, folder, digest_of_file(archive), turns)
            parts = measure_parts(url, folder, archive)
        size = os.path.getsize(archive)
    base = Spread.of([one.seconds for one in taken["curl | sha256sum | tar"]]).median
    note = (
        f"Seconds for a bundle of {size / 1e6:.1f} MB (3,000 files of {200 * scale.share:.0f} MB) from "
        f"{server} on loopback, {turns} turns. `ratio` is how many times as fast as the first it is; CPU "
        "seconds of all processes, MB at the peak of the largest. `kept and synced` keeps the archive and "
        "flushes, as `mcp pull` does."
    )
    columns = ("by", "seconds", "quartiles", "ratio", "CPU s", "MB")
    lines = [[name, f"{seconds * 1000:.0f}"] for name, seconds in parts.items()]
    slowest = max(parts, key=lambda name: parts[name])
    return [
        Table("Pull", note, columns, [line(name, runs, base) for name, runs in taken.items()]),
        Table(
            "Parts of a pull",
            f"Each alone in one process, milliseconds; longest: {slowest}.",
            ("part", "ms"),
            lines,
        ),
    ]


def publish_both(site: str, share: float) -> None:
    """The large package, and one that shows what a pull costs beside its bundle."""
    os.makedirs(site)
    for reference, bundle in ((BIG, make_bundle(share)), (SMALL, pack_files({"main.py": "pass"}))):
        publish(site, package(manifest_form(reference, "python3", "${bundle}/main.py"), bundle))


def measure(url: str, folder: str, digest: str, turns: int) -> dict[str, list[Taken]]:
    """All contenders in turn, each in a new folder."""
    shell = ["bash", "-c"]
    contenders = [
        Contender("curl | sha256sum | tar", [*shell, f"set -eo pipefail; {NATIVE}"]),
        Contender("... kept and synced", [*shell, f"set -eo pipefail; {KEPT}"]),
        Contender("mcp pull", [EXECUTABLE, "pull", BIG]),
        Contender("... without zlib-ng", [sys.executable, "-c", WITHOUT, "pull", BIG]),
    ]

    def once(one: Contender) -> Taken:
        place = tempfile.mkdtemp(dir=folder)
        os.mkdir(os.path.join(place, "tree"))
        found = run(one.command, url, place)
        check(one, place, digest)
        return found

    return take_turns({one.name: (lambda one=one: once(one)) for one in contenders}, turns)


def run(command: Sequence[str], url: str, place: str, file: str = "big.tar.gz") -> Taken:
    """One run in the new folder ``place``."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": place,
        "MCP_HOME": place,
        "MCP_REGISTRY_URL": url,
        "DIR": place,
        "URL": f"{url}/{file}",
    }
    os.sync()
    began = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} failed with {process.returncode}")
    return Taken(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def check(one: Contender, place: str, digest: str) -> None:
    """Whoever does not deliver is not compared."""
    cache = os.path.join(place, "cache")
    if os.path.isdir(cache):
        tree, right = os.path.join(cache, "trees", f"sha256-{digest}"), True
    else:
        tree = os.path.join(place, "tree")
        with open(os.path.join(place, "sum")) as file:
            right = file.read().startswith(digest)
    files = sum(len(names) for _, _, names in os.walk(tree))
    if not right or files != 3000:
        sys.exit(f"{one.name} is wrong: {files} files, digest {'right' if right else 'wrong'}")


def measure_parts(url: str, folder: str, archive: str) -> dict[str, float]:
    """Median seconds of each part alone."""
    from mcp_client.cache import gunzip

    small = [EXECUTABLE, "pull", SMALL]
    parts = {
        "start, resolve, manifest (nothing beside it)": statistics.median(
            run(small, url, tempfile.mkdtemp(dir=folder)).seconds for _ in range(5)
        )
    }
    with open(archive, "rb") as file:
        chunks = list(iter(lambda: file.read(CHUNK), b""))
    parts["download"] = timed(lambda: download(f"{url}/big.tar.gz"))
    parts["SHA-256"] = timed(lambda: digest_in_pieces(chunks))
    with bundle_file(folder) as write:
        parts["bundle file"] = timed(lambda: [write(chunk) for chunk in chunks], 1)
    parts[f"decompress ({gunzip.zlib.__name__})"] = timed(lambda: exhaust(gunzip.gunzip(chunks, 1 << 40)))
    plain = list(gunzip.gunzip(chunks, 1 << 40))
    made, synced = [], []
    for _ in range(3):
        seconds, waited = make_files(plain, tempfile.mkdtemp(dir=folder))
        made.append(seconds)
        synced.append(waited)
    parts["3,000 files"] = statistics.median(made)
    parts["flush to the disk (nothing beside it)"] = statistics.median(synced)
    return parts


def make_files(plain: Sequence[bytes], folder: str) -> tuple[float, float]:
    """Seconds to make the tree, and to flush it."""
    from mcp_client.cache.durable import watched_disk
    from mcp_client.cache.unpack import unpack_tar

    os.sync()
    with watched_disk(folder) as disk:
        began = time.perf_counter()
        unpack_tar(plain, os.path.join(folder, "tree"), max_bytes=1 << 30, max_entries=100_000)
        made = time.perf_counter()
        disk.sync()
        return made - began, time.perf_counter() - made


def download(url: str) -> None:
    """As the registry's transport reads."""
    import httpx

    with httpx.Client() as client, client.stream("GET", url) as response:
        exhaust(response.iter_raw())


def digest_in_pieces(chunks: Sequence[bytes]) -> None:
    hasher = hashlib.sha256()
    for chunk in chunks:
        hasher.update(chunk)


@contextmanager
def bundle_file(folder: str) -> Iterator[Callable[[bytes], object]]:
    with open(os.path.join(folder, "bundle"), "wb", buffering=0) as file:
        yield file.write


def digest_of_file(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def exhaust(pieces: Iterator[bytes]) -> None:
    for _ in pieces:
        pass


def timed(action: Callable[[], object], times: int = 3) -> float:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def line(name: str, runs: Sequence[Taken], base: float) -> list[str]:
    """The cells of a contender; ``base`` is the median of the first one in seconds."""
    seconds = Spread.of([one.seconds for one in runs])
    processor = Spread.of([one.cpu for one in runs]).median
    memory = max(one.memory for one in runs)
    return [name, *seconds.cells(2), f"{base / seconds.median:.2f}", f"{processor:.2f}", f"{memory:.0f}"]
