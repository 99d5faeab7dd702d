"""The parts of the benchmarks by name, in the order of the report."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import start
from measure import Scale
from peers import Found
from subjects import World
from table import Table


class Part(NamedTuple):
    """What it measures, in a few words."""

    what: str
    measure: Callable[[World, Found, Scale], list[Table]]


PARTS: Mapping[str, Part] = {
    "warm": Part("time until initialize is answered, everything cached", start.measure_warm),
    "cold": Part("the same with an empty cache", start.measure_cold),
    "memory": Part("memory that stays beside a server", start.measure_memory),
    "stages": Part("each stage of a warm run", start.measure_stages),
    "stdio": Part("latency and throughput of the standard streams", start.measure_stdio),
}
