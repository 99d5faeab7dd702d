"""How long ``mcp pull`` takes for a large package, beside what a shell makes of curl, sha256sum and tar.

    .venv/bin/python tests/benchmarks/pull.py [--runs N] [--folder DIR] [--json]

One bundle (3,000 files, 200 MB, just under 100 MB compressed) comes from nginx on loopback, or from a server
of sendfile(2) where there is none. All contenders take turns, each in a new folder: ext4 makes files slowly
where some were just deleted. What earlier turns left to be written is flushed before each.

``curl | sha256sum | tar`` ends when the files are in the page cache. ``... kept and synced`` also keeps the
archive and flushes both, as ``mcp pull`` does, which starts an interpreter, resolves, fetches a manifest and
checks each entry as well. Times are seconds from spawn to exit, CPU is that of all processes, memory the peak
of the largest one. The second table is each part of ``mcp pull`` alone, in one process.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import Process
from typing import Any, NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "integration")]

from kit.bundle import digest_of, manifest_form, pack_files  # noqa: E402 (see the line above)
from kit.command import EXECUTABLE  # noqa: E402
from large_bundle import make_bundle  # noqa: E402
from web_server import serve  # noqa: E402

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


def main() -> None:
    """Measure and print two tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", help="on the file system to measure; a temporary one by default")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=given.folder) as folder:
        site = os.path.join(folder, "site")
        # In another process: the peak of a child begins with the size of its parent.
        maker = Process(target=publish_both, args=(site,))
        maker.start()
        maker.join()
        archive = os.path.join(site, "big.tar.gz")
        with serve(site, folder) as (url, server):
            taken = measure(url, folder, digest_of_file(archive), given.runs)
            parts = measure_parts(url, folder, archive)
        size = os.path.getsize(archive)
    rows = [row(name, runs, taken["curl | sha256sum | tar"]) for name, runs in taken.items()]
    if given.json:
        print(json.dumps({"server": server, "bytes": size, "contenders": rows, "parts": parts}, indent=2))
    else:
        print_tables(server, size, given.runs, rows, parts)


def publish_both(site: str) -> None:
    """The large package, and one that shows what a pull costs beside its bundle."""
    publish(site, BIG, make_bundle())
    publish(site, SMALL, pack_files({"main.py": "pass"}))


def publish(site: str, reference: str, bundle: bytes) -> None:
    """Make a registry of files of it: resolve answer, manifest and bundle."""
    package, _, version = reference.partition("@")
    name = package.rpartition("/")[2]
    manifest = json.dumps(manifest_form(reference, "python3", "${bundle}/main.py")).encode()
    answer: dict[str, Any] = {"version": version}
    for kind, data, file in (("manifest", manifest, f"{name}.json"), ("bundle", bundle, f"{name}.tar.gz")):
        answer[kind] = {"digest": digest_of(data), "url": f"/{file}", "size_bytes": len(data)}
        os.makedirs(site, exist_ok=True)
        with open(os.path.join(site, file), "wb") as opened:
            opened.write(data)
    folder = os.path.join(site, "packages", package)
    os.makedirs(folder)
    with open(os.path.join(folder, f"{version}.json"), "w") as opened:
        json.dump(answer, opened)


def measure(url: str, folder: str, digest: str, runs: int) -> dict[str, list[Taken]]:
    """All contenders in turn, one more time than ``runs``: the first turn warms the page cache."""
    shell = ["bash", "-c"]
    contenders = [
        Contender("curl | sha256sum | tar", [*shell, f"set -eo pipefail; {NATIVE}"]),
        Contender("... kept and synced", [*shell, f"set -eo pipefail; {KEPT}"]),
        Contender("mcp pull", [EXECUTABLE, "pull", BIG]),
        Contender("... without zlib-ng", [sys.executable, "-c", WITHOUT, "pull", BIG]),
    ]
    taken: dict[str, list[Taken]] = {one.name: [] for one in contenders}
    for turn in range(runs + 1):
        for one in contenders[turn % len(contenders) :] + contenders[: turn % len(contenders)]:
            place = tempfile.mkdtemp(dir=folder)
            os.mkdir(os.path.join(place, "tree"))
            found = run(one.command, url, place)
            check(one, place, digest)
            if turn:
                taken[one.name].append(found)
    return taken


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
        tree, right = os.path.join(cache, "trees", f"sha256:{digest}"), True
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


def row(name: str, runs: Sequence[Taken], base: Sequence[Taken]) -> dict[str, Any]:
    """Medians; ``ratio`` is how many times as fast as the first contender it is."""
    seconds = statistics.median(one.seconds for one in runs)
    return {
        "contender": name,
        "seconds": seconds,
        "best": min(one.seconds for one in runs),
        "ratio": statistics.median(one.seconds for one in base) / seconds,
        "cpu": statistics.median(one.cpu for one in runs),
        "memory": max(one.memory for one in runs),
    }


def print_tables(
    server: str, size: int, runs: int, rows: Sequence[Mapping[str, Any]], parts: Mapping[str, float]
) -> None:
    """Both tables, and what takes longest."""
    print(f"a bundle of {size / 1e6:.1f} MB from {server}, median of {runs} turns")
    print(f"{'':26}{'seconds':>9}{'best':>8}{'as fast':>9}{'CPU s':>8}{'MB':>7}")
    for one in rows:
        times = f"{one['seconds']:9.2f}{one['best']:8.2f}{one['ratio']:8.2f}x{one['cpu']:8.2f}"
        print(f"{one['contender']:26}{times}{one['memory']:7.0f}")
    print("\nparts of mcp pull, each alone")
    for name, seconds in parts.items():
        print(f"{name:46}{seconds * 1000:7.0f} ms")
    print(f"the bottleneck: {max(parts, key=lambda name: parts[name])}")


if __name__ == "__main__":
    main()
