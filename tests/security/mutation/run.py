"""Switch each control off and run the security tests: a control that nobody notices is a failure.

A row that nobody of its own selection notices is tried on all security tests. Everything must pass first
where nothing is switched off.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
SECURITY = os.path.dirname(HERE)
ROOT = os.path.dirname(os.path.dirname(SECURITY))
sys.path.insert(0, SECURITY)

from mutation.table import MUTATIONS, Mutation  # noqa: E402  only now can it be found

_PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--timeout=60")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (?:tests/security/)?(\S+::.*?)(?: - .*)?$", re.MULTILINE)
_SECONDS = 600
_PASSED, _SOME_FAILED, _NONE_SELECTED = 0, 1, 5


class Outcome(NamedTuple):
    """What became of one mutation; ``noticed_by`` are ids of tests, none of them if nobody noticed."""

    mutation: Mutation
    noticed_by: tuple[str, ...]
    seconds: float


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description="Switch the sandbox's controls off one by one.")
    parser.add_argument("--only", metavar="WORD", default="", help="rows whose name contains it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rows at a time")
    parser.add_argument("--list", action="store_true", help="show the rows and do nothing")
    options = parser.parse_args()
    root = os.geteuid() == 0
    chosen = [row for row in MUTATIONS if options.only in row.name and (root or not row.as_root)]
    if options.list or not chosen:
        _say(*(f"{row.name:28} {row.disables}" for row in chosen))
        return 0 if chosen else 2
    problem = _baseline(chosen)
    if problem:
        _say("the tests fail where nothing is switched off:", problem)
        return 2
    began = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = []
        for outcome in pool.map(_try, chosen):
            outcomes.append(outcome)
            _say(_line(outcome))
    unnoticed = [outcome.mutation.name for outcome in outcomes if not outcome.noticed_by]
    _say("", f"{len(outcomes)} controls switched off in {time.monotonic() - began:.0f} s")
    _say(f"nobody noticed {len(unnoticed)}: {', '.join(unnoticed)}" if unnoticed else "each was noticed")
    return 1 if unnoticed else 0


def _baseline(chosen: Iterable[Mutation]) -> str:
    """What fails without a mutation; nothing if all is well."""
    files = sorted({file for row in chosen for file in row.tests})
    done = _run(None, files, "", ("-n", "auto"))
    return "" if done.returncode == _PASSED else done.stdout[-3000:]


def _try(mutation: Mutation) -> Outcome:
    began = time.monotonic()
    noticed: tuple[str, ...] = ()
    for files, words in ((mutation.tests, mutation.words), (_everything(), "")):
        done = _run(mutation, files, words, ("-p", "no:xdist"))
        if done.returncode == _SOME_FAILED:
            noticed = tuple(dict.fromkeys(_FAILED.findall(done.stdout)))[:3]
            assert noticed, done.stdout
            break
        if done.returncode not in {_PASSED, _NONE_SELECTED}:
            raise SystemExit(
                f"{mutation.name}: pytest ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
    return Outcome(mutation, noticed, time.monotonic() - began)


def _everything() -> Sequence[str]:
    return sorted(name for name in os.listdir(SECURITY) if re.fullmatch(r"test_\w+\.py", name))


def _run(
    mutation: Mutation | None, files: Sequence[str], words: str, more: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="mutation-") as filters:
        environment = {**os.environ, "PYTHONPATH": SECURITY, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [*_PYTEST, *more]
        if mutation is not None:
            environment |= {"MCP_MUTATION": mutation.name, "MCP_MUTATION_FILTERS": filters}
            command += ["-p", "mutation.plugin"]
        command += ["-k", words] if words else []
        command += [os.path.join(SECURITY, file) for file in files]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS
        )


def _line(outcome: Outcome) -> str:
    noticed = ", ".join(outcome.noticed_by) or "NOBODY"
    return f"{outcome.mutation.name:28} {outcome.mutation.disables:40} {outcome.seconds:4.0f} s  {noticed}"


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
