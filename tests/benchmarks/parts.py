"""The parts of the benchmarks by name, in the order of the report."""

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import allowlist
import cache
import compiled
import elsewhere
import http_proxy
import pull
import real
import sandbox
import scale
import start
from measure import Scale
from peers import Found
from subjects import World
from table import Table


class Part(NamedTuple):
    """What it measures, in a few words; what is ``slow`` however little is done is left out in haste."""

    what: str
    measure: Callable[[World, Found, Scale], list[Table]]
    slow: bool = False


PARTS: Mapping[str, Part] = {
    "warm": Part("time until initialize is answered, everything cached", start.measure_warm),
    "real": Part("the same for published servers", real.measure_real, slow=True),
    "compiled": Part("the same with and without what was compiled", compiled.measure_compiled, slow=True),
    "cold": Part("the same with an empty cache", start.measure_cold),
    "memory": Part("memory that stays beside a server", start.measure_memory),
    "stages": Part("each stage of a warm run", start.measure_stages),
    "stdio": Part("latency and throughput of the standard streams", start.measure_stdio),
    "pull": Part("a large package, beside curl, sha256sum and tar", pull.measure_pull),
    "sandbox": Part("what the sandbox alone adds", sandbox.measure_sandbox),
    "network": Part("connections of a server to allowed hosts", allowlist.measure_network),
    "http": Part("the proxy before a server that speaks HTTP", http_proxy.measure_http),
    "cache": Part("a cache of ten thousand packages", cache.measure_cache),
    "vm": Part("in a virtual machine, beside systemd-run", elsewhere.measure_elsewhere, slow=True),
    "many": Part("fifty servers at once", scale.measure_many),
    "row": Part("five hundred starts, one after the other", scale.measure_row),
    "audit": Part("an audit log of a million records", scale.measure_audit),
}


def measure_apart(name: str, world: World, found: Found, scale: Scale) -> list[Table]:
    """One part in a new process: what an earlier one left in memory would make forks of this one slow."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(PARTS[name].measure, world, found, scale).result()
