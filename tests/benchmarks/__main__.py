"""Measure everything beside what people use today, and write the report.

    make bench                              everything, and docs/BENCHMARKS.md
    make bench ARGS="--quick"               the same in haste; writes nothing
    make bench ARGS="warm memory"           some parts; writes nothing
    make bench ARGS="--output FILE"         the report elsewhere

Peers that are not here, or do not work here, are left out, and the report says why. What is compared takes
turns in one run, so that a busy moment hits each alike; still, only a quiet machine gives numbers to keep.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple, TextIO

from measure import TESTS, Scale  # first: it makes the rest importable

# isort: split
import machine
import parts
from peers import Found, describe, find_peers, warm_up
from subjects import NAMES, World, make_world
from table import Table

REPORT = os.path.join(os.path.dirname(TESTS), "docs", "BENCHMARKS.md")
HEAD = """\
# Benchmarks

Made by `make bench`, which measures everything again and writes this file. Contenders take turns in one
run, so that a busy moment of the machine hits each alike; ratios travel from machine to machine, absolute
times do not. What every part does is told in `tests/benchmarks`.
"""
# Other work above this share of all processors spoils what is measured; our own preparations are below it.
_BUSY = 0.75
# Parts that open thousands of connections.
_FILES = 4096


class Results(NamedTuple):
    """Tables, the seconds each part took, how many processes wanted to run before, and why parts failed."""

    tables: list[Table]
    seconds: dict[str, float]
    load: float
    failed: dict[str, str]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = "\n".join(f"  {name:8} {part.what}" for name, part in parts.PARTS.items())
    parser.epilog = f"parts:\n{known}"
    parser.add_argument("parts", nargs="*", metavar="PART", help="all by default")
    parser.add_argument("--quick", action="store_true", help="few turns and small sizes")
    parser.add_argument("--turns", type=int, help="of what is compared (12; 4 with --quick)")
    parser.add_argument("--servers", help=f"some of {','.join(NAMES)}, for the parts that take each")
    parser.add_argument("--json", action="store_true", help="print JSON, and tables to standard error")
    parser.add_argument("--output", metavar="FILE", help="write the report here")
    given = parser.parse_args()
    unknown = set(given.parts) - set(parts.PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    servers = given.servers.split(",") if given.servers else list(NAMES)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, hard) if hard > 0 else _FILES, hard))
    usual = [name for name, part in parts.PARTS.items() if not (given.quick and part.slow)]
    chosen = given.parts or usual
    scale = Scale(given.turns or (4 if given.quick else 12), 0.1 if given.quick else 1.0)
    screen = sys.stderr if given.json else sys.stdout
    with make_world(servers) as world:
        found = find_peers(world)
        facts = machine.describe([("web server", world.web_server), *found.versions], world.folder)
        for name, value in [*facts, *((f"no {name}", why) for name, why in found.missing)]:
            print(f"{name:14} {value}", file=screen)
        print(flush=True, file=screen)
        warm_up(found, world)
        whole = not given.parts and not given.quick and given.turns is None
        target = given.output or (REPORT if whole else None)
        results = Results([], {}, os.getloadavg()[0], {})
        for name in chosen:
            measure(name, world, found, scale, results, screen)
            if target is not None:
                # After each part: who breaks off keeps what there is.
                with open(target, "w", encoding="utf-8") as file:
                    file.write(report(facts, found, scale, results))
    if given.json:
        tables = [table._asdict() for table in results.tables]
        print(
            json.dumps({"machine": dict(facts), "missing": dict(found.missing), "tables": tables}, indent=2)
        )
    if results.failed:
        sys.exit(f"failed: {', '.join(results.failed)}")


def measure(name: str, world: World, found: Found, scale: Scale, results: Results, screen: TextIO) -> None:
    """Add one part to ``results``; its tables are told as soon as they are there, its failure, too."""
    began = time.perf_counter()
    try:
        for table in parts.measure_apart(name, world, found, scale):
            results.tables.append(table)
            print(table.text(), flush=True, file=screen)
    except Exception as error:  # noqa: BLE001  the other parts have nothing to do with it
        results.failed[name] = str(error) or repr(error)
        print(f"{name} failed: {error!r}\n", flush=True, file=screen)
    results.seconds[name] = time.perf_counter() - began
    print(f"{name} took {results.seconds[name]:.0f} s\n", flush=True, file=screen)


def report(facts: Sequence[tuple[str, str]], found: Found, scale: Scale, results: Results) -> str:
    """The whole file."""
    lines = [HEAD]
    if results.load > _BUSY * (os.cpu_count() or 1):
        lines += [
            f"**The machine was busy (load {results.load:.1f}): these numbers are not to be kept.**",
            "",
        ]
    lines += ["## Machine", "", "| what | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in facts]
    lines.append(f"| turns | {scale.turns}, sizes and counts times {scale.share:g} |")
    if found.missing:
        lines += ["", f"Left out: {describe(found.missing)}."]
    lines += ["", *(f"**{name} failed:** {why}" for name, why in results.failed.items())]
    seconds = sum(results.seconds.values())
    lines += ["", f"The whole run took {seconds / 60:.0f} minutes.", ""]
    return "\n".join([*lines, *(table.markdown() for table in results.tables)]).rstrip() + "\n"


if __name__ == "__main__":
    main()
